"""The pure heart: what holds for a task now, given what was observed. Knows no clock, client or framework."""
