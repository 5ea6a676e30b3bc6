"""Read English texts of Debian packages: manuals, dictionaries, descriptions; and docstrings of Python."""

from __future__ import annotations

import ast
import gzip
import json
import re
import subprocess
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from ce2de_os.errors import DataError
from ce2de_os.writing import replacing

APT_GET, APT_HELPER, DPKG_DEB = "/usr/bin/apt-get", "/usr/lib/apt/apt-helper", "/usr/bin/dpkg-deb"
MIN_CHARS = 3
_SKIPPED_TAGS = {"script", "style", "pre", "code", "nav", "table", "head", "footer", "math", "svg", "button"}
_BLOCK_TAGS = {
    "p", "h1", "h2", "h3", "h4", "h5", "dt", "dd", "li", "div", "br", "td", "blockquote", "section",
}  # fmt: skip


class _ProseParser(HTMLParser):
    """Collects the blocks of running text of a page; code, tables and navigation are left out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self._parts: list[str] = []
        self._skipped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a block, or a part of the page to skip (inline code stays: it is part of a sentence)."""
        if tag in _SKIPPED_TAGS and not (tag == "code" and not self._skipped):
            self._skipped.append(tag)
        elif tag in _BLOCK_TAGS:
            self._close_block()

    def handle_endtag(self, tag: str) -> None:
        """Close a block or a skipped part."""
        if tag in self._skipped:
            while self._skipped.pop() != tag:
                pass
        elif tag in _BLOCK_TAGS:
            self._close_block()

    def handle_data(self, data: str) -> None:
        """Add text to the open block."""
        if not self._skipped:
            self._parts.append(data)

    def _close_block(self) -> None:
        self.blocks.append("".join(self._parts))
        self._parts = []


def html_blocks(text: str) -> Iterator[str]:
    """Headings and paragraphs of an HTML page."""
    parser = _ProseParser()
    parser.feed(text)
    parser.close()
    for block in parser.blocks:
        yield block.replace("¶", "").replace("\N{LINK SYMBOL}", "")


def man_blocks(text: str) -> Iterator[str]:
    """Headings and paragraphs of a manual page in roff; indented examples are left out."""
    example, lines = False, list[str]()
    for line in text.splitlines():
        macro = line[:3]
        if macro in (".nf", ".EX"):
            example = True
        elif macro in (".fi", ".EE"):
            example = False
        if macro in (".SH", ".SS", ".PP", ".TP", ".P", ".LP", ".IP", ".B ") or not line.strip():
            yield " ".join(lines)
            lines = []
        kept = re.match(r"\.(?:BR?|IR?|RB|RI|BI|IB)\s+(.*)", line)
        if kept and not example:
            lines.append(kept[1].replace('"', ""))
        elif line[:1] not in (".", "'") and not example:
            lines.append(line)
    yield " ".join(lines)


def clean_roff(block: str) -> str:
    """Remove roff escapes: fonts, dashes, quotes."""
    block = re.sub(r"\\f(?:\[[^\]]*\]|\(..|.)|\\s[-+]?\d|\\&|\\/|\\,|\\\|", "", block)
    block = block.replace("\\-", "-").replace("\\(aq", "'").replace("\\(lq", '"').replace("\\(rq", '"')
    return re.sub(r"\\\(..|\\\[[^\]]*\]|\\.", " ", block)


def man_paragraphs(text: str) -> Iterator[str]:
    """`man_blocks` without roff escapes."""
    yield from (clean_roff(block) for block in man_blocks(text))


def pod_blocks(text: str) -> Iterator[str]:
    """Headings and paragraphs of Perl documentation."""
    for block in re.split(r"\n\s*\n", text):
        if block.startswith("=head"):
            block = block.partition(" ")[2]
        if block and block[0] not in " \t=":
            block = re.sub(r"[A-Z]<+\s?([^<>|]*\|)?([^<>]*?)\s?>+", r"\2", block)
            yield block


def plain_blocks(text: str) -> Iterator[str]:
    """Paragraphs of plain text, those that look like drawings or tables left out."""
    for block in re.split(r"\n\s*\n|\n%\n", text):
        letters = sum(char.isalpha() or char.isspace() for char in block)
        if letters > 0.85 * len(block):
            yield block


def gcide_blocks(text: str) -> Iterator[str]:
    """Entries of the Collaborative International Dictionary: headword with gloss, and each sense alone."""
    for entry in re.split(r"\n(?=\S)", text):
        head, _, body = entry.partition("\\")
        body = re.sub(r"\[[^\]]*\]", "", body.partition("\n")[2])
        for number, sense in enumerate(re.split(r"\n\s*\n|\n\s+(?=\d+\. )", body)):
            sense = re.sub(r"^\s*(\d+\.|Syn:|Note:)\s*|[{}]|--[A-Z][\w.& ]+\.?", "", sense)
            yield f"{head.strip()}: {sense.strip()}" if number == 0 else sense


def dict_blocks(text: str) -> Iterator[str]:
    """Entries of a dictionary whose headwords start at the margin."""
    for entry in re.split(r"\n(?=\S)", text):
        head, _, body = entry.partition("\n")
        for number, block in enumerate(re.split(r"\n\s*\n", body)):
            block = re.sub(r"<[^>]*>|[{}]", "", block)
            yield f"{head.strip()}: {block.strip()}" if number == 0 else block


