"""Find documents of an evaluation among the training texts: figures of such a student would be too good."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

from ce2de_os.distill.data.texts import TrainingPassage
from ce2de_os.errors import DataError
from ce2de_os.evaluation import Collection

RUN_WORDS = 20
"""Words in a row that a text and a document must share; set phrases of a field are shorter."""

_STEP = RUN_WORDS // 2  # so that 29 common words in a row are always found
_WORD = re.compile(r"[^\W_]+")


def check_leakage(passages: Sequence[TrainingPassage], collections: Sequence[Collection]) -> None:
    """Compare hashes of `RUN_WORDS` words in a row, without regard to case and punctuation.

    Raises:
        DataError: a passage holds text of a collection's document.
    """
    known = {
        key: collection.name
        for collection in collections
        for document in collection.documents
        for key in _keys(document, 1)
    }
    if not known:
        return
    found = [
        (passage, name)
        for passage in passages
        if (name := next(filter(None, map(known.get, _keys(passage.text, _STEP))), None)) is not None
    ]
    if found:
        passage, name = found[0]
        raise DataError(
            f"texts: {len(found)} of {len(passages)} passages hold text of documents that "
            f"evaluate.collections judges the student by, such as one of '{passage.source}' and '{name}': "
            f"'{passage.text[:60]}…'; take those documents out of the texts, or use another collection"
        )


def _keys(text: str, step: int) -> Iterator[bytes]:
    """Yield a hash of every run of words that begins at a multiple of ``step``."""
    words = _WORD.findall(text.casefold())
    for start in range(0, len(words) - RUN_WORDS + 1, step):
        run = " ".join(words[start : start + RUN_WORDS])
        yield hashlib.blake2b(run.encode("utf-8", "replace"), digest_size=8).digest()
