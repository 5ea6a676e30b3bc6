"""Retrievers for application frameworks, each with an extra of its own.

``langchain`` and ``haystack``, named like their extras, turn the hits of a hybrid search into their
framework's documents; ``hit_parts`` chooses the fields of a hit that become text, and those that become
metadata.
"""
