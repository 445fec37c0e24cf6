"""`python -m agentid` is `agentid`."""

from agentid.cli.main import app

app()
