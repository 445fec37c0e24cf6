"""From apply to gone, and who may say yes: told in a minute and a half on a real Kubernetes."""
