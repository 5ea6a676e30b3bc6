"""The results of a run: quality, speed, and the report that shows them."""
