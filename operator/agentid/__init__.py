"""agentid gives an AI agent an identity for one task, for as long as that task runs."""
