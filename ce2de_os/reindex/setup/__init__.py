"""Set a job up: check its sources, create its targets and its record, or repeat its start."""
