"""Read books and manuals: OpenStax, early volumes of the Britannica, Wikipedia, the manual of OpenFAST."""

from __future__ import annotations

import bz2
import json
import re
import string
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from texts.prose import Section
from texts.xml_files import text_of, xml_files

ARTICLE_WORDS, LEAST_WORDS = 1500, 60
_NESTED = {"section", "note", "example"}
_NO_PROSE = {
    "title",
    "table",
    "equation",
    "media",
    "metadata",
    "footnote",
    "figure",
    "exercise",
    "list",
    "note",
}
_REPLACED = [
    (
        re.compile(r"<!--.*?-->|<ref\b[^>]*/>|<ref.*?</ref>|<(math|gallery|code|table)\b.*?</\1>", re.DOTALL),
        "",
    ),
    (re.compile(r"\[\[(?:File|Image|Category):(?:[^\[\]]|\[\[[^\]]*\]\])*\]\]", re.IGNORECASE), ""),
    (re.compile(r"\[\[(?:[^|\]]*\|)?([^|\]]*)\]\]"), r"\1"),
    (re.compile(r"\[https?://\S+ ?([^\]]*)\]"), r"\1"),
    (re.compile(r"'{2,}|<[^>]*>|__[A-Z]+__"), ""),
    (re.compile(r"&nbsp;"), " "),
]
_INNERMOST = re.compile(r"\{\{[^{}]*\}\}|\{\|(?:(?!\{\|).)*?\|\}", re.DOTALL)
_HEADING = re.compile(r"^==+\s*.*?\s*==+\s*$", re.MULTILINE)
_SKIPPED_PAGES = re.compile(r"^(?:List of|Lists of|Outline of|Index of)|\(disambiguation\)$")
_RULER = re.compile(r"^([=\-~^\"'#*+.`:])\1{2,}\s*$")
_ROLE = re.compile(
    r":[\w:]+:`([^`<]*?)\s*(?:<[^`>]*>)?`|`([^`<]*?)\s*<[^`>]*>`_+|``([^`]*)``|`([^`]*)`_*|\*+([^*]+)\*+"
)
_NO_TEXT = re.compile(r"^(?:\.\. |\||\+[-=]|:\w|=+ +=)")


def openstax(folder: Path) -> Iterator[Section]:
    """Sections, exercises, glossaries and captions of a book's modules."""
    for root in xml_files(folder, "modules/*/index.cnxml"):
        content = root.find("content")
        if content is not None:
            yield from _book_sections(content, text_of(root.find("title")))
            yield from (_exercise(one) for one in content.iter("exercise"))
            yield Section("", [text_of(one) for one in content.iter("caption")])
        for definition in root.iter("definition"):
            yield Section(
                text_of(definition.find("term")), [text_of(definition.find("meaning"))], in_texts=False
            )


def _book_sections(element: Element, title: str) -> Iterator[Section]:
    yield Section(title, list(_paragraphs(element)))
    for child in _nested(element):
        yield from _book_sections(child, text_of(child.find("title")))


def _paragraphs(element: Element) -> Iterator[str]:
    for child in element:
        if child.tag == "para":
            yield text_of(child, _NO_PROSE)
            yield from _paragraphs(child)
        elif child.tag == "list":
            yield " ".join(" ".join(text_of(item, _NO_PROSE).split()) for item in child.iter("item"))
        elif child.tag not in _NESTED | _NO_PROSE:
            yield from _paragraphs(child)


def _nested(element: Element) -> Iterator[Element]:
    for child in element:
        if child.tag in _NESTED:
            yield child
        elif child.tag != "exercise":
            yield from _nested(child)


def _exercise(exercise: Element) -> Section:
    problem, solution = exercise.find("problem"), exercise.find("solution")
    question = " ".join(text_of(one) for one in ([] if problem is None else problem.iter("para")))
    return Section(question, [] if solution is None else [text_of(one) for one in solution.iter("para")])


def britannica(folder: Path) -> Iterator[Section]:
    """Articles of volumes in JSON: ``h`` is the headword, ``t`` the text, paragraphs apart by empty lines."""
    for path in sorted(folder.glob("docs/*/data/vol*.json")):
        for article in json.loads(path.read_text("utf-8")):
            text = re.sub(r"-\n(?=[a-z])", "", article["t"])
            yield Section(string.capwords(article["h"]), text.split("\n\n"))


def wikipedia(path: Path) -> Iterator[Section]:
    """Titles, and the first 1,500 words of prose, of the articles of a dump ``pages-articles*.xml.bz2``."""
    with bz2.open(path) as file:
        for _, page in ElementTree.iterparse(file):  # noqa: S314 - the dump's own entities, expat's limits
            if page.tag.rpartition("}")[2] == "page":
                for element in page.iter():
                    element.tag = element.tag.rpartition("}")[2]
                yield from _article(page)
                page.clear()


def _article(page: Element) -> Iterator[Section]:
    title = text_of(page.find("title"))
    is_article = text_of(page.find("ns")) == "0" and page.find("redirect") is None
    if not is_article or _SKIPPED_PAGES.search(title):
        return
    paragraphs, words = list[str](), 0
    for paragraph in wiki_paragraphs(text_of(page.find("revision/text"))):
        if words >= ARTICLE_WORDS:
            break
        paragraphs.append(paragraph)
        words += paragraph.count(" ") + 1
    if words >= LEAST_WORDS:
        yield Section(title, paragraphs)


def wiki_paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of wiki text: no templates, tables, files, notes, lists or headings."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    shorter = _INNERMOST.sub("", text)
    while shorter != text:
        text, shorter = shorter, _INNERMOST.sub("", shorter)
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    for line in _HEADING.sub("", text).splitlines():
        if line[:1] not in "*#:;|!{} ":
            yield line


def openfast(folder: Path) -> Iterator[Section]:
    """Sections of reStructuredText; directives, tables and code are left out."""
    for path in sorted(folder.glob("docs/source/**/*.rst")):
        title, paragraphs = "", list[str]()
        for block in rst_blocks(path.read_text("utf-8")):
            if block.startswith("\0"):
                yield Section(title, paragraphs)
                title, paragraphs = block[1:], []
            else:
                paragraphs.append(block)
        yield Section(title, paragraphs)


def rst_blocks(text: str) -> Iterator[str]:
    """Paragraphs, and headings with a zero byte in front."""
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if line.strip()]
        if lines and _RULER.match(lines[0]):
            del lines[0]
        if len(lines) > 1 and _RULER.match(lines[1]):
            yield "\0" + _plain(lines[0].strip())
            del lines[:2]
        if lines and lines[0][0] not in " \t" and not _NO_TEXT.match(lines[0]):
            yield _plain(" ".join(line.strip() for line in lines)).replace("::", ":")


def _plain(text: str) -> str:
    return _ROLE.sub(lambda found: next(filter(None, found.groups()), ""), text).replace("|", "")
