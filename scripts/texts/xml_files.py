"""Read XML files of other people, without namespaces."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from texts.fetching import say

_BARE = re.compile(r"&(?!\w+;|#)")  # some files have it, though XML forbids it


def xml_files(folder: Path, pattern: str) -> Iterator[Element]:
    """Yield the root of each file that matches; a file that is no XML is skipped with a message."""
    for path in sorted(folder.glob(pattern)):
        try:
            root = ElementTree.fromstring(_BARE.sub("&amp;", path.read_text("utf-8")))  # noqa: S314 - expat
        except (ElementTree.ParseError, UnicodeDecodeError) as error:
            say(f"{path}: skipped, no XML ({error})")
            continue
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        yield root


def text_of(element: Element | None, skipped: Collection[str] = ()) -> str:
    """Return the text of an element and of what is in it, but not in elements named ``skipped``.

    ``None`` has no text.
    """
    if element is None:
        return ""
    inside = (
        ("" if child.tag in skipped else text_of(child, skipped)) + (child.tail or "") for child in element
    )
    return (element.text or "") + "".join(inside)
