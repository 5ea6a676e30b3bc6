"""Distillation: a small student learns to give the embeddings of a larger encoder, from plain texts."""
