"""A real Kubernetes for demo and tests: pinned tools, built once, started and ended by one command."""
