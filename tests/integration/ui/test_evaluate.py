"""Evaluate and tune in a real browser, on judgments that are kept in the cluster."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator

import pytest
from opensearchpy import OpenSearch
from playwright.sync_api import Page, expect

from ce2de_os.evaluation import mean, measure
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.quality.comparison import ComparisonSettings
from ce2de_os.quality.evaluate import evaluate
from ce2de_os.records import Query
from ce2de_os.search.question import Question
from ce2de_os.search.searcher import HybridSearcher
from ce2de_os.search.target import read_target
from ce2de_os.ui.judging.index_store import JUDGMENTS_INDEX, IndexJudgments
from ce2de_os.ui.judging.records import Judgment, judged, now_ms
from ce2de_os.ui.models import Fields
from ce2de_os.ui.tuning.legs import LegsCache
from tests.integration.test_search import make_index
from tests.integration.ui.conftest import (
    INDEX,
    MOST_BYTES,
    SCHEMES,
    TASKS,
    WIDTHS,
    Open,
    Running,
    violations,
    weight_of,
)


@pytest.fixture(scope="module")
def store(indices: None, ui_client: OpenSearch) -> Iterator[IndexJudgments]:
    """For each task, the pages that show how to do it; some of them also say it in other words."""
    ui_client.indices.delete(index=JUDGMENTS_INDEX, ignore_unavailable=True)
    store = IndexJudgments(ui_client)
    queries = [
        Query(f"q{number}", text)
        for number, text in enumerate([*TASKS, "duplicate a directory", "travel document"])
    ]
    store.add_queries(INDEX, queries)
    at = now_ms()
    task_of = {**{number: number for number in range(6)}, 6: 0, 7: 3}
    store.put([
        Judgment(INDEX, f"q{query}", f"page-{page}", "ann", 2 if page < 18 else 1, at)
        for query, task in task_of.items()
        for page in range(task, 36, 6)
    ])  # fmt: skip
    yield store
    ui_client.indices.delete(index=JUDGMENTS_INDEX, ignore_unavailable=True)


def test_the_table_is_that_of_ce2de_evaluate(
    open_page: Open, store: IndexJudgments, ui_client: OpenSearch, picture: Callable[[Page, str], None]
) -> None:
    page = open_page("/evaluate")
    expect(page.locator("#evaluation")).to_contain_text("No evaluation since this server started")
    page.locator("[name=latency]").fill("4")
    page.locator("[name=tune]").check()
    page.keyboard.press("Enter")
    page.wait_for_selector("#table", timeout=60_000)

    settings = ComparisonSettings(tune=True, latency_queries=0)
    found = evaluate(ui_client, INDEX, OnnxEncoder(), judged(store, INDEX), settings=settings)
    rows = page.locator("#table tbody tr")
    assert rows.count() == len(found.systems)
    for one, row in zip(found.systems, rows.all(), strict=True):
        expect(row.locator("th")).to_have_text(one.name)
        for metric, figure in one.figures.items():
            expect(row).to_contain_text(f"{figure.mean:.3f}", timeout=1000)
            expect(row).to_contain_text(f"{figure.low:.3f}-{figure.high:.3f}", timeout=1000), metric
    assert found.tuning is not None
    expect(page.locator("#tuned")).to_contain_text(f"{found.tuning.chosen} is best there of")
    assert page.locator("img.plot").evaluate("one => one.complete && one.naturalWidth > 500")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert violations(page) == []
    page.emulate_media(color_scheme="light")
    picture(page, "ui-evaluate")
    assert weight_of(page) <= MOST_BYTES


def test_the_winner_can_be_used_as_it_is(
    open_page: Open, store: IndexJudgments, ui_client: OpenSearch
) -> None:
    page = open_page("/evaluate")
    page.locator("[name=latency]").fill("0")
    page.locator("[name=tune]").check()
    page.get_by_role("button", name="Evaluate").click()
    page.wait_for_selector("#table", timeout=60_000)
    assert page.locator("img.plot").count() == 0

    python = (page.locator("#python code").text_content() or "").strip()
    searcher = eval(python, {"HybridSearcher": HybridSearcher, "client": ui_client, "encoder": OnnxEncoder()})
    expected = [hit.doc_id for hit in searcher.search(TASKS[0])]
    body = json.loads((page.locator("#pipeline").text_content() or "").partition("\n")[2])
    assert "phase_results_processors" in body
    command = page.locator("#command code").text_content() or ""
    options = dict(re.findall(r"--([\w-]+) (\S+)", command))
    named = {name.replace("-", "_"): value for name, value in options.items()}
    weight = float(named["dense_weight"]) if "dense_weight" in named else None
    other = HybridSearcher(ui_client, INDEX, OnnxEncoder())
    again = other.search(TASKS[0], fusion=named["fusion"], dense_weight=weight)  # type: ignore[arg-type]
    assert [hit.doc_id for hit in again] == expected
    ui_client.transport.perform_request("PUT", "/_search/pipeline/t-ui-hybrid", body=body)
    ui_client.transport.perform_request("DELETE", "/_search/pipeline/t-ui-hybrid")


def test_a_slider_ranks_anew_what_was_fetched(
    open_page: Open, store: IndexJudgments, ui_client: OpenSearch
) -> None:
    page = open_page("/evaluate?q=duplicate+a+directory")
    page.get_by_role("button", name="Fetch").click()
    page.wait_for_selector("#live .hit")
    # Fused in this process: equal scores are ordered by id there, and by shard in the cluster.
    searcher = HybridSearcher(ui_client, INDEX, OnnxEncoder(), strategy="client")
    found = judged(store, INDEX)
    for weight in (0.5, 0.85, 1.0, 0.0):
        page.locator("#weight").fill(str(weight))
        expect(page.locator("#figure")).to_contain_text(f"with min_max {weight:g}")
        shown = [one.text_content() or "" for one in page.locator("#live .scores div:last-child dd").all()]
        expected = searcher.search("duplicate a directory", dense_weight=weight)
        assert shown == [hit.doc_id for hit in expected]
        runs = {
            query_id: [hit._replace() for hit in searcher.search(text, dense_weight=weight, top_k=100)]
            for query_id, text in found.queries.items()
        }
        figure = mean(measure(found.qrels, runs))  # type: ignore[arg-type]
        expect(page.locator("#figure")).to_contain_text(f"nDCG@10 {figure:.3f} over 8 judged queries")
    page.locator("#fusion").select_option("rrf")
    expect(page.locator("#figure")).to_contain_text("with rrf 0")
    assert page.locator("#share").text_content() == "0"


def test_the_slider_works_with_keys(open_page: Open, store: IndexJudgments) -> None:
    page = open_page("/evaluate?q=copy+a+folder")
    page.locator("#weight").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#share")).to_have_text("0.55")
    expect(page.locator("#figure")).to_contain_text("with min_max 0.55")
    assert page.evaluate("document.activeElement.id") == "weight"


def test_what_cannot_be_evaluated_says_why(open_page: Open, site: Running, store: IndexJudgments) -> None:
    page = open_page("/evaluate?index=t-ui-plain", expected=("status of 400",))
    page.get_by_role("button", name="Evaluate").click()
    expect(page.locator(".problem")).to_contain_text("no query has a document with a grade above 0")
    page.goto(f"{site.url}/evaluate?index=t-ui-plain&q=copy")
    page.get_by_role("button", name="Fetch").click()
    expect(page.locator("#live .problem")).to_contain_text("no vectors of ce2de in it")
    for more, said in (
        ("weight=7", "dense_weight: got 7.0"),
        ("weight=half", "expected a number from 0 to 1"),
        ("fusion=best", "fusion: got"),
    ):
        answer = page.evaluate(f"fetch('/evaluate/live?index={INDEX}&q=copy&{more}').then(one => one.text())")
        assert said in answer


def test_a_second_evaluation_waits_for_the_first(open_page: Open, store: IndexJudgments) -> None:
    page = open_page("/evaluate", expected=("status of 400",))
    page.locator("[name=latency]").fill("1000")
    page.get_by_role("button", name="Evaluate").click()
    page.locator("[name=latency]").fill("0")
    page.get_by_role("button", name="Evaluate").click()
    expect(page.locator(".problem")).to_contain_text("is running")
    page.go_back()
    page.wait_for_selector("#table", timeout=60_000)


def test_kept_legs_give_the_searcher_s_ranking_on_several_shards(ui_client: OpenSearch) -> None:
    encoder, name = OnnxEncoder(), "t-ui-shards"
    rng = random.Random(1)
    words = " ".join(TASKS).split()
    texts = [" ".join(rng.choices(words, k=6)) for _ in range(600)]
    metadata = IndexMetadata(
        "ce2de_vector", ("body",), encoder.fingerprint, encoder.dim, "s", name, encoder.space
    )
    rows = zip(texts, encoder.encode_documents(texts), strict=True)
    documents = [
        {"_id": str(n), "body": text, "ce2de_vector": row.tolist()} for n, (text, row) in enumerate(rows)
    ]
    make_index(ui_client, name, documents, metadata, shards=2, dim=encoder.dim)
    searcher = HybridSearcher(ui_client, name, encoder)
    here = HybridSearcher(ui_client, name, encoder, strategy="client")
    fields = Fields.of(read_target(ui_client, name))
    assert fields.shards == 2
    legs = LegsCache().one(searcher, name, "copy a folder", fields)
    for fusion, weight in (("min_max", 0.3), ("min_max", 0.9), ("l2", 0.5), ("z_score", 0.7), ("rrf", 0.4)):
        question = Question("copy a folder", fusion=fusion, dense_weight=weight)  # type: ignore[arg-type]
        expected = here.search(question)
        fused = legs.fused(question)[:10]
        assert [hit.doc_id for hit in fused] == [hit.doc_id for hit in expected], fusion
        assert [hit.score for hit in fused] == pytest.approx([hit.score for hit in expected], abs=1e-6)
