"""The commands for jobs."""
