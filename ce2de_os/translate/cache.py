"""A cache of translations, so that no sentence is translated twice."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from ce2de_os.errors import DataError
from ce2de_os.translate.base import Translation

FILE = "translations.sqlite"
_ASKED = 500  # keys in one query
_WAIT_S = 60.0  # seconds to wait for another run that is writing


class TranslationCache:
    """Pieces and their translations by one translator, in a file that any number of runs share.

    The key of a piece is the hash of itself and of the translator's identity. Added translations are stored
    at once: a run that is killed loses none of them. A context manager.

    Raises:
        DataError: the file cannot be read or written.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._path, self._identity = folder / FILE, hashlib.sha256(identity.encode()).digest()
        with self._errors():
            folder.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(self._path, timeout=_WAIT_S)
            self._rows.execute(
                "CREATE TABLE IF NOT EXISTS translations "
                "(key BLOB PRIMARY KEY, text TEXT NOT NULL, whole INTEGER NOT NULL) WITHOUT ROWID"
            )

    def __enter__(self) -> TranslationCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()

    def find(self, pieces: Sequence[str]) -> dict[str, Translation]:
        """Look up ``pieces``; return the known translations by piece."""
        keys = {self._key(piece): piece for piece in pieces}
        wanted, found = list(keys), {}
        with self._errors():
            for start in range(0, len(wanted), _ASKED):
                asked = wanted[start : start + _ASKED]
                marks = ",".join("?" * len(asked))
                question = f"SELECT key, text, whole FROM translations WHERE key IN ({marks})"  # noqa: S608 - question marks only
                for key, text, whole in self._rows.execute(question, asked):
                    found[keys[key]] = Translation(text, bool(whole))
        return found

    def add(self, translations: Mapping[str, Translation]) -> None:
        """Keep translations by their pieces: all of them or, if the run is killed, none."""
        rows = [(self._key(piece), one.text, one.whole) for piece, one in translations.items()]
        with self._errors(), self._rows:
            self._rows.executemany("INSERT OR REPLACE INTO translations VALUES (?, ?, ?)", rows)

    def _key(self, piece: str) -> bytes:
        return hashlib.blake2b(piece.encode(), key=self._identity, digest_size=16).digest()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"{self._path}: the cache of translations cannot be used ({error}); choose another folder, "
                "or remove the file to translate everything again"
            ) from error
