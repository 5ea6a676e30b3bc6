"""One browser, and one `ce2de ui` on the real servers, for all tests of the page."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from opensearchpy import OpenSearch
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

from ce2de_os.config import OpenSearchSettings
from ce2de_os.index.client import connect
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.local.servers import Endpoints, LocalServers
from ce2de_os.model.encoder import OnnxEncoder
from tests.integration.test_search import make_index

WAIT_MS = 30_000  # a busy machine draws and reads slowly
expect.set_options(timeout=WAIT_MS)

ROOT = Path(__file__).parents[3]
INDEX = "t-ui-articles"
PLAIN = "t-ui-plain"  # no vectors
OTHER = "t-ui-other"  # vectors of another model
WIDTHS = (390, 1600)
MOST_BYTES = 150 * 1024
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
TASKS = (
    "copy a folder", "wait some seconds", "delete a file", "renew a passport", "sort the lines of a text",
    "list the running processes",
)  # fmt: skip
SCRIPT = "<script>document.title = 'attacked'</script> copy"
ARABIC = "نسخ مجلد"


@dataclass(frozen=True)
class Running:
    """A `ce2de ui` that runs: its address, and the address with the token."""

    url: str
    entrance: str
    process: subprocess.Popen[str]


@contextmanager
def running(*options: object, **environment: str) -> Iterator[Running]:
    command = [sys.executable, "-P", "-m", "ce2de_os", "ui", *map(str, options)]
    known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    with subprocess.Popen(command, env=known, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            found = re.match(r"Open ((https?://[^/]+)/enter\S*)", line)
            assert found, line + process.stderr.read()
            yield Running(found[2], found[1], process)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def documents() -> list[dict[str, Any]]:
    found = []
    for number in range(36):
        first, second = TASKS[number % 6], TASKS[(number // 6) % 6]
        found.append({
            "_id": f"page-{number}",
            "title": f"How to {first}",
            "body": f"This page shows how to {first}, and how to {second} after that. Part {number}.",
            "lang": "en" if number % 2 else "it",
        })  # fmt: skip
    found.append({"_id": "script", "title": SCRIPT, "body": f"{SCRIPT} <img src=x onerror=alert(1)> copy"})
    found.append({"_id": "arabic", "title": ARABIC, "body": f"{ARABIC} copy a folder"})
    return found


@pytest.fixture(scope="package")
def ui_endpoints(servers: LocalServers) -> Endpoints:
    return servers.endpoints() or servers.up()


@pytest.fixture(scope="package")
def ui_client(ui_endpoints: Endpoints) -> Iterator[OpenSearch]:
    with connect(OpenSearchSettings(url=ui_endpoints.opensearch_url)) as client:
        yield client


@pytest.fixture(scope="package")
def indices(ui_client: OpenSearch) -> Iterator[None]:
    """An index with vectors, one without, and one whose vectors are another model's."""
    encoder = OnnxEncoder()
    sources = documents()
    vectors = encoder.encode_documents([f"{one['title']}\n{one['body']}" for one in sources])
    own = IndexMetadata(
        "ce2de_vector", ("title", "body"), encoder.fingerprint, encoder.dim, encoder.artifact.name, INDEX,
        space=encoder.space,
    )  # fmt: skip
    other = IndexMetadata("ce2de_vector", ("title", "body"), "b" * 64, encoder.dim, "another", OTHER)
    ui_client.indices.delete(index="t-ui-*", ignore_unavailable=True)
    embedded = [{**one, "ce2de_vector": row.tolist()} for one, row in zip(sources, vectors, strict=True)]
    make_index(ui_client, INDEX, embedded, own, dim=encoder.dim)
    make_index(ui_client, OTHER, embedded, other, dim=encoder.dim)
    make_index(ui_client, PLAIN, sources, None)
    yield
    ui_client.indices.delete(index="t-ui-*")


@pytest.fixture(scope="package")
def site(indices: None, ui_endpoints: Endpoints) -> Iterator[Running]:
    """The page, at loopback."""
    servers = {
        "CE2DE_OPENSEARCH_URL": ui_endpoints.opensearch_url,
        "CE2DE_BROKER_URL": ui_endpoints.broker_url,
    }
    with running(INDEX, "--port", 0, **servers) as found:
        yield found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    # For the package, not for the session: Playwright's loop would disturb tests that run one of their own.
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no browser here; install one with scripts/install_browser.sh")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, site: Running) -> Iterator[Open]:
    """Open a path in a window of its own; every error on the console fails the test."""
    contexts, errors = [], []

    def opened(
        path: str, *, width: int = 1600, scheme: str = "light", expected: tuple[str, ...] = (), base: str = ""
    ) -> Page:
        viewport = {"width": width, "height": 900}
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda line: (
                errors.append(line.text)
                if line.type in ("error", "warning") and not any(text in line.text for text in expected)
                else None
            ),
        )
        page.goto(f"{base or site.url}{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Take a picture for the documentation, where this was asked for."""

    def take(page: Page, name: str) -> None:
        if request.config.getoption("--screenshots"):
            page.screenshot(path=ROOT / "docs" / "images" / f"{name}.png")

    return take


def violations(page: Page) -> list[str]:
    """What axe finds wrong."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


def weight_of(page: Page) -> int:
    """The bytes of a page with all that it loads the first time; what comes from elsewhere is an error."""
    answers: list[Response] = []
    context = page.context.browser.new_context()
    fresh = context.new_page()
    fresh.on("response", lambda answer: answers.append(answer))
    fresh.goto(page.url, wait_until="networkidle")
    here = page.url.partition("://")[2].partition("/")[0]
    assert all(one.url.partition("://")[2].partition("/")[0] == here for one in answers), answers
    sizes = [one.request.sizes()["responseBodySize"] for one in answers]
    context.close()
    return sum(sizes)
