"""The reranker that the flags name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ce2de_os.config import Settings

if TYPE_CHECKING:
    from ce2de_os.model.encoder import OnnxEncoder
    from ce2de_os.search.rerank import Reranker

BOTH_RERANKERS = "--reranker and --late-interaction exclude each other; leave one of them out"


def second_model(settings: Settings, folder: Path | None, late: OnnxEncoder | None) -> Reranker | None:
    """Load the cross-encoder in ``folder``, or wrap the encoder ``late``; ``None`` without either.

    Both are a usage error. An encoder without token vectors is an `ArtifactError`.
    """
    from ce2de_os.model.reranker import OnnxReranker
    from ce2de_os.search.late_interaction import LateInteraction

    if folder and late:
        raise click.UsageError(BOTH_RERANKERS)
    if late:
        return LateInteraction(late)
    return OnnxReranker(folder, threads=settings.threads) if folder else None
