"""Write the texts, pairs and titles of a source, and the list of sources with their licenses."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ce2de_os.distill.data.sources import SOURCES_FILE
from ce2de_os.writing import replacing
from texts.homes import Source
from texts.prose import Section, clean, is_passage, is_title, passages

_LETTERS = re.compile(r"[^a-z0-9]+")
PAIR_LETTERS = 15


class Counts(NamedTuple):
    """How many lines were written."""

    texts: int
    pairs: int
    short: int


class Written:
    """Knows what was written, by its letters and digits."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def is_new(self, kind: str, text: str) -> bool:
        """Return whether this text was not written yet as one of its kind."""
        letters = _LETTERS.sub("", text.lower())
        key = hashlib.blake2b(f"{kind}:{letters}".encode(), digest_size=12).digest()
        new = key not in self._seen
        self._seen.add(key)
        return new


def write_source(name: str, sections: Iterable[Section], out: Path, written: Written, short: bool) -> Counts:
    """Write ``NAME.txt.gz``, ``pairs.NAME.jsonl.gz`` and ``short.NAME.txt.gz``, and return the lines of each.

    A file without lines is not written. ``short``: whether to write the titles.
    """
    texts, pairs, titles = list[str](), list[str](), list[str]()
    for section in sections:
        title, found = clean(section.title), list(passages(section.paragraphs))
        if section.in_texts:
            texts += [text for text in found if is_passage(text) and written.is_new("text", text)]
        if not is_title(title):
            continue
        if found and is_answer(found[0], section) and written.is_new("pair", title + found[0]):
            pairs.append(json.dumps({"title": title, "text": found[0]}, ensure_ascii=False))
        if short and section.in_texts and written.is_new("short", title):
            titles.append(title)
    for path, lines in (
        (f"{name}.txt.gz", texts), (f"pairs.{name}.jsonl.gz", pairs), (f"short.{name}.txt.gz", titles),
    ):  # fmt: skip
        if lines:
            with replacing(out / path) as file:
                file.writelines(line + "\n" for line in lines)
    return Counts(len(texts), len(pairs), len(titles))


def is_answer(text: str, section: Section) -> bool:
    """Return whether a text can answer its title: prose, or the short text of a pair alone."""
    return is_passage(text) or (not section.in_texts and len(_LETTERS.sub("", text.lower())) >= PAIR_LETTERS)


def write_license(name: str, source: Source, out: Path) -> None:
    """Add a source to the list of sources in ``out``."""
    path = out / SOURCES_FILE
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known[name] = {
        "home": source.home.url,
        "commit": source.home.commit or None,
        "license": source.license,
        "attribution": source.attribution,
    }
    with replacing(path) as file:
        file.write(json.dumps(dict(sorted(known.items())), indent=2, ensure_ascii=False) + "\n")
