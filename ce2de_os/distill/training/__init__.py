"""Training loops, what they learn from, and their losses."""
