"""Texts, queries, candidates and scores: read from files, checked, in the form that training needs."""
