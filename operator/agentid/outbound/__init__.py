"""Connections to other places than the API server: which are never made, and what is shown there."""
