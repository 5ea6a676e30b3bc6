"""The commands that search and evaluate searches."""
