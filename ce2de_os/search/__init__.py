"""Search: what the cluster can do, query bodies, and the searcher."""
