"""Translate documents and queries, so that a student learns languages."""
