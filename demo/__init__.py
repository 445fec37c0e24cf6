"""From apply to gone, and who may say yes: told in two minutes on a real Kubernetes."""
