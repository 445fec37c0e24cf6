"""The operator: watches through kopf, one queue, one pass for each task, one leader."""
