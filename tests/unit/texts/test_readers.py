"""Each reader on a sample in the format of its home."""

from __future__ import annotations

import bz2
import json

import pytest
from texts import books, facts, science
from texts.prose import Section, clean, is_passage, is_title, passages, without_tex

TEI = '<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><fileDesc><titleStmt>{}</titleStmt></fileDesc>'
ARXIV = """<?xml version="1.0" encoding="UTF-8"?>
<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><responseDate>2025-03-01T00:00:00Z</responseDate>
<ListRecords>
<record><header><identifier>oai:arXiv.org:2503.00001</identifier><datestamp>2025-03-01</datestamp>
<setSpec>physics:physics:flu-dyn</setSpec></header><metadata>
<arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>2503.00001</id><created>2025-03-01</created>
<authors><author><keyname>Doe</keyname><forenames>Jo</forenames></author></authors>
<title>Waves over a flat plate: the {\\em G\\"odel} case</title><categories>physics.flu-dyn</categories>
<abstract>  We study $\\alpha$ waves %s
</abstract></arXiv></metadata></record>
<record><header status="deleted"><identifier>oai:arXiv.org:2503.00002</identifier></header></record>
<record><metadata><arXiv xmlns="http://arxiv.org/OAI/arXiv/"><title>Gone</title>
<abstract>This paper has been withdrawn by its authors %s</abstract></arXiv></metadata></record>
<record><metadata><arXiv xmlns="http://arxiv.org/OAI/arXiv/"><title>Formulas</title>
<abstract>%s %s</abstract></arXiv></metadata></record>
<resumptionToken cursor="0" completeListSize="3">1|1</resumptionToken></ListRecords></OAI-PMH>"""
LONG = "that move along the plate and grow " * 8


