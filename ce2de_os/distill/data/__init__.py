"""Texts, queries, candidates and scores: read from files, checked, in the form that training needs."""

import logging

# bm25s sets its own level to DEBUG when it is imported, and would log every index that it builds.
logging.getLogger("bm25s").disabled = True
