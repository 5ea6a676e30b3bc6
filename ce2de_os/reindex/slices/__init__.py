"""The work on slices: read pages, encode their texts, write them, under a lease."""
