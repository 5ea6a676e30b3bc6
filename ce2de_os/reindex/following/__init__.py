"""Standing jobs: give new documents their vectors for good."""
