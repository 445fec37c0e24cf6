"""The command `agentid`."""
