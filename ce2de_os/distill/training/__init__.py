"""Training loops, their data, and their losses."""
