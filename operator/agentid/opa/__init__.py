"""Asks an Open Policy Agent, and reaches no other place by it."""
