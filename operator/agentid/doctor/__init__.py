"""What `agentid doctor` looks at, and what it makes of it: each check is a look and a pure verdict on it."""