def wordnet_blocks(text: str) -> Iterator[str]:
    """Synonym sets: words with gloss, the gloss alone, the words alone, and the example sentences."""
    for line in text.splitlines():
        fields, _, gloss = line.partition(" | ")
        columns = fields.split(" ")
        if line.startswith("  ") or len(columns) < 5:
            continue
        count = int(columns[3], 16)
        words = ", ".join(word.replace("_", " ") for word in columns[4 : 4 + 2 * count : 2])
        definition, *examples = gloss.split('; "')
        yield f"{words}: {definition}"
        yield definition
        yield words
        yield from (example.strip(' "') for example in examples)


Extract = Callable[[str], Iterable[str]]

# package: (files inside it, how to read them)
PACKAGES: dict[str, tuple[str, Extract]] = {
    "wordnet-base": ("usr/share/wordnet/data.*", wordnet_blocks),
    "dict-gcide": ("usr/share/dictd/*.dz", gcide_blocks),
    "dict-foldoc": ("usr/share/dictd/*.dz", dict_blocks),
    "dict-jargon": ("usr/share/dictd/*.dz", dict_blocks),
    "dict-elements": ("usr/share/dictd/*.dz", dict_blocks),
    "xfoil": ("usr/share/doc/xfoil/*.txt.gz", plain_blocks),
    "fortunes": ("usr/share/games/fortunes/*", plain_blocks),
    "miscfiles": ("usr/share/misc/**/*.gz", plain_blocks),
    "manpages": ("usr/share/man/man*/*.gz", man_paragraphs),
    "manpages-dev": ("usr/share/man/man*/*.gz", man_paragraphs),
    "perl-doc": ("usr/share/perl/**/*.pod", pod_blocks),
}
HTML_PACKAGES = [
    "anarchism", "apache2-doc", "calculix-ccx-doc", "debian-faq", "debian-policy", "debian-reference-en",
    "developers-reference", "freefem-doc", "geographiclib-doc", "git-doc", "gnuradio-doc", "grass-doc",
    "harden-doc", "libreoffice-help-en-us", "maxima-doc", "octave-doc", "postgresql-doc-15", "pysph-doc",
    "python-astropy-doc", "python-biopython-doc", "python-pandas-doc", "python-scipy-doc",
    "python-sklearn-doc", "python-statsmodels-doc", "python-sympy-doc", "python3.11-doc", "xapian-doc",
    "yade-doc",
]  # fmt: skip
PACKAGES |= {name: ("usr/share/**/*.html", html_blocks) for name in HTML_PACKAGES}


def unpack(package: str, folder: Path) -> Path:
    """Download a package into ``folder`` and unpack it there, once."""
    target = folder / package
    if not target.is_dir():
        subprocess.run(
            [APT_GET, "-q", "download", package], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        archive = next(folder.glob(f"{package}_*.deb"))
        subprocess.run([DPKG_DEB, "-x", str(archive), str(target)], check=True)
    return target


def package_texts(folder: Path, pattern: str, extract: Extract) -> Iterator[str]:
    """Yield the blocks of every matching file of an unpacked package."""
    for path in sorted(folder.glob(pattern)):
        # Doxygen writes the source code itself into pages of this name.
        if path.is_file() and not path.is_symlink() and not path.name.endswith("_source.html"):
            yield from extract(read_text(path))


def read_text(path: Path) -> str:
    """Read a file's text, unpacked if it is gzip (dictzip is gzip too)."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return data.decode("utf-8", "replace")


def docstring_texts() -> Iterator[str]:
    """Paragraphs of the docstrings of this Python's standard library, and pydoc's topics."""
    from pydoc_data.topics import topics

    for topic in topics.values():
        yield from plain_blocks(topic)
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("**/*.py")):
        if not {"test", "tests", "site-packages", "dist-packages"} & set(path.parts):
            yield from module_docstrings(path)


def module_docstrings(path: Path) -> Iterator[str]:
    """Paragraphs of one module's docstrings."""
    try:
        tree = ast.parse(read_text(path))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from plain_blocks(ast.get_docstring(node) or "")


def description_texts() -> Iterator[str]:
    """Yield the long descriptions of Debian's packages from apt's lists, without the one-line titles.

    Titles make good evaluation queries, so no model of this project learns from them.

    Raises:
        DataError: apt has no English descriptions.
    """
    lists = subprocess.run(
        [APT_GET, "-o", "Acquire::Languages=en", "indextargets", "--format", "$(FILENAME)",
         "Identifier: Translations"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    english = [path for path in sorted(set(lists.stdout.split())) if "Translation-en" in path]
    if not english:
        raise DataError("apt has no English descriptions; run: apt-get update -o Acquire::Languages=en")
    for path in english:
        text = subprocess.run([APT_HELPER, "cat-file", path], check=True, capture_output=True).stdout
        yield from translation_blocks(text.decode("utf-8", "replace"))


def translation_blocks(text: str) -> Iterator[str]:
    """Long descriptions of a Translation-en list, without their first line (the title)."""
    for stanza in text.split("\n\n"):
        _, found, description = stanza.partition("\nDescription-en: ")
        if found:
            body = description.partition("\n")[2]
            yield re.sub(r"\s+", " ", body.replace("\n .\n", "\n"))


def corpus_texts(path: Path) -> Iterator[str]:
    """Titles and texts of a ``corpus.jsonl[.gz]``; empty titles are skipped."""
    for line in read_text(path).splitlines():
        row = json.loads(line)
        yield row.get("title") or ""
        yield row["text"]


def write_texts(path: Path, blocks: Iterable[str]) -> int:
    """Write one block a line, spaces collapsed and repeats left out; returns the number of lines."""
    seen: set[int] = set()
    with replacing(path) as file:
        for block in blocks:
            line = " ".join(block.split())
            if len(line) >= MIN_CHARS and hash(line) not in seen:
                seen.add(hash(line))
                file.write(line + "\n")
    return len(seen)
