"""Read abstracts: arXiv, the ACL Anthology, the conferences on digital humanities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from texts.prose import Section, without_tex
from texts.xml_files import text_of, xml_files

LEAST_WORDS = 40
MOST_DOLLARS = 28  # two for each formula
FIRST_FREE_YEAR = 2016  # older papers of the ACL Anthology may not be used commercially
FREE_PUBLISHERS = {
    "Association for Computational Linguistics",
    "International Committee on Computational Linguistics",
}
_NO_PROSE = {"note", "figure", "table", "formula", "graphic", "ptr"}


def arxiv(folder: Path) -> Iterator[Section]:
    """Titles and abstracts of pages of OAI-PMH records, prefix ``arXiv``; withdrawn papers are left out."""
    for root in xml_files(folder, "*/*.xml"):
        for record in root.iter("arXiv"):
            abstract = text_of(record.find("abstract"))
            prose = abstract.count("$") <= MOST_DOLLARS and len(abstract.split()) >= LEAST_WORDS
            if prose and "withdrawn" not in abstract.lower():
                yield Section(without_tex(text_of(record.find("title"))), [without_tex(abstract)])


def acl_anthology(folder: Path) -> Iterator[Section]:
    """Titles and abstracts of the volumes whose papers are free to use."""
    for root in xml_files(folder, "data/xml/*.xml"):
        transactions = root.get("id", "").endswith(".tacl") or root.get("id", "").startswith("Q")
        for volume in root.iter("volume"):
            if _is_free(volume, transactions):
                for paper in volume.iter("paper"):
                    abstract = without_tex(text_of(paper.find("abstract")))
                    if abstract:
                        yield Section(without_tex(text_of(paper.find("title"))), [abstract])


def _is_free(volume: Element, transactions: bool) -> bool:
    year = text_of(volume.find("meta/year")).strip()
    publisher = text_of(volume.find("meta/publisher")).strip()
    old_enough = year.isdecimal() and int(year) >= FIRST_FREE_YEAR
    return old_enough and (transactions or publisher in FREE_PUBLISHERS)


def dh_abstracts(folder: Path) -> Iterator[Section]:
    """Titles and paragraphs of TEI files."""
    for root in xml_files(folder, "data/DH/xml/**/*.xml"):
        title = root.find(".//titleStmt/title")
        inner = [] if title is None else [text_of(one).strip() for one in title.iter("title")][1:]
        body = root.find(".//text/body")
        paragraphs = [] if body is None else [text_of(one, _NO_PROSE) for one in body.iter("p")]
        yield Section(": ".join(filter(None, inner)) or text_of(title), paragraphs)
