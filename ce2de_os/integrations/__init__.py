"""Retrievers for the frameworks that applications are built with, each behind an extra of its own.

``langchain`` and ``haystack``, named like their extras, turn the hits of a hybrid search into their
framework's documents; ``hit_parts`` says which fields of a hit become text and which metadata.
"""
