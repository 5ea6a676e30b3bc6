"""The application layer: one typed function for each thing that this product does.

The command line, notebooks and services call the same functions: a request in, a result out.
"""
