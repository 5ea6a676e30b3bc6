"""Benchmarks: one file per claim; each prints its table and can write JSON."""
