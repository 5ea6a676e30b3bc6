"""Choosing a Java: the newest one that the OpenSearch version accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ce2de_os.errors import LocalServerError
from ce2de_os.local import java
from ce2de_os.local.java import Java


def make_java(folder: Path, answer: str) -> Path:
    """A folder with a ``bin/java`` that answers as the real one does: on stderr."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{answer}\nEND\n", encoding="utf-8")
    program.chmod(0o755)
    return folder


@pytest.fixture
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose Javas are those that the test puts into this folder."""
    monkeypatch.setattr(java, "_FOLDERS", ((str(tmp_path / "jvm"), "*/bin/java"),))
    # The shell that runs the scripts must stay on PATH, a java must not.
    monkeypatch.setattr("shutil.which", lambda _: None)
    return tmp_path


@pytest.mark.parametrize(
    ("answer", "major"),
    [
        ('openjdk version "25.0.1" 2025-10-21 LTS', 25),
        ('openjdk version "17.0.9" 2023-10-17\nOpenJDK Runtime Environment', 17),
        ('openjdk version "26-ea" 2026-03-17', 26),
        ('java version "1.8.0_392"', 8),
        ('NOTE: Picked up JDK_JAVA_OPTIONS\nopenjdk version "21" 2023-09-19', 21),
    ],
)
def test_the_major_version_is_read_from_the_answer(only_here: Path, answer: str, major: int) -> None:
    home = make_java(only_here / "some", answer)
    assert java.find(home) == [Java(home / "bin" / "java", major)]


def test_the_newest_comes_first(only_here: Path) -> None:
    for version in ("11.0.2", "25.0.1", "17.0.9"):
        make_java(only_here / "jvm" / version, f'openjdk version "{version}"')
    assert [found.major for found in java.find(None)] == [25, 17, 11]


def test_one_java_under_two_names_counts_once(only_here: Path) -> None:
    make_java(only_here / "jvm" / "a", 'openjdk version "17.0.9"')
    (only_here / "jvm" / "b").symlink_to("a")
    assert len(java.find(only_here / "jvm" / "b")) == 1


def test_programs_that_are_no_java_are_passed_over(only_here: Path) -> None:
    make_java(only_here / "jvm" / "silent", "nothing of use")
    broken = make_java(only_here / "jvm" / "broken", "") / "bin" / "java"
    broken.write_bytes(b"\x7fELF for another machine")
    assert java.find(None) == []


@pytest.mark.parametrize(
    ("majors", "chosen", "version"),
    [([25, 17], 25, "3.6.0"), ([21], 21, "3.6.0"), ([20], 20, "2.19.1"), ([17, 11], 17, "2.19.1")],
)
def test_the_best_version_for_the_java_at_hand(majors: list[int], chosen: int, version: str) -> None:
    runtime, lock = java.choose([Java(Path("java"), major) for major in majors])
    assert (runtime.major, lock.version) == (chosen, version)


def test_a_wanted_version_takes_the_newest_java_that_it_accepts() -> None:
    runtime, _ = java.choose([Java(Path("java"), major) for major in (25, 17, 11)], "2.19.1")
    assert runtime.major == 17


@pytest.mark.parametrize(
    ("majors", "version", "message"),
    [
        ([], None, "got no Java, expected Java 21 or newer for OpenSearch 3.6.0 or Java 11 to 23"),
        ([8], None, "got Java 8, expected"),
        ([17], "3.6.0", "got Java 17, expected Java 21 or newer for OpenSearch 3.6.0; set JAVA_HOME"),
        ([25], "2.19.1", "got Java 25, expected Java 11 to 23 for OpenSearch 2.19.1"),
    ],
)
def test_without_a_fitting_java_the_message_tells_how_to_get_one(
    majors: list[int], version: str | None, message: str
) -> None:
    with pytest.raises(LocalServerError, match=message) as caught:
        java.choose([Java(Path("java"), major) for major in majors], version)
    assert "apt-get install" in str(caught.value)
    assert "brew install" in str(caught.value)
    assert "Windows" in str(caught.value)


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(LocalServerError, match=r"1\.0: not available; expected one of 3\.6\.0, 2\.19\.1"):
        java.choose([Java(Path("java"), 25)], "1.0")
