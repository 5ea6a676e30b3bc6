"""Sources of training texts: how each is fetched from its home, read and written."""
