"""The commands that search, and that measure searches."""
