"""Watch and operate jobs in a real browser, on real indices; the messages are handled in this process."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from opensearchpy import OpenSearch
from playwright.sync_api import Page, expect

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.local.servers import Endpoints
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.reindex.dead_letters import DeadLetter, add
from ce2de_os.reindex.job import CANCELLED, DONE, FOLLOWING, PAUSED, READY, ROLLED_BACK, RUNNING, Job
from ce2de_os.reindex.ledger import LEDGER_INDEX, Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.status import status
from tests.conftest import _forget_jobs
from tests.integration.indexes import InlineQueue, articles, create_index
from tests.integration.ui.conftest import SCHEMES, WIDTHS, Open, Running, running
from tests.integration.ui.test_pages import MOST_BYTES, violations

LIVE = "#live"


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    return OnnxEncoder()


@pytest.fixture
def name(ui_client: OpenSearch) -> Iterator[str]:
    name = f"articles-{uuid.uuid4().hex[:6]}"
    yield name
    _forget_jobs(ui_client, name)
    ui_client.indices.delete(index=f"{name}*")


def begin(client: OpenSearch, encoder: OnnxEncoder, name: str, **request: Any) -> tuple[Job, InlineQueue]:
    """Start a job of 40 documents; `InlineQueue.run` does its work."""
    create_index(client, name, articles(40))
    queue = InlineQueue()
    wanted = {"text": TextSpec(("title", "body")), "alias": f"{name}-search", "follow": False, **request}
    return start(client, JobRequest(name, **wanted), encoder.artifact, queue), queue


def state(client: OpenSearch, job: Job) -> str:
    return Ledger(client).job(job.job_id).job.state


def entered(open_page: Open, site: Running, path: str, **options: Any) -> Page:
    page = open_page(site.entrance.removeprefix(site.url), base=site.url, **options)
    page.goto(f"{site.url}{path}")
    return page


def test_a_job_that_finishes_is_seen_done_without_a_reload(
    open_page: Open,
    site: Running,
    ui_client: OpenSearch,
    encoder: OnnxEncoder,
    name: str,
    picture: Callable[[Page, str], None],
) -> None:
    job, queue = begin(ui_client, encoder, name, follow=True)
    pages = [entered(open_page, site, path) for path in ("/jobs", f"/jobs/{job.job_id}")]
    row = pages[0].get_by_role("row", name=job.job_id)
    for page in pages:
        expect(page.locator(LIVE)).to_have_text("Live.")
        page.evaluate("window.sameDocument = true")
    expect(row).to_contain_text(RUNNING)
    expect(row).to_contain_text("40 of 40")
    expect(row).to_contain_text("no worker")
    expect(pages[1].locator("#facts")).to_contain_text("0 of 40 documents read")
    link = row.get_by_role("link")
    link.focus()

    queue.run(ui_client, encoder)
    for page in pages:
        expect(page.locator(f"[data-job='{job.job_id}']")).to_have_attribute("data-state", DONE)
        expect(page.locator("#status")).to_have_text(f"{job.job_id} is {DONE}")
        assert page.evaluate("window.sameDocument")
    expect(row).to_contain_text("0 of 40")
    expect(link).to_be_focused()
    expect(pages[0].get_by_role("row", name=f"follow-{name}")).to_contain_text("0 writes")
    picture(pages[0], "ui-jobs")
    expect(pages[1].locator("#facts")).to_contain_text("40 of 40 documents read")
    expect(pages[1].locator("#facts")).to_contain_text("40 embedded")
    expect(pages[1].locator("#facts")).to_contain_text("40 documents in the source, 40 in the target")
    assert pages[1].locator("#do-pause").count() == 0
    expect(pages[1].locator("#do-rollback")).to_be_visible()


def test_what_is_shown_is_what_status_says(
    open_page: Open, site: Running, ui_client: OpenSearch, encoder: OnnxEncoder, name: str
) -> None:
    job, _ = begin(ui_client, encoder, name, docs_per_s=7.0)
    letter = DeadLetter(
        job.job_id, 0, name, "<b>1</b>", None, 400, "mapper_parsing_exception", "too odd", 1.0
    )
    add(ui_client, [letter])
    ledger = Ledger(ui_client)
    ledger.change_slice(ledger.slice(job.job_id, 0), last_error="http://me:s3cret-of-a-slice@elsewhere/ fell")
    found = status(ui_client, job.job_id)
    row = open_page("/jobs").get_by_role("row", name=job.job_id)
    for text in (found.job.state, "the source", "1", "slice 0: "):
        expect(row).to_contain_text(text)
    page = open_page(f"/jobs/{job.job_id}")
    facts = page.locator("#facts")
    for text in (
        f"{found.dead_letters}: 1 mapper_parsing_exception",
        "limit 7",
        found.job.model,
        "1 waiting",
    ):
        expect(facts).to_contain_text(text)
    expect(page.get_by_role("row", name="<b>1</b>")).to_contain_text("too odd")
    assert "s3cret-of-a-slice" not in page.content()


def test_pause_throttle_and_resume_without_a_mouse(
    open_page: Open, site: Running, ui_client: OpenSearch, encoder: OnnxEncoder, name: str
) -> None:
    job, _ = begin(ui_client, encoder, name)
    page = entered(open_page, site, f"/jobs/{job.job_id}")

    def open_form(verb: str) -> None:
        page.locator("#main").focus()
        while page.evaluate("document.activeElement.id") != f"do-{verb}":
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**?do={verb}")

    def submit() -> None:
        while page.evaluate("document.activeElement.localName") != "button":
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/jobs/{job.job_id}")

    open_form("pause")
    expect(page.locator("#then + ul")).to_contain_text("Nothing is lost")
    submit()
    expect(page.locator("#action")).to_contain_text("Paused.")
    assert state(ui_client, job) == PAUSED

    open_form("throttle")
    page.locator("[name=docs_per_s]").focus()
    page.keyboard.type("12.5")
    submit()
    expect(page.locator("#action")).to_contain_text(
        "At most 12.5 documents a second, once the job, which is paused"
    )
    assert Ledger(ui_client).job(job.job_id).job.docs_per_s == 12.5

    open_form("resume")
    expect(page.locator("#then + ul")).to_contain_text(f"the alias '{name}-search' moves by itself")
    submit()
    expect(page.locator("#facts")).to_contain_text("limit 12.5")
    assert state(ui_client, job) == RUNNING


def test_verify_cut_over_and_roll_back(
    open_page: Open,
    site: Running,
    ui_client: OpenSearch,
    encoder: OnnxEncoder,
    name: str,
    picture: Callable[[Page, str], None],
) -> None:
    """A handover: applications write through the alias, and a rollback copies back what they wrote."""
    alias = f"{name}-live"
    create_index(ui_client, name, articles(40))
    ui_client.indices.put_alias(index=name, name=alias)
    queue = InlineQueue()
    wanted = JobRequest(alias, TextSpec(("title", "body")), alias=alias, hold=True)
    job = start(ui_client, wanted, encoder.artifact, queue)
    queue.run(ui_client, encoder)
    assert state(ui_client, job) == READY
    path = f"/jobs/{job.job_id}"

    page = entered(open_page, site, f"{path}?do=verify")
    page.get_by_role("button", name="Verify").click()
    expect(page.locator("#action")).to_contain_text("Verified: no problem.")

    page.goto(f"{site.url}{path}?do=cutover")
    then = page.locator("#then + ul")
    for text in (job.target, "writes are rejected for a moment", "A rollback moves back"):
        expect(then).to_contain_text(text)
    confirm, button = page.locator("[name=typed]"), page.locator("form button")
    confirm.fill(f"{job.job_id}x")
    button.click()  # the browser refuses it
    assert page.url.endswith("?do=cutover")
    assert state(ui_client, job) == READY
    confirm.fill(job.job_id)
    picture(page, "ui-job")
    button.click()
    expect(page.locator("#action")).to_contain_text("Handed over: applications write through")
    assert list(ui_client.indices.get_alias(name=alias)) == [job.target]

    ui_client.index(index=alias, id="new", body={"title": "written after the handover"}, refresh=True)
    page.goto(f"{site.url}{path}?do=rollback")
    expect(then).to_contain_text("applications wrote 1 documents and deleted 0 (such as new)")
    expect(then).to_contain_text("copied back to the source")
    expect(page.locator("label", has_text="LOST to the source")).to_be_visible()
    confirm.fill(job.job_id)
    button.click()
    expect(page.locator("#action")).to_contain_text("Writes were rejected for")
    assert state(ui_client, job) == ROLLED_BACK
    assert list(ui_client.indices.get_alias(name=alias)) == [name]
    assert ui_client.exists(index=name, id="new")


def test_every_page_of_jobs_is_accessible_light_and_dark_narrow_and_wide(
    open_page: Open, site: Running, ui_client: OpenSearch, encoder: OnnxEncoder, name: str
) -> None:
    job, queue = begin(ui_client, encoder, name, hold=True)
    queue.run(ui_client, encoder)
    page = entered(open_page, site, "/jobs")
    for path in ("/jobs", f"/jobs/{job.job_id}", f"/jobs/{job.job_id}?do=cutover"):
        page.goto(f"{site.url}{path}")
        expect(page.locator(LIVE)).to_have_text("Live.")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                assert violations(page) == [], f"{path} {width} {scheme}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto(f"{site.url}/jobs")
    loaded = page.evaluate(
        "performance.getEntriesByType('resource').map(one => [one.name, one.decodedBodySize])"
    )
    assert 0 < sum(size for _, size in loaded) + len(page.content()) <= MOST_BYTES
    assert all(url.startswith(site.url) for url, _ in loaded)


def test_a_damaged_record_and_one_of_a_newer_version_hide_no_other_job(
    open_page: Open, site: Running, ui_client: OpenSearch, encoder: OnnxEncoder, name: str
) -> None:
    job, _ = begin(ui_client, encoder, name)
    stored = Ledger(ui_client).job(job.job_id)
    records = {"damaged": {"parts": None}, "newer": {"schema": 99}, "wrong": {"ranges": [[9, 0, -1, None]]}}
    for kind, changes in records.items():
        source = {**stored.raw, **changes, "job_id": f"{name}-{kind}"}
        ui_client.index(index=LEDGER_INDEX, id=f"job:{name}-{kind}", body=source, refresh=True)
    Ledger(ui_client).add_slices(
        Job.from_source({**stored.raw, **records["wrong"], "job_id": f"{name}-wrong"})
    )
    try:
        page = entered(open_page, site, "/jobs")
        expect(page.get_by_role("row", name=job.job_id)).to_contain_text(RUNNING)
        for kind, text in {
            "damaged": "a record in the ledger is damaged",
            "newer": "have schema 99, this version reads up to 2; update ce2de-os",
            "wrong": "a record in the ledger is damaged",
        }.items():
            expect(page.get_by_role("row", name=f"{name}-{kind}")).to_contain_text(text)
        page.goto(f"{site.url}/jobs/{name}-newer")
        expect(page.locator("#away .problem")).to_contain_text("update ce2de-os on this machine")
        assert page.locator(".verbs").count() == 0
        page.goto(f"{site.url}/jobs/{name}-nothing")
        expect(page.locator("#away .problem")).to_contain_text("'ce2de reindex list' shows all")
    finally:
        for kind in records:
            ui_client.delete(index=LEDGER_INDEX, id=f"job:{name}-{kind}", refresh=True)


def test_a_server_that_starts_again_is_found_again_and_its_pages_stay_live(
    open_page: Open, ui_endpoints: Endpoints, ui_client: OpenSearch, encoder: OnnxEncoder, name: str
) -> None:
    job, queue = begin(ui_client, encoder, name)
    servers = {
        "CE2DE_OPENSEARCH_URL": ui_endpoints.opensearch_url,
        "CE2DE_BROKER_URL": "redis://operator:s3cret-of-redis@127.0.0.1:9/0",
    }
    with running("--port", 0, **servers) as first:
        port = first.url.rpartition(":")[2]
        page = entered(open_page, first, f"/jobs/{job.job_id}", expected=("ERR_",))
        expect(page.locator(LIVE)).to_have_text("Live.")
        page.get_by_role("link", name="Resume").click()
        page.get_by_role("button", name="Resume").click()
        expect(page.locator("#action .problem")).to_contain_text("CE2DE_BROKER_URL", timeout=30_000)
        assert "s3cret-of-redis" not in page.content()
        begun = time.monotonic()
    assert time.monotonic() - begun < 3, "an open stream ends with the server"
    expect(page.locator(LIVE)).to_contain_text("Not live since")
    queue.run(ui_client, encoder)
    with running("--port", port, "--read-only", **servers) as again:
        expect(page.locator(f"[data-job='{job.job_id}']")).to_have_attribute(
            "data-state", DONE, timeout=30_000
        )
        expect(page.locator(LIVE)).to_have_text("Live.")

        # The same server is read-only: nothing to click, and a form that is sent anyway is refused.
        page.goto(again.entrance)
        page.goto(f"{again.url}/jobs/{job.job_id}")
        expect(page.locator(".badge")).to_have_text("read-only")
        assert page.locator("#verbs, form").count() == 0
        with httpx.Client(base_url=again.url, headers={"Origin": again.url}) as browser:
            browser.get(again.entrance, follow_redirects=True)
            form = {"csrf": browser.get("/csrf").json()["csrf"], "verb": "rollback", "typed": job.job_id}
            refused = browser.post(f"/jobs/{job.job_id}", data=form)
            assert refused.status_code == 403
            assert "read-only" in refused.text
            assert browser.get(f"/jobs/{job.job_id}?do=rollback").status_code == 403
        assert state(ui_client, job) == DONE


@pytest.fixture
def caller(site: Running) -> Iterator[httpx.Client]:
    """A caller with the token, that sends forms as the pages do."""
    with httpx.Client(base_url=site.url, headers={"Origin": site.url}) as client:
        client.get(site.entrance)
        yield client


def secret(caller: httpx.Client) -> dict[str, str]:
    return {"csrf": caller.get("/csrf").json()["csrf"]}


def test_forms_that_cannot_be_done_say_why_and_change_nothing(
    caller: httpx.Client, site: Running, ui_client: OpenSearch, encoder: OnnxEncoder, name: str
) -> None:
    job, _ = begin(ui_client, encoder, name)
    path = f"/jobs/{job.job_id}"
    before = Ledger(ui_client).job(job.job_id)
    for form, text in (
        ({"verb": "cutover"}, "the confirmation: it is empty"),
        ({"verb": "rollback", "typed": "another"}, "the confirmation: got &#39;another&#39;"),
        ({"verb": "throttle", "docs_per_s": "-1"}, "expected a number above 0"),
        ({"verb": "throttle", "docs_per_s": "nan"}, "expected a number above 0"),
        ({"verb": "throttle", "docs_per_s": "inf"}, "expected a number above 0"),
        ({"verb": "delete"}, "expected one of pause, resume"),
    ):
        answer = caller.post(path, data={**secret(caller), **form})
        assert answer.status_code == 400
        assert text in answer.text
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        assert caller.post(path, data={**secret(caller), "verb": "pause"}, headers=headers).status_code in (
            403,
            421,
        )
    assert caller.post(path, data={"verb": "pause"}).status_code == 403
    with httpx.Client(base_url=site.url, headers={"Origin": site.url}) as stranger:
        assert stranger.post(path, data={**secret(stranger), "verb": "pause"}).status_code == 401
        page = stranger.get(path).text
        assert "Actions need the token" in page
        assert "?do=" not in page
    assert Ledger(ui_client).job(job.job_id) == before

    # What the product refuses is shown on the job's page: what happened, and what to do.
    for verb, text in (("verify", "verify it when it is ready"), ("cutover", "that needs one that is ready")):
        answer = caller.post(
            path, data={**secret(caller), "verb": verb, "typed": job.job_id}, follow_redirects=True
        )
        assert text in answer.text
    ledger = Ledger(ui_client)
    ledger.change_job(ledger.job(job.job_id), state=CANCELLED)
    answer = caller.post(path, data={**secret(caller), "verb": "pause"}, follow_redirects=True)
    assert "is cancelled; that needs" not in answer.text  # two parts, each in its place
    assert re.search(r"is cancelled</strong>\s*<span>that needs one that is running", answer.text)


def test_a_standing_job_shows_its_freshness(
    caller: httpx.Client, ui_client: OpenSearch, encoder: OnnxEncoder, name: str
) -> None:
    _, queue = begin(ui_client, encoder, name, follow=True)
    queue.run(ui_client, encoder)
    found = [job for job in Ledger(ui_client).jobs() if job.standing and name in job.job_id]
    assert [job.state for job in found] == [FOLLOWING]
    assert "every write has its vector" in caller.get(f"/jobs/{found[0].job_id}").text
    assert "up to date" in caller.get("/jobs").text
    ui_client.index(index=name, id="late", body={"title": "later"}, refresh=True)
    assert "the oldest write without its vector" in caller.get(f"/jobs/{found[0].job_id}").text
    assert "have no vector, or an old one" in caller.get(f"/jobs/{found[0].job_id}?do=pause").text.replace(
        "\n", " "
    )
