"""The networks: teachers of every kind, and the student before training."""
