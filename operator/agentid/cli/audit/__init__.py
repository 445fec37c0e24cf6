"""`agentid audit` and `agentid report`: what the ledger proves, tells and comes to."""
