# ruff: noqa: RUF001 - texts in several scripts
"""Apertium: its own stream format, and the real program where it is installed."""

from __future__ import annotations

import shutil

import pytest

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.translate.apertium import _packed, _unpacked, find_apertium

installed = pytest.mark.skipif(shutil.which("apertium") is None, reason="apertium is not installed")

TRICKY = [
    "The house is red.", "", "Hello [world] ^a$ {x} / \\ @ < > * # ~ + = end", "no full stop here", "...",
    "The cats\nand   the dogs\n\nsleep.", "{{}} ]]] [[[ \\] \\[", "a\0b", "<b>bold</b>\t~ ~~",
    "x\u200fy \u202bשלום\u202c عربي 日本語 👩‍👧 e\u0301",
]  # fmt: skip


@pytest.mark.parametrize("text", TRICKY)
def test_any_text_comes_back_from_the_stream_format(text):
    assert _unpacked(f"{_packed(text)}.[]").text == text.replace("\0", " ").strip()


def test_what_it_means_to_have_none(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"apertium is not installed; on Debian or Ubuntu: apt-get install"):
        find_apertium("en", "es")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Writes a program of the same name that does what a pair with a fault may do."""

    def write(script):
        path = tmp_path / "apertium"
        path.write_text(f"#!/bin/sh\n[ $1 = -l ] && echo '  eng-spa' && exit\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return find_apertium("en", "es")

    return write


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "cat > /dev/null; echo 'Error: no data' >&2; exit 3",
            "gave 1 texts for 2, exit code 3, said: Error: no data;",
        ),
        ("cat > /dev/null", "apertium eng-spa: gave 1 texts for 2, exit code 0; install the pair again"),
        ("cat; printf 'more'", "gave 3 texts for 2"),
    ],
)
def test_a_failure_is_told_and_no_text_takes_another_s_place(program, script, message):
    with pytest.raises(DataError, match=message):
        program(script).translate(["one", "two"])


def test_a_pair_that_is_missing_is_told_with_those_that_are_there(program):
    program("cat")
    with pytest.raises(
        ConfigError, match=r"no pair from 'en' to 'it'; installed: eng-spa; .*apertium-eng-ita"
    ):
        find_apertium("en", "it")


@installed
def test_the_real_program_translates_and_keeps_texts_apart():
    try:
        translator = find_apertium("en", "es")
    except ConfigError as error:
        pytest.skip(str(error))
    assert translator.pair == find_apertium("eng", "spa").pair == "eng-spa"
    together = translator.translate(TRICKY)
    assert together == [translator.translate([text])[0] for text in TRICKY]
    assert together[0].text == "La casa es roja."
    assert (together[1].text, together[1].whole) == ("", False)
    assert together[2].text.startswith("Hola [")
    assert together[2].text.endswith("] ^un$ {x} / \\ @ < > * # ~ + = fin")
    assert together[5].text.count("\n") == 3
    assert together[6].text == TRICKY[6]
    assert together[9].text == TRICKY[9]
    assert translator.identity == find_apertium("en", "es").identity != find_apertium("es", "en").identity
    assert translator.count_tokens(TRICKY) == [0] * len(TRICKY)
