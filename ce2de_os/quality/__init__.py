"""Search quality: compare BM25, vectors and hybrids on judged queries."""
