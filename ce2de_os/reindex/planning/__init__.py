"""The plan: the memory, disk and time that a reindex takes, and whether it fits."""
