"""The HTTP service: embeddings, re-ranking and search for programs in any language.

The interface is OpenAI's for embeddings and Cohere's and Jina's for re-ranking, so that their clients work.
`run` listens, `app` joins the parts, `engine` runs the model for all callers.
"""
