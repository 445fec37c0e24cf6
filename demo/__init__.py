"""From apply to gone, told in one minute on a real Kubernetes."""
