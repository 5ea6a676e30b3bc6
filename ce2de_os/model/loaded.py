"""A model in memory: its tokenizer and its session, which threads share and forked processes load anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from ce2de_os.config import MOST_THREADS
from ce2de_os.errors import ConfigError
from ce2de_os.forks import renew_after_fork
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.runtime import (
    CHARS_PER_TOKEN,
    keep_for_good,
    library_errors,
    load_session,
    load_tokenizer,
)
from ce2de_os.reading import readable


class LoadedModel(ABC):
    """Base of encoder and reranker.

    A copy is the object itself: threads may share it, and nothing in it changes. Pickled, only the folder and
    the settings travel.

    Raises:
        ArtifactError: the model cannot be loaded.
        ConfigError: ``threads`` or ``batch_tokens`` is below 1, or ``threads`` too large.
    """

    def __init__(self, artifact: Artifact, threads: int, batch_tokens: int) -> None:
        if not 1 <= threads <= MOST_THREADS or batch_tokens < 1:
            raise ConfigError(
                f"got {threads} threads and {batch_tokens} batch_tokens, expected at least 1 of each and "
                f"at most {MOST_THREADS:,} threads; see `threads` or CE2DE_THREADS"
            )
        self.artifact = artifact
        self._threads = threads
        self._batch_tokens = batch_tokens
        self._max_chars = artifact.max_length * CHARS_PER_TOKEN
        self._tokenizer = load_tokenizer(artifact)
        self._load()
        renew_after_fork(self, LoadedModel._reload)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.artifact.folder, self._threads, self._batch_tokens)

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @property
    def fingerprint(self) -> str:
        """The artifact's fingerprint."""
        return self.artifact.fingerprint

    def _cut(self, text: str) -> str:
        """Return the part of a text that the model may read, without what no tokenizer takes."""
        return readable(text[: self._max_chars])

    @abstractmethod
    def _check_canaries(self) -> None:
        """Raise `ParityError` if this machine computes other values than the stored ones."""

    def _replay_canaries(self) -> None:
        with library_errors(f"{self.artifact.folder}: the model cannot be run"):
            self._check_canaries()

    def _load(self) -> None:
        self._session = load_session(self.artifact, self._threads)

    def _reload(self) -> None:
        """Load the model anew in a forked process, which has none of the model's threads."""
        if self._threads > 1:
            keep_for_good(self._session)
            self._load()


def _again(kind: Callable[..., LoadedModel], folder: Path, threads: int, batch_tokens: int) -> LoadedModel:
    """Load a model that was pickled."""
    return kind(folder, threads=threads, batch_tokens=batch_tokens)
