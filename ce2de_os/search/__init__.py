"""Search: the searchers for applications, and their parts.

The API: `searcher.HybridSearcher` and `async_searcher.AsyncHybridSearcher`. They take a `question.Question`
or its fields as keywords, and give a `result.SearchResult` of `ce2de_os.records.Hit`.

Below, pure except for the drivers: ``question`` (options) → ``core`` (the course of a search, as
``steps`` for two drivers) → ``target`` (facts about cluster and index) → ``strategy`` (where to fuse) →
``plan`` and ``queries`` (requests) → ``answers`` and ``ranking`` (hits) → ``rerank``. ``vectors`` keeps query
vectors.

`evaluate` compares ``systems`` on judged queries, to a ``comparison``; it needs the extra ``evaluate``.
"""
