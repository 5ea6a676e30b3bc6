"""``ce2de demo``."""
