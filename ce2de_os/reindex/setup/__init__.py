"""Before a job: its sources, what is made for it, and its first record, or what a repeated start changes."""
