"""The plan: what a reindex takes in memory, disk and time, and whether it fits."""
