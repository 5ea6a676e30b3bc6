"""Judge in a real browser; nothing that was judged is ever lost."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import OpenSearch
from playwright.sync_api import Page, expect

from ce2de_os.local.servers import Endpoints
from ce2de_os.local.state import usable_ports
from ce2de_os.records import Query
from ce2de_os.ui.judging.index_store import JUDGMENTS_INDEX, IndexJudgments
from ce2de_os.ui.judging.records import Judgment, merged, now_ms
from tests.integration.ui.conftest import INDEX, OTHER, SCHEMES, WIDTHS, Open, Running, running, violations

QUERIES = [Query("q1", "copy a folder"), Query("q2", "renew a passport"), Query("q3", "sort lines")]


@pytest.fixture
def store(ui_client: OpenSearch) -> Iterator[IndexJudgments]:
    ui_client.indices.delete(index=JUDGMENTS_INDEX, ignore_unavailable=True)
    yield IndexJudgments(ui_client)
    ui_client.indices.delete(index=JUDGMENTS_INDEX, ignore_unavailable=True)


@pytest.fixture
def judge_page(open_page: Open, store: IndexJudgments) -> Callable[..., Page]:
    store.add_queries(INDEX, QUERIES)

    def opened(more: str = "", **options: Any) -> Page:
        return open_page(f"/judge?index={INDEX}&judge=ann{more}", **options)

    return opened


def pooled(page: Page) -> list[str]:
    return [one.get_attribute("data-doc") or "" for one in page.locator(".pool .grades").all()]


def kept(store: IndexJudgments, judge: str = "ann") -> dict[str, dict[str, int]]:
    return merged(store.all(INDEX), judge)


def wait_until_kept(page: Page) -> None:
    deadline = time.monotonic() + 30
    # `wait_for_function` needs eval, which the page's policy forbids.
    while page.evaluate("Object.keys(localStorage).some(key => key.startsWith('ce2de/judgment/'))"):
        assert time.monotonic() < deadline, page.locator("#messages").text_content()
        page.wait_for_timeout(50)


def test_a_pool_is_judged_by_keys_alone(
    judge_page: Callable[..., Page], store: IndexJudgments, picture: Callable[[Page, str], None]
) -> None:
    page = judge_page()
    expect(page.locator("#query")).to_have_text("copy a folder")
    expect(page.locator("#progress")).to_contain_text("0 of 3 queries have judgments of ann")
    documents = pooled(page)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[0]
    page.set_viewport_size({"width": WIDTHS[1], "height": 900})
    assert len(documents) > 10, "more than one system found"
    for key in "3102":
        page.keyboard.press(key)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Backspace")
    wait_until_kept(page)
    assert kept(store) == {"q1": dict(zip(documents, (3, 1, 0), strict=False))}
    expect(page.locator("#own")).to_have_text("3")
    picture(page, "ui-judge")

    page.reload()
    assert pooled(page) == documents, "the order does not change"
    pressed = [one.get_attribute("data-grade") for one in page.locator("[aria-pressed=true]").all()]
    assert pressed == ["3", "1", "0"]
    assert page.evaluate("document.activeElement.closest('.grades').dataset.doc") == documents[3]
    page.locator("#next").click()
    expect(page.locator("#query")).to_have_text("renew a passport")
    expect(page.locator("#progress")).to_contain_text("1 of 3 queries have judgments of ann, 3 in all")


def test_the_pool_has_what_only_one_system_finds(judge_page: Callable[..., Page], open_page: Open) -> None:
    found = set(pooled(judge_page()))
    for way in ("bm25", "dense", "rrf"):
        compared = open_page(f"/compare?q=copy+a+folder&way={way}")
        own = {
            (one.get_attribute("data-key") or "").partition("/")[2] for one in compared.locator(".hit").all()
        }
        assert own
        assert own <= found


def test_a_hit_is_judged_where_rankings_are_compared(open_page: Open, store: IndexJudgments) -> None:
    page = open_page("/compare?q=copy+a+folder")
    hit = page.locator(".column").first.locator(".hit").first
    document = hit.locator(".grades").get_attribute("data-doc")
    hit.locator("[data-grade='2']").click()
    wait_until_kept(page)
    pressed = page.locator(f"[data-doc='{document}'] [aria-pressed=true]")
    assert pressed.count() == page.locator(f"[data-doc='{document}']").count() > 1
    hit.locator(".mark").focus()
    page.keyboard.press("1")
    wait_until_kept(page)
    (query,) = store.queries(INDEX)
    assert query.text == "copy a folder"
    assert kept(store, "judge") == {query.query_id: {document: 1}}
    page.reload()
    expect(page.locator(f"[data-doc='{document}'] [aria-pressed=true]").first).to_have_attribute(
        "data-grade", "1"
    )


def test_two_tabs_that_judge_one_query_show_and_keep_the_same(
    judge_page: Callable[..., Page], store: IndexJudgments
) -> None:
    first = judge_page()
    second = first.context.new_page()
    second.goto(first.url)
    documents = pooled(first)
    first.locator(".grades").nth(0).locator("[data-grade='3']").click()
    second.locator(".grades").nth(1).locator("[data-grade='2']").click()
    wait_until_kept(first)
    wait_until_kept(second)
    expect(second.locator(".grades").nth(0).locator("[data-grade='3']")).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(first.locator(".grades").nth(1).locator("[data-grade='2']")).to_have_attribute(
        "aria-pressed", "true"
    )
    second.locator(".grades").nth(0).locator("[data-grade='0']").click()
    wait_until_kept(second)
    assert kept(store) == {"q1": {documents[0]: 0, documents[1]: 2}}
    expect(first.locator(".grades").nth(0).locator("[data-grade='0']")).to_have_attribute(
        "aria-pressed", "true"
    )


def test_a_server_that_starts_again_under_an_open_page_loses_no_judgment(
    open_page: Open, store: IndexJudgments, ui_endpoints: Endpoints
) -> None:
    store.add_queries(INDEX, QUERIES)
    (port,) = usable_ports([0])
    cluster = {"CE2DE_OPENSEARCH_URL": ui_endpoints.opensearch_url}
    with running(INDEX, "--port", port, **cluster) as site:
        page = open_page(
            f"/judge?index={INDEX}&judge=ann",
            base=site.url,
            expected=("ERR_CONNECTION_REFUSED", "status of 403"),
        )
        page.keyboard.press("3")
        wait_until_kept(page)
        documents = pooled(page)
    page.keyboard.press("2")
    expect(page.locator("#messages")).to_contain_text("does not answer")
    expect(page.locator("#messages")).to_contain_text("Judgments wait in this browser (1)")
    page.keyboard.press("1")
    with running(INDEX, "--port", port, **cluster):
        wait_until_kept(page)
        assert kept(store) == {"q1": dict(zip(documents, (3, 2, 1), strict=False))}
        expect(page.locator("#messages")).to_be_empty()


def test_files_go_in_and_come_out(
    judge_page: Callable[..., Page], store: IndexJudgments, tmp_path: Path
) -> None:
    page = judge_page()
    page.get_by_text("Add, import, export").click()
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("query,docid,rating\ncopy a folder,page-0,3\nlist processes,page-5,2\n")
    page.locator("#import input[type=file]").set_input_files(ratings)
    page.get_by_role("button", name="Import as ann").click()
    expect(page.locator("#progress")).to_contain_text("2 of 4 queries have judgments of ann")
    assert kept(store)["q1"] == {"page-0": 3}

    log = tmp_path / "log.txt"
    log.write_text("\n".join(f"asked before {number}" for number in range(30)))
    page.get_by_text("Add, import, export").click()
    page.locator("#sample input[type=file]").set_input_files(log)
    page.locator("#sample input[type=number]").fill("5")
    page.get_by_role("button", name="Add a sample").click()
    expect(page.locator("#progress")).to_contain_text("2 of 9 queries")

    page.get_by_text("Add, import, export").click()
    page.locator("#add input").fill("wait <b>some</b> seconds")
    page.get_by_role("button", name="Add it").click()
    expect(page.locator("#query")).to_have_text("wait <b>some</b> seconds")

    page.get_by_text("Add, import, export").click()
    with page.expect_download() as started:
        page.get_by_role("link", name="Workbench, JSON").first.click()
    body = json.loads(Path(started.value.path()).read_text())
    ratings_of = {one["query"]: one["ratings"] for one in body["judgmentRatings"]}
    assert ratings_of["copy a folder"] == [{"docId": "page-0", "rating": "3"}]


def test_a_file_of_another_collection_is_refused_and_changes_nothing(
    judge_page: Callable[..., Page], store: IndexJudgments, tmp_path: Path
) -> None:
    page = judge_page(expected=("status of 400",))
    page.get_by_text("Add, import, export").click()
    for text, said in (
        ("query-id\tcorpus-id\tscore\nq1\tMED-10\t1\n", "none of its 1 judged documents is in t-ui-articles"),
        ('{"_id": "q1", "text": "Do cholesterol drugs help?"}\n', "but 'copy a folder' in what is kept"),
        ("query,docid,rating\nx,page-0,often\n", "file.txt:2: the rating is 'often'"),
    ):
        file = tmp_path / "file.txt"
        file.write_text(text)
        page.locator("#import input[type=file]").set_input_files(file)
        page.get_by_role("button", name="Import as ann").click()
        expect(page.locator("#messages")).to_contain_text(said)
    assert store.queries(INDEX) == QUERIES
    assert kept(store) == {}


def test_a_local_file_keeps_one_collection(
    open_page: Open, indices: None, ui_endpoints: Endpoints, tmp_path: Path
) -> None:
    path = tmp_path / "judgments.jsonl"
    cluster = {"CE2DE_OPENSEARCH_URL": ui_endpoints.opensearch_url}
    with running(INDEX, "--port", 0, "--judgments", path, **cluster) as site:
        page = open_page(f"/compare?q=copy+a+folder&index={INDEX}", base=site.url)
        page.locator(".grades").first.locator("[data-grade='2']").click()
        wait_until_kept(page)
        page.goto(f"{site.url}/judge?index={OTHER}")
        expect(page.locator(".problem")).to_contain_text(f"holds judgments of '{INDEX}', not of '{OTHER}'")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["collection"] == INDEX
    assert lines[-1]["grade"] == 2
    with running(INDEX, "--port", 0, "--judgments", path, "--read-only", **cluster) as site:
        page = open_page("/judge", base=site.url)
        expect(page.locator("#progress")).to_contain_text("1 of 1 queries")
        expect(page.locator(".grade").first).to_be_disabled()


def test_ten_thousand_judgments_in_the_cluster(
    judge_page: Callable[..., Page], store: IndexJudgments, ui_client: OpenSearch
) -> None:
    queries = [Query(f"many-{number}", f"question {number}") for number in range(500)]
    store.add_queries(INDEX, queries)
    at = now_ms()
    store.put([Judgment(INDEX, f"many-{n % 500}", f"d{n}", "ann", n % 4, at) for n in range(10_000)])
    assert sum(store.counts(INDEX, "ann").values()) == 10_000
    assert len(list(store.all(INDEX))) == 10_000
    page = judge_page()
    expect(page.locator("#progress")).to_contain_text(
        "500 of 503 queries have judgments of ann, 10,000 in all"
    )
    shown = page.evaluate("performance.getEntriesByType('navigation')[0].duration")
    assert shown < 5000
    page.keyboard.press("3")
    wait_until_kept(page)
    assert kept(store)["q1"] == {pooled(page)[0]: 3}


def test_a_late_older_judgment_changes_nothing(store: IndexJudgments) -> None:
    at = now_ms()
    store.put([Judgment(INDEX, "q1", "d1", "ann", 3, at)])
    store.put([Judgment(INDEX, "q1", "d1", "ann", 0, at - 1), Judgment(INDEX, "q1", "d2", "ann", 1, at)])
    assert kept(store) == {"q1": {"d1": 3, "d2": 1}}
    store.put([Judgment(INDEX, "q1", "d1", "ann", None, at + 1)])
    assert kept(store) == {"q1": {"d2": 1}}
    assert store.of_query(OTHER, "q1") == []


def test_what_a_script_sends_is_checked(site: Running, open_page: Open) -> None:
    page = open_page("/judge", expected=("status of 400",))
    send = """async body => {
        const headers = {"X-CSRF-Token": document.querySelector('meta[name=csrf]').content};
        const answer = await fetch("/judge/grades", {method: "POST", body, headers});
        return [answer.status, await answer.text()];
    }"""
    for body in ("", "[]", "{}", '{"judgments": []}', '{"judgments": [5]}', '{"judgments": [{"grade": 1}]}'):
        status, text = page.evaluate(send, body)
        assert status == 400, body
        assert re.search(r"<strong>.+</strong>", text)
