"""Index: the client, index bodies, aliases and bulk writing."""