def read(tmp_path, reader, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [
        Section(clean(title), [clean(one) for one in paragraphs if one.strip()], kept)
        for title, paragraphs, kept in reader(tmp_path)
    ]


def test_arxiv(tmp_path):
    found = read(tmp_path, science.arxiv, {"cs-1/00000.xml": ARXIV % (LONG, LONG, "$x$ " * 15, LONG)})
    assert found == [
        ("Waves over a flat plate: the Godel case", [f"We study alpha waves {LONG.strip()}"], True)
    ]


ACL = """<?xml version='1.0' encoding='UTF-8'?>
<collection id="{id}"><volume id="1"><meta><booktitle>Proceedings</booktitle>
<publisher>{publisher}</publisher><year>{year}</year></meta>
<frontmatter><url>x</url></frontmatter>
<paper id="1"><title>A <fixed-case>BERT</fixed-case> for <tex-math>n^2</tex-math> Pairs</title>
<author><first>Jo</first><last>Doe</last></author>
<abstract>We use <i>pairs</i>. See <url>https://example.org/code</url> for code.</abstract></paper>
<paper id="2"><title>No Abstract</title></paper></volume></collection>"""


@pytest.mark.parametrize(
    ("name", "publisher", "year", "free"),
    [
        ("2020.acl", "Association for Computational Linguistics", "2020", True),
        ("2020.coling", "International Committee on Computational Linguistics", "2020", True),
        ("P15", "Association for Computational Linguistics", "2015", False),
        ("2020.lrec", "European Language Resources Association", "2020", False),
        ("2020.tacl", "MIT Press", "2020", True),
        ("Q16", "MIT Press", "2016", True),
        ("J16", "MIT Press", "2016", False),
        ("2020.acl", "Association for Computational Linguistics", "", False),
    ],
)
def test_acl_anthology(tmp_path, name, publisher, year, free):
    files = {f"data/xml/{name}.xml": ACL.format(id=name, publisher=publisher, year=year)}
    expected = [("A BERT for n^2 Pairs", ["We use pairs. See for code."], True)]
    assert read(tmp_path, science.acl_anthology, files) == (expected if free else [])


def test_dh_abstracts(tmp_path, capsys):
    body = "<text><body><div><p>On <hi>maps</hi><note>aside</note> & more.</p></div><p>Two.</p></body></text>"
    body += "</TEI>"
    full = '<title type="full"><title type="main">Maps</title><title type="sub">Old ones</title></title>'
    files = {
        "data/DH/xml/2017/1.xml": TEI.format("<title>Letters</title>") + "</teiHeader>" + body,
        "data/DH/xml/2020/2.xml": TEI.format(full) + "</teiHeader>" + body,
        "data/DH/xml/2020/3.xml": "<TEI><text>",
    }
    paragraphs = ["On maps & more.", "Two."]
    expected = [("Letters", paragraphs, True), ("Maps: Old ones", paragraphs, True)]
    assert read(tmp_path, science.dh_abstracts, files) == expected
    assert "2020/3.xml: skipped, no XML" in capsys.readouterr().err


def test_medquad(tmp_path):
    text = """<?xml version="1.0" encoding="UTF-8"?>
<Document id="1" source="A" url="https://example.org"><Focus>Colds</Focus><QAPairs>
\t<QAPair pid="1"><Question qid="1-1" qtype="information">What is (are) Colds ?</Question>
\t\t<Answer>Key Points
                    - A cold is common.    - It passes.
                \n                \n                    Rest helps:         - sleep.      - drink water.
\t\t</Answer></QAPair>
\t<QAPair pid="2"><Question qid="1-2" qtype="causes">What causes Colds ?</Question><Answer/></QAPair>
</QAPairs></Document>"""
    assert read(tmp_path, facts.medquad, {"1_CancerGov_QA/1.xml": text}) == [
        ("What is Colds?", ["A cold is common. - It passes.", "Rest helps:", "sleep.", "drink water."], True),
        ("What causes Colds?", [], True),
    ]


def test_factbook(tmp_path):
    long = "an island far from every coast with hills of chalk and a mild climate"
    country = {
        "Introduction": {"Background": {"text": f"<p>{long}</p><p>{long}</p>"}},
        "Geography": {
            "Area": {"total": {"text": "12 sq km"}},
            "Land boundaries": {"note": {"text": f"<strong>note:</strong> {long}"}},
        },
        "Government": {"Country name": {"conventional short form": {"text": "Thule"}}},
    }
    unnamed = {"Introduction": {"Background": {"text": long}}}
    files = {"europe/th.json": json.dumps(country), "meta/xx.json": json.dumps(unnamed)}
    assert read(tmp_path, facts.factbook, files) == [
        ("", [f"Background (Thule): {long} {long}", f"note (Thule): note: {long}"], True),
        ("Background of Thule", [f"{long} {long}"], False),
    ]


def test_cfpb_regulations(tmp_path):
    def tree(word):
        leaf = {"children": [], "label": ["1005", "1", "a"], "text": f"(a) Scope.{word}", "marker": "(a)"}
        section = {"children": [leaf], "label": ["1005", "1"], "text": "", "title": "§ 1005.1 Purpose."}
        return json.dumps(
            {"children": [{"children": [section], "text": ""}], "text": "", "title": "PART 1005"}
        )

    analysis = {"title": "Section <em>1</em>", "paragraphs": ["A <em>new</em> rule."], "children": []}
    files = {
        "stub/regulation/1005/2013-1": tree("Old"),
        "stub/regulation/1005/2012-9": tree("New"),  # took effect later
        "stub/notice/1005/2013-1": json.dumps(
            {"effective_on": "2013-02-01", "section_by_section": [analysis]}
        ),
        "stub/notice/1005/2012-9": json.dumps({"effective_on": "2014-02-01", "section_by_section": None}),
    }
    assert read(tmp_path, facts.cfpb_regulations, files) == [
        ("PART 1005", [], True),
        ("Purpose.", ["Scope.New"], True),
        ("Section 1", ["A new rule."], True),
    ]


def test_query_wellformedness(tmp_path):
    files = {"train.tsv": "Who wrote it ?\t1.0\nwhat of\t0.2\n", "dev.tsv": "How so ?\t0.6\n"}
    assert [one.title for one in read(tmp_path, facts.query_wellformedness, files)] == [
        "How so?", "Who wrote it?", "what of",
    ]  # fmt: skip


def test_openstax(tmp_path):
    text = """<document xmlns="http://cnx.rice.edu/cnxml" xmlns:m="http://www.w3.org/1998/Math/MathML">
<title>Gases</title><metadata xmlns:md="http://cnx.rice.edu/mdml"><md:title>Gases</md:title></metadata>
<content><para id="a">Gas fills “space” (<link target-id="f"/>), H<sub>2</sub>O too<footnote>no</footnote>.
<list id="l"><item>one;</item><item>two.</item></list></para>
<figure id="f"><media alt="x"/><caption>A balloon.</caption></figure>
<section id="s"><title>Speed</title><para id="b">It is <m:math><m:mi>v</m:mi></m:math>.</para>
<note class="x"><title>Aside</title><para id="c">Hot air rises.</para></note>
<table><row>no</row></table><equation><m:math/></equation>
<exercise id="e"><problem id="p"><para id="d">How fast?</para></problem>
<solution id="q"><para id="g">Very fast.</para></solution></exercise></section></content>
<glossary><definition id="h"><term>gas</term><meaning id="i">matter without shape</meaning></definition>
</glossary>
</document>"""
    assert read(tmp_path, books.openstax, {"modules/m1/index.cnxml": text}) == [
        ("Gases", ['Gas fills "space", H2O too.', "one; two."], True),
        ("Speed", ["It is v."], True),
        ("Aside", ["Hot air rises."], True),
        ("How fast?", ["Very fast."], True),
        ("", ["A balloon."], True),
        ("gas", ["matter without shape"], False),
    ]


def test_britannica(tmp_path):
    articles = [{"h": "AEGEAN SEA", "t": "a part of the Medi-\nterranean.\n\nIts name is old.", "p": 1}]
    assert read(tmp_path, books.britannica, {"docs/1842/data/vol2.json": json.dumps(articles)}) == [
        ("Aegean Sea", ["a part of the Mediterranean.", "Its name is old."], True)
    ]


WIKI = """{{Infobox|a={{in|x}}}}'''Chalk''' is a [[rock (geology)|soft rock]].<ref>{{b}}</ref><ref name="b"
/>
[[File:Chalk.jpg|thumb|A [[cliff]] of chalk]]
{| class="wikitable"
| cell
|}
== History ==
* a list
It was used for [[writing]], see [https://example.org a page]&nbsp;here. <!-- hidden --> %s
[[Category:Rocks]]"""


def test_wikipedia(tmp_path):
    def page(title, text, ns=0, extra=""):
        text = text.replace("&", "&amp;").replace("<", "&lt;")
        return (
            f"<page><title>{title}</title><ns>{ns}</ns><id>1</id>{extra}<revision><id>2</id>"
            f'<text xml:space="preserve">{text}</text></revision></page>'
        )

    pages = [
        page("Chalk", WIKI % LONG), page("Chalks", "x", extra='<redirect title="Chalk"/>'),
        page("Talk:Chalk", WIKI % LONG, ns=1), page("List of rocks", WIKI % LONG), page("Stub", "Short."),
        page("Long", "\n".join([LONG] * 100)),
    ]  # fmt: skip
    dump = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">' + "".join(pages) + "</mediawiki>"
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(bz2.compress(dump.encode()))
    first, second = books.wikipedia(path)
    assert first.title == "Chalk"
    assert [clean(one) for one in first.paragraphs if one.strip()] == [
        "Chalk is a soft rock.",
        f"It was used for writing, see a page here. {LONG.strip()}",
    ]
    assert (second.title, len(second.paragraphs)) == ("Long", 27)  # of 56 words


def test_openfast(tmp_path):
    text = """.. _label:

=========
The Tower
=========
The tower *bends*, see :ref:`the blade <blade>` and :cite:`doe2020`. Run ``openfast``
as `here <https://example.org>`_::

    $ openfast input.fst

.. note::
   Not this.

+---+---+
| a | b |
+---+---+

Modes
-----

There are two modes.
"""
    assert read(tmp_path, books.openfast, {"docs/source/user/tower.rst": text}) == [
        ("", [], True),
        ("The Tower", ["The tower bends, see the blade and doe2020. Run openfast as here:"], True),
        ("Modes", ["There are two modes."], True),
    ]


@pytest.mark.parametrize(
    ("tex", "plain"),
    [
        (r"Erd\H{o}s and G\"odel, na\"{\i}ve, fa\c{c}ade, \'{e}t\'e", "Erdos and Godel, naive, facade, ete"),
        (r"5\% of $\mathrm{CO}_2$ at $\alpha\propto k^{-5/3}$", "5% of  CO_2 at alphapropto k^-5/3"),
        (r"``quoted'' text~here, \textbf{bold}, \beta", '"quoted" text here,  bold, beta'),
    ],
)
def test_tex_becomes_plain(tex, plain):
    assert without_tex(tex) == plain


def test_paragraphs_are_packed_to_passages_of_fair_length():
    short, long = (
        "This is one sentence of eight words here. " * 5,
        "This is one sentence of eight words here. " * 80,
    )
    found = [one.count(" ") + 1 for one in passages([short] * 5 + [long, short])]
    assert found == [120, 80, 216, 216, 208, 40]
    assert list(passages(["", "  "])) == []


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("It is not one of the texts that we have to read in this book, since " * 2, True),
        ("It is short.", False),
        ("alpha beta gamma delta " * 10, False),
        ("Это не one of the texts that we have to read in this book, since " * 3, False),
        ("a b c d x of the k l m in p q of the r s and t to u v " * 3, False),
    ],
)
def test_only_english_prose_is_a_passage(text, right):
    assert is_passage(text) is right


@pytest.mark.parametrize(
    ("text", "right"),
    [("Why?", True), ("3 + 4 = 7", False), ("", False), ("one " * 80, False), ("Ελλάδα", False)],
)
def test_a_title_has_words(text, right):
    assert is_title(text.strip()) is right
