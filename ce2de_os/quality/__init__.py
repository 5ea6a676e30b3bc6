"""How well searches find: BM25, vectors and hybrids compared on judged queries."""
