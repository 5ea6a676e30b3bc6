"""The networks: teachers of every kind, and the student before its first step."""
