"""What was made: quality, speed, and the report that shows them."""
