"""Canary texts: their embeddings travel with the artifact and are replayed where it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import Embeddings

DECIMALS = 6

TEXTS = (
    "a",
    "search engine",
    "How do I read a compressed file line by line?",
    "Library for parsing configuration files - development headers",
    "The pressure on the upper surface of the wing falls as the angle of attack rises, "
    "until the flow separates.",
    "Returns True if the set has no elements in common with other; sets are disjoint if their "
    "intersection is empty.",
    "A catalogue arranges what a library owns by author, by title and by subject, so that a reader who "
    "knows one of them finds the shelf.",
    "Add salt and two spoons of flour, stir until the sauce thickens, and serve it hot with bread.",
    "ERROR 503: upstream connect error or disconnect before headers; retry in 30 s (attempt 4 of 10)",
    "SELECT title, price FROM books WHERE year >= 1999 ORDER BY price DESC LIMIT 25;",
    "Vitamin C deficiency causes scurvy; early signs are fatigue, sore joints and bleeding gums.",
    "Der schnelle braune Fuchs springt über den faulen Hund. Il gatto dorme sul divano.",
    "日本語の文章 🙂 emoji, ünïcödé and 1,234.56 € in one line",
    "!!! ??? ... --- *** ###",
    "The treaty ended the war, but its terms left both sides poorer, and within a generation the border "
    "was disputed again. Merchants moved their trade to the coast, the inland towns shrank, and the roads "
    "between them were no longer kept in repair. What had been a week's journey now took a month, and "
    "travellers went armed. Only when a railway was built along the river did people return, and with them "
    "schools, mills and a newspaper.",
    "buffer " * 120,
)
"""From one letter to a hundred words, prose, code, noise and other scripts: what an index may contain."""


def write_canaries(path: Path, embeddings: Embeddings, token_means: Embeddings | None = None) -> None:
    """Write `TEXTS` with their float32 embeddings ``(16, D)``, one JSON object a line.

    ``token_means`` are the means of their token vectors, ``(16, T)``; ``None``: the model gives none.
    """
    with path.open("w", encoding="utf-8") as file:
        for place, (text, row) in enumerate(zip(TEXTS, embeddings, strict=True)):
            line: dict[str, Any] = {"text": text, "embedding": _rounded(row)}
            if token_means is not None:
                line["token_mean"] = _rounded(token_means[place])
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _rounded(row: NDArray[np.float32]) -> list[float]:
    return [round(float(value), DECIMALS) for value in row]
