"""Keep a target equal to a source that is written to."""
