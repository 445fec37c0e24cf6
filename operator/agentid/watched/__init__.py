"""What watches show of the cluster, as facts, for whoever decides: the operator and the decision point."""
