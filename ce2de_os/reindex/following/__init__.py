"""Standing jobs: keep the vectors of an index up to date."""
