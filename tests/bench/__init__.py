"""Measures agentid against a bare client that writes the same objects, on the same API server, in one run."""
