"""Finish a job, move its alias, and go back."""
