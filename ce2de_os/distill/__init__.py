"""Distillation: a small student learns from a dual encoder's embeddings and a cross-encoder's rankings."""

import logging

# bm25s sets its own level to DEBUG when it is imported, and would log every index that it builds.
logging.getLogger("bm25s").disabled = True
