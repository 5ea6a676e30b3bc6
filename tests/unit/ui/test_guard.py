"""Who may ask the page for what, before any page answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ce2de_os.errors import ConfigError
from ce2de_os.server.keys import Keys
from ce2de_os.ui.app import Entrance
from ce2de_os.ui.guard import ENTER, HEADERS, MOST_BYTES, Guard
from ce2de_os.ui.pages import Pages
from ce2de_os.ui.request import UiRequest
from ce2de_os.ui.sessions import MOST, Sessions

BASE = "http://127.0.0.1:8090"
SAME = {"Origin": BASE}


class Room:
    """What an entrance needs of a site."""

    def __init__(self, request: UiRequest, sessions: Sessions) -> None:
        self.sessions, self.pages = sessions, Pages(request, sessions)


def guarded(request: UiRequest, sessions: Sessions) -> TestClient:
    entrance = Entrance(Room(request, sessions))  # type: ignore[arg-type]
    routes = [
        Route("/page", lambda http: PlainTextResponse("page"), methods=["GET", "POST"]),
        Route("/jobs/1", lambda http: PlainTextResponse("done"), methods=["POST"]),
        Route("/form", lambda http: PlainTextResponse(repr(http.state.form)), methods=["POST"]),
        Route(ENTER, entrance.show),
        Route(ENTER, entrance.enter, methods=["POST"]),
        Route("/csrf", entrance.csrf),
    ]
    pages = Pages(request, sessions)
    return TestClient(
        Guard(Starlette(routes=routes), sessions, request, pages.refuse),  # type: ignore[arg-type]
        BASE, follow_redirects=False,
    )  # fmt: skip


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(None)


@pytest.fixture
def page(sessions: Sessions) -> TestClient:
    return guarded(UiRequest(), sessions)


def secret(client: TestClient) -> str:
    return str(client.get("/csrf").json()["csrf"])


def test_every_answer_has_the_headers_and_a_cookie_that_scripts_cannot_read(page: TestClient) -> None:
    answer = page.get("/page")
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert re.fullmatch(
        r"ce2de_ui_8090=[\w-]{32}; Path=/; HttpOnly; SameSite=Strict", answer.headers["set-cookie"]
    )
    assert "set-cookie" not in page.get("/page").headers


def test_a_post_needs_this_page_as_its_origin_and_the_secret_of_its_forms(page: TestClient) -> None:
    form = {"X-CSRF-Token": secret(page)}
    assert page.post("/page", headers={**SAME, **form}).text == "page"
    assert page.post("/page", headers={"Sec-Fetch-Site": "same-origin", **form}).text == "page"
    field = {"csrf": form["X-CSRF-Token"]}
    assert page.post("/page", data=field, headers=SAME).text == "page"
    for headers in (
        form,
        {**form, "Origin": "https://evil.example"},
        {**form, "Origin": "null"},
        {**form, "Origin": "http://127.0.0.1:8091"},
        SAME,
        {**SAME, "X-CSRF-Token": "0" * 64},
    ):
        assert page.post("/page", headers=headers).status_code == 403


def test_a_secret_of_another_browser_or_another_start_is_worth_nothing(
    page: TestClient, sessions: Sessions
) -> None:
    other = guarded(UiRequest(), sessions)
    stale = page.post("/page", headers={**SAME, "X-CSRF-Token": secret(other)})
    assert stale.status_code == 403
    again = guarded(UiRequest(), Sessions(None))
    again.cookies = page.cookies
    late = again.post("/page", headers={**SAME, "X-CSRF-Token": secret(page)})
    assert (late.status_code, late.headers["X-Stale"]) == (403, "yes")
    assert again.post("/page", headers={**SAME, "X-CSRF-Token": secret(again)}).text == "page"


def test_other_methods_and_endless_bodies_end(page: TestClient) -> None:
    headers = {**SAME, "X-CSRF-Token": secret(page)}
    assert page.delete("/page", headers=headers).status_code == 405
    assert page.post("/page", content=b"x" * (MOST_BYTES + 1), headers=headers).status_code == 413
    wrong = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    assert page.post("/form", content=b"a=%ff", headers=wrong).status_code == 400


def test_at_loopback_only_jobs_need_the_token(page: TestClient, sessions: Sessions) -> None:
    assert page.get("/page").status_code == 200
    refused = page.post("/jobs/1", headers={**SAME, "X-CSRF-Token": secret(page)})
    assert refused.status_code == 401
    assert "actions on jobs need a token" in refused.text
    entered = page.get(f"/enter?token={sessions.token}")
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert page.post("/jobs/1", headers={**SAME, "X-CSRF-Token": secret(page)}).text == "done"


def test_at_another_address_every_page_needs_the_token(sessions: Sessions) -> None:
    page = guarded(UiRequest(host="0.0.0.0"), sessions)
    assert page.get("/page").status_code == 401
    assert "Show the token" in page.get("/page?x=1").text
    form = {"csrf": secret(page), "token": "wrong", "next": "/page?x=1"}
    assert page.post("/enter", data=form, headers=SAME).status_code == 401
    right = page.post("/enter", data={**form, "token": sessions.token}, headers=SAME)
    assert (right.status_code, right.headers["location"]) == (303, "/page?x=1")
    assert page.get("/page").text == "page"


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", ""])
def test_the_way_on_after_the_token_stays_on_this_page(sessions: Sessions, target: str) -> None:
    page = guarded(UiRequest(), sessions)
    form = {"csrf": secret(page), "token": str(sessions.token), "next": target}
    assert page.post("/enter", data=form, headers=SAME).headers["location"] == "/"


def test_a_link_on_another_site_takes_no_session_away(page: TestClient, sessions: Sessions) -> None:
    page.get(f"/enter?token={sessions.token}")
    kept = dict(page.cookies)
    page.cookies.clear()
    answer = page.get("/page", headers={"Sec-Fetch-Site": "cross-site"})
    assert "set-cookie" not in answer.headers
    page.cookies.update(kept)
    assert page.post("/jobs/1", headers={**SAME, "X-CSRF-Token": secret(page)}).text == "done"


def test_read_only_changes_nothing(sessions: Sessions) -> None:
    page = guarded(UiRequest(read_only=True), sessions)
    page.get(f"/enter?token={sessions.token}")
    for path in ("/page", "/jobs/1"):
        refused = page.post(path, headers={**SAME, "X-CSRF-Token": secret(page)})
        assert refused.status_code == 403
        assert "read-only" in refused.text


def test_tokens_of_a_file_are_taken_instead(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("a-token-of-the-team\n")
    path.chmod(0o600)
    sessions = Sessions(Keys(path))
    assert sessions.token is None
    assert sessions.enter("") is None
    assert sessions.enter("another") is None
    session = sessions.enter("a-token-of-the-team")
    assert session is not None
    assert sessions.has_entered(session)


def test_only_so_many_browsers_are_remembered(sessions: Sessions) -> None:
    entered = [sessions.enter(str(sessions.token)) for _ in range(MOST + 1)]
    assert not sessions.has_entered(str(entered[0]))
    assert sessions.has_entered(str(entered[-1]))


@pytest.mark.parametrize("cookie", [None, "", "short", "x" * 33, "x" * 31 + "\n", "'" * 32])
def test_a_cookie_that_is_none_of_ours_names_no_session(cookie: str | None) -> None:
    assert Sessions.known(cookie) is None


@pytest.mark.parametrize("options", [{"port": 70_000}, {"port": -1}, {"tls_key": Path("key")}])
def test_a_request_that_cannot_be_served_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        UiRequest(**options)  # type: ignore[arg-type]


def test_a_page_s_error_is_escaped(page: TestClient) -> None:
    headers = {"Origin": "http://<script>", "X-CSRF-Token": secret(page)}
    assert "<script>" not in page.post("/page", headers=headers).text


def test_the_request_of_a_template_has_the_session(sessions: Sessions) -> None:
    seen: list[str] = []

    def note(http: Request) -> PlainTextResponse:
        seen.append(http.state.session)
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/", note)])
    client = TestClient(Guard(app, sessions, UiRequest(), Pages(UiRequest(), sessions).refuse), BASE)
    client.get("/")
    client.get("/")
    assert seen[0] == seen[1]
