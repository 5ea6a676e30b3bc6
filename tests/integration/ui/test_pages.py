"""Every page in a real browser: narrow and wide, light and dark, without a mouse, checked by axe."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.ui.conftest import MOST_BYTES, SCHEMES, WIDTHS, Open, Running, violations, weight_of

PAGES = (
    "/compare",
    "/compare?q=copy+a+folder&k=2",
    "/judge?index=t-ui-articles",
    "/evaluate",
    "/models",
    "/enter",
)
OUTLINE = "(one => [one.outlineStyle, one.outlineWidth])(getComputedStyle(document.activeElement))"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_accessible_at_every_width(open_page: Open, path: str) -> None:
    page = open_page(path)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert violations(page) == [], f"{width} {scheme}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_is_dark(open_page: Open) -> None:
    grounds = [
        open_page("/models", scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in SCHEMES
    ]
    assert grounds == ["rgb(255, 255, 255)", "rgb(17, 22, 27)"]


@pytest.mark.parametrize("path", PAGES)
def test_the_first_tab_stop_leads_to_the_content_and_every_stop_is_seen(open_page: Open, path: str) -> None:
    page = open_page(path)
    first = page.locator("a, button, input, select").first
    assert first.text_content() == "To the content"
    first.focus()
    assert page.evaluate("document.activeElement.getBoundingClientRect().x") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement !== document.body"):
            assert page.evaluate(OUTLINE) == ["solid", "3px"], page.evaluate(
                "document.activeElement.outerHTML"
            )


@pytest.mark.parametrize("path", PAGES)
def test_a_page_weighs_little_and_needs_nothing_from_elsewhere(open_page: Open, path: str) -> None:
    assert 0 < weight_of(open_page(path)) <= MOST_BYTES


def test_a_name_that_is_not_ours_is_refused_and_the_token_enters(site: Running) -> None:
    refused = httpx.get(f"{site.url}/compare", headers={"Host": "search.evil.example"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (421, "host_not_allowed")
    with httpx.Client(follow_redirects=True) as browser:
        assert browser.get(f"{site.url}/enter?token=wrong").status_code == 401
        entered = browser.get(site.entrance)
        assert (entered.status_code, entered.url.path) == (200, "/compare")
        assert site.entrance.partition("token=")[2] not in entered.text
