"""Search: what applications call, and how it is carried out.

Called: `searcher.HybridSearcher` and `async_searcher.AsyncHybridSearcher`. They take a `question.Question` or
its fields as keywords, and give a `result.SearchResult` of `ce2de_os.records.Hit`.

Beneath, each pure but the drivers: ``question`` (what can be said) → ``core`` (the course of a search, as
``steps`` for two drivers) → ``target`` (what cluster and index are) → ``strategy`` (where to join) → ``plan``
and ``queries`` (requests) → ``answers`` and ``ranking`` (hits) → ``rerank``. ``vectors`` keeps query vectors.
"""
