"""Distillation: a small student learns from a dual encoder's embeddings and a cross-encoder's rankings."""
