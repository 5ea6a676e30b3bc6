"""Compare rankings in a real browser, on a real index."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opensearchpy import OpenSearch
from playwright.sync_api import Page, expect

from ce2de_os.distill.models.cross_encoder import load_cross_encoder
from ce2de_os.export.cross_encoder import export_cross_encoder
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.local.servers import Endpoints
from ce2de_os.model.artifact import DEFAULT_FOLDER
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.search.searcher import HybridSearcher
from tests.integration.ui.conftest import (
    ARABIC,
    INDEX,
    OTHER,
    PLAIN,
    SCRIPT,
    TASKS,
    Open,
    Running,
    running,
    violations,
)
from tests.unit.distill.tiny import WORDS, save_tiny_cross_encoder

QUESTION = "copy a folder"


def keys(page: Page, column: int) -> list[str]:
    hits = page.locator(".column").nth(column).locator(".hit")
    return [hit.get_attribute("data-key") or "" for hit in hits.all()]


def test_a_question_is_answered_without_a_mouse(
    open_page: Open, picture: Callable[[Page, str], None]
) -> None:
    page = open_page("/compare")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    page.wait_for_selector(".hit")
    assert "q=copy%20a%20folder" in page.url
    assert page.evaluate("document.activeElement.id") == "q"
    expect(page.locator("#status")).to_contain_text("3 columns")

    while not page.evaluate("document.activeElement.matches('.mark')"):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    marked = keys(page, 0)[1]
    there = [column for column in range(3) if marked in keys(page, column)]
    assert len(there) >= 2
    assert page.locator(".is-marked").count() == len(there)
    assert {one.get_attribute("data-key") for one in page.locator(".is-marked").all()} == {marked}
    page.keyboard.press("ArrowRight")
    assert page.evaluate(
        "document.activeElement.closest('.column').querySelector('h2').textContent"
    ).endswith("Vectors")
    page.keyboard.press("ArrowUp")
    picture(page, "ui-compare")
    page.keyboard.press("Enter")
    assert (
        page.locator("[aria-pressed=true]").first.evaluate("one => one.closest('.hit').dataset.key") != marked
    )


def test_the_columns_are_those_of_the_searcher_with_raw_scores_moves_and_times(
    open_page: Open, ui_client: OpenSearch
) -> None:
    page = open_page(f"/compare?q={QUESTION}&way=bm25&way=min_max&weight=&weight=0.3")
    searcher = HybridSearcher(ui_client, INDEX, OnnxEncoder())
    bm25 = searcher.search(QUESTION, mode="bm25")
    hybrid = searcher.search(QUESTION, fusion="min_max", dense_weight=0.3, explain=True)
    assert keys(page, 0) == [f"{INDEX}/{hit.doc_id}" for hit in bm25]
    assert keys(page, 1) == [f"{INDEX}/{hit.doc_id}" for hit in hybrid]
    before = {hit.doc_id: hit.rank for hit in bm25}
    for place, hit in enumerate(hybrid):
        row = page.locator(".column").nth(1).locator(".hit").nth(place)
        if hit.bm25:
            expect(row).to_contain_text(f"{hit.bm25.score:.4g} (rank {hit.bm25.rank})")
        if hit.dense:
            expect(row).to_contain_text(f"{hit.dense.score:.4g} (rank {hit.dense.rank})")
        expect(row.locator(".scores")).to_contain_text(f"1: {before.get(hit.doc_id, '-')}")
        move = before.get(hit.doc_id, 0) - hit.rank
        moved = f"{move} up" if move > 0 else f"{-move} down" if move else "same place"
        expect(row.locator(".move")).to_contain_text(moved if hit.doc_id in before else "new")
    expect(page.locator(".times").first).to_contain_text("search")
    assert {one.text_content() for one in page.locator("mark").all()} >= {"copy", "folder"}


def test_a_link_shows_the_same_view_again(open_page: Open) -> None:
    page = open_page(f"/compare?q={QUESTION}")
    page.get_by_text("Change column 3").click()
    page.locator("#way2").select_option("rrf")
    page.locator("#weight2").fill("0.7")
    page.locator("#k").fill("5")
    page.locator("#filter").fill('{"term": {"lang": "en"}}')
    page.get_by_role("button", name="Add a column").click()
    page.wait_for_selector("#c3")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("h2", has_text="rrf 0.7")).to_be_visible()
    again = open_page(page.locator("#link").get_attribute("href") or "")
    assert again.locator(".column").count() == 4
    assert [keys(again, column) for column in range(4)] == [keys(page, column) for column in range(4)]
    assert len(keys(again, 0)) == 5
    assert page.url == again.url

    again.get_by_text("Change column 1").click()
    again.get_by_role("button", name="Remove column 1").click()
    expect(again.locator(".column")).to_have_count(3)
    assert "remove" not in again.url
    again.go_back()
    expect(again.locator(".column")).to_have_count(4)


def test_markup_and_arabic_in_documents_are_only_text(open_page: Open) -> None:
    page = open_page(f"/compare?q={ARABIC}+copy&k=20")
    attack = page.locator(".hit", has_text="document.title")
    expect(attack.first.locator(".mark")).to_contain_text(SCRIPT)
    assert page.title() == f"{ARABIC} copy - ce2de"
    assert page.locator(".hit img, .hit script").count() == 0
    arabic = page.locator(".hit", has=page.locator(f"text={ARABIC}")).first.locator(".mark")
    assert arabic.evaluate("one => getComputedStyle(one).direction") == "rtl"

    page = open_page(
        '/compare?q=%3Cscript%3Ealert(1)%3C/script%3E"&index="%3E%3Cimg%20src=x%3E&on=%3Cb%3E&way=bm25'
    )
    assert page.locator("main img, main script").count() == 0
    assert page.locator("#q").input_value() == '<script>alert(1)</script>"'


def test_a_question_of_100_kb_gets_an_answer_not_a_broken_connection(open_page: Open, site: Running) -> None:
    page = open_page("/compare")
    page.locator("#q").fill("word " * 20_000)
    page.keyboard.press("Enter")
    expect(page.locator("#messages")).to_contain_text("expected at most 2,000")
    assert page.locator("#q").input_value().startswith("word word")
    page = open_page(f"/compare?q={'word+' * 1000}")
    expect(page.locator(".problem")).to_contain_text("got 4,999 characters, expected at most 2,000")


CANNOT_BE_ASKED = (
    (f"on={PLAIN}&way=dense", "no vectors of ce2de in it"),
    (f"on={OTHER}&way=dense", "this model's cannot be compared"),
    ("on=t-ui-nowhere&way=bm25", "t-ui-nowhere"),
    ("way=min_max&weight=7", "dense_weight: got 7.0"),
    ("way=min_max&weight=half", "expected a number from 0 to 1"),
    ("way=best", "the ranking: got 'best'"),
    ("by=other&way=dense", "the model 'other' is not loaded"),
    ("way=bm25&filter={", "the filter is not JSON"),
    ('way=bm25&filter={"script": {"source": "1"}}', "expected an object with one of term"),
    ("way=bm25&k=1000", "top_k: got 1000"),
    ("way=bm25&k=many", "hits: got 'many'"),
)


def test_what_cannot_be_asked_says_why(open_page: Open, site: Running) -> None:
    page = open_page("/compare")
    for column, said in CANNOT_BE_ASKED:
        page.goto(f"{site.url}/compare?q={QUESTION}&{column}")
        expect(page.locator(".problem").first).to_contain_text(said)


def test_one_column_may_fail_while_the_others_answer(open_page: Open) -> None:
    page = open_page(f"/compare?q={QUESTION}&way=dense&way=dense&on=&on={PLAIN}")
    assert len(keys(page, 0)) == 10
    expect(page.locator(".column").nth(1).locator(".problem")).to_contain_text("ce2de reindex start")


def test_without_a_cluster_the_page_says_so_and_shows_no_password(open_page: Open) -> None:
    secret = "s3cret-of-the-cluster"
    address = f"http://operator:{secret}@127.0.0.1:9"
    with running("articles", "--port", 0, CE2DE_OPENSEARCH_URL=address) as away:
        page = open_page(f"/compare?q={QUESTION}", base=away.url)
        expect(page.locator(".problem").first).to_contain_text("Connection refused")
        assert secret not in page.content()
        for path in ("/jobs", "/jobs/articles-1a2b3c4d"):
            page.goto(f"{away.url}{path}")
            expect(page.locator("#live")).to_have_text("Live.")
            expect(page.locator("#away .problem")).to_contain_text("Connection refused")
            assert secret not in page.content()
        page.goto(f"{away.url}/models")
        expect(page.locator(".problem").first).to_contain_text("read the mappings")
        assert secret not in page.content()


def test_the_models_and_the_indices_that_carry_their_vectors(
    open_page: Open, picture: Callable[[Page, str], None]
) -> None:
    page = open_page("/models")
    encoder = OnnxEncoder()
    expect(page.locator(".card")).to_contain_text(encoder.fingerprint)
    expect(page.locator(".card")).to_contain_text("lowest cosine")
    own = page.get_by_role("row", name=INDEX)
    expect(own).to_contain_text("38")
    expect(own).to_contain_text("yes: student_en")
    expect(page.get_by_role("row", name=OTHER)).to_contain_text("no model here can search it")
    assert page.get_by_role("row", name=PLAIN).count() == 0
    picture(page, "ui-models")


def passages(client: OpenSearch, name: str) -> None:
    """An index whose documents have a vector for each sentence."""
    encoder = OnnxEncoder()
    metadata = IndexMetadata(
        "parts", ("title", "body"), encoder.fingerprint, encoder.dim, "student", name, space=encoder.space,
        passages=True,
    )  # fmt: skip
    method = {"name": "hnsw", "engine": "lucene", "space_type": "innerproduct"}
    part = {
        "vector": {"type": "knn_vector", "dimension": encoder.dim, "method": method},
        "start": {"type": "integer"}, "end": {"type": "integer"},
    }  # fmt: skip
    text = {"type": "text"}
    properties = {"title": text, "body": text, "parts": {"type": "nested", "properties": part}}
    mappings = {"_meta": metadata.to_meta(), "properties": properties}
    client.indices.create(index=name, body={"settings": {"index.knn": True}, "mappings": mappings})
    for number in range(6):
        sentences = [f"how to {TASKS[(number + turn) % 6]}" for turn in range(3)]
        document: dict[str, Any] = {"title": f"note {number}", "body": "\n".join(sentences)}
        whole = f"{document['title']}\n{document['body']}"
        places = [(whole.index(one), whole.index(one) + len(one)) for one in sentences]
        vectors = encoder.encode_documents(sentences)
        document["parts"] = [
            {"vector": row.tolist(), "start": start, "end": end}
            for row, (start, end) in zip(vectors, places, strict=True)
        ]
        client.index(index=name, id=str(number), body=document)
    client.indices.refresh(index=name)


def test_a_cross_encoder_another_model_and_passages_are_columns_too(
    open_page: Open, ui_client: OpenSearch, ui_endpoints: Endpoints, tmp_path: Path
) -> None:
    passages(ui_client, "t-ui-passages")
    model = load_cross_encoder(str(save_tiny_cross_encoder(tmp_path / "ce")), precision="fp32")
    rng = random.Random(5)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(2, 40))) for _ in range(54)]
    groups = [(texts[start], texts[start + 1 : start + 9]) for start in range(0, 54, 9)]
    export_cross_encoder(model, tmp_path / "reranker", groups=groups)
    shutil.copytree(DEFAULT_FOLDER, tmp_path / "renamed")
    manifest = tmp_path / "renamed" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"name": "student_en"', '"name": "renamed"'))
    options = ("--reranker", tmp_path / "reranker", "--also", tmp_path / "renamed")
    cluster = {"CE2DE_OPENSEARCH_URL": ui_endpoints.opensearch_url}
    with running(INDEX, "--port", 0, *options, **cluster) as site:
        page = open_page(f"/compare?q={QUESTION}", base=site.url)
        assert page.locator(".column").count() == 4
        last = page.locator(".column").last
        expect(last.locator("h2")).to_contain_text("+ CE")
        logits = [float(one.text_content() or "") for one in last.locator("dt:has-text('CE') + dd").all()]
        assert len(logits) == 10
        assert logits == sorted(logits, reverse=True)
        expect(page.locator(".column").nth(2).locator("dt:has-text('CE')")).to_have_count(0)

        page.get_by_text("Change column 2").click()
        page.locator("#by1").select_option(label=page.locator("#by1 option").last.text_content())
        page.locator("#on1").fill("t-ui-passages")
        page.get_by_role("button", name="Compare").click()
        other = page.locator(".column").nth(1)
        expect(other.locator("h2")).to_contain_text("t-ui-passages · renamed@")
        expect(other.locator(".passage").first).to_contain_text("how to copy a folder")
        page.goto(f"{site.url}/models")
        assert page.locator(".card").count() == 3
        assert violations(page) == []
