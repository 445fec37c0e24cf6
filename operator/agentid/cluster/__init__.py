"""The only package that talks to Kubernetes: one connection, and a small module for each use of it."""
