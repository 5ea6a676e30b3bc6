"""Reindex: embed the documents of an existing index into a new one and move the alias.

A job is cut into slices (a range of ``_seq_no`` of one shard). Its ledger is in OpenSearch; the broker
only carries "look at job J, slice S". The records are in ``job``, their keeping in ``ledger``, the work on
one slice in ``slices``, verification in ``verify``, the switch in ``cutover``.
"""
