"""Fetch a source from its home: a file or a list of records over HTTP, or a commit of a repository.

What is there already is not fetched again, and what was cut off goes on where it ended.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from html import unescape
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from ce2de_os.errors import DataError

GIT = shutil.which("git") or "git"
HEADERS = {"User-Agent": "ce2de-os-collect-texts/1"}
MEGABYTE = 1 << 20
TIMEOUT_S = 60.0
BUSY, TRIES, LONGEST_WAIT_S = 503, 5, 600
WAIT_S = 3.0  # between two pages of records: what arXiv asks of harvesters
_TOKEN = re.compile(rb"<resumptionToken[^>]*>([^<]+)</resumptionToken>")
_ERROR = re.compile(rb"<error code=\"(\w+)\"[^>]*>([^<]*)<")


def say(text: str, end: str = "\n") -> None:
    """Write one line of progress to stderr."""
    sys.stderr.write(text + end)
    sys.stderr.flush()


def download(url: str, path: Path, limit: int, types: Sequence[str]) -> Path:
    """Download a file, and return its path.

    Args:
        url: where it is.
        path: where to write it; if it is there, nothing is done.
        limit: the most bytes that are accepted.
        types: the content types that it may have.

    Raises:
        DataError: the home does not answer, or not with such a file.
    """
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, tag = (path.with_name(path.name + suffix) for suffix in (".partial", ".etag"))
    # The last byte is asked for again, since homes refuse a request of nothing.
    done = max(0, partial.stat().st_size - 1) if partial.exists() and tag.exists() else 0
    headers = HEADERS | ({"Range": f"bytes={done}-", "If-Range": tag.read_text("ascii")} if done else {})
    with _answer(url, headers) as answer:
        if answer.status != 206:
            done = 0
        total = _checked_size(url, answer, done, limit, types)
        tag.unlink(missing_ok=True)
        if answer.headers.get("ETag"):
            tag.write_text(answer.headers["ETag"], "ascii")
        with partial.open("r+b" if done else "wb") as file:
            file.seek(done)
            done = _copy(url, answer, file, done, limit)
    if total and done < total:
        raise DataError(f"{url}: cut off after {done:,} of {total:,} bytes; run the same command to go on")
    partial.replace(path)
    tag.unlink(missing_ok=True)
    return path


def harvest(url: str, query: dict[str, str], folder: Path, limit: int, wait_s: float = WAIT_S) -> Path:
    """Download every page of a list of records by OAI-PMH into ``folder``, and return the folder.

    Raises:
        DataError: the home does not answer, or with an error, or with more than ``limit`` bytes.
    """
    number, size = 0, 0
    asked = {"verb": "ListRecords", **query}
    while True:
        path = folder / f"{number:05}.xml"
        new = not path.exists()
        page = download(f"{url}?{urlencode(asked)}", path, limit - size, ["text/xml", "application/xml"])
        data = page.read_bytes()
        size += len(data)
        error = _ERROR.search(data)
        if error and error[1] != b"noRecordsMatch":
            page.unlink()
            raise DataError(
                f"{url}: {error[1].decode()}: {error[2].decode('utf-8', 'replace')}; "
                f"delete {folder} and run the command again"
            )
        token = _TOKEN.search(data)
        if token is None:
            return folder
        asked = {"verb": "ListRecords", "resumptionToken": unescape(token[1].decode().strip())}
        number += 1
        if new:
            time.sleep(wait_s)


def checkout(url: str, commit: str, patterns: Sequence[str], folder: Path, limit: int) -> Path:
    """Fetch the files of a commit that match ``patterns`` (as in .gitignore), and return their folder.

    Git compares what it gets with the commit's hash. The other files, such as pictures, are not fetched.

    Raises:
        DataError: git or the home fails, no file matches, or the files have more than ``limit`` bytes.
    """
    done = folder.with_name(folder.name + ".done")
    if done.exists() and done.read_text("ascii") == commit:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        _git(folder, url, "init", "--quiet")
        _git(folder, url, "remote", "add", "origin", url)
    _git(folder, url, "sparse-checkout", "set", "--no-cone", *patterns)
    _git(folder, url, "fetch", "--progress", "--depth=1", "--filter=blob:none", "origin", commit)
    _git(folder, url, "checkout", "--progress", "--force", "--detach", commit)
    files = [path for path in folder.rglob("*") if ".git" not in path.parts and path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if not files or size > limit:
        raise DataError(
            f"{url} at {commit}: got {len(files)} files and {size:,} bytes that match {', '.join(patterns)}, "
            f"expected some, with at most {limit:,} bytes; compare scripts/texts/homes.py with the repository"
        )
    done.write_text(commit, "ascii")
    return folder


def _git(folder: Path, url: str, *words: str) -> None:
    settings = ["-c", "core.symlinks=false", "-c", "core.autocrlf=false", "-c", "advice.detachedHead=false"]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        subprocess.run([GIT, "-C", str(folder), *settings, *words], check=True, env=environment)
    except (OSError, subprocess.CalledProcessError) as error:
        raise DataError(
            f"{url}: git {words[0]} failed ({error}); see git's message above, check that git is installed "
            "and that the home can be reached, and run the same command to go on"
        ) from error


def _answer(url: str, headers: dict[str, str]) -> Any:  # noqa: ANN401 - http.client.HTTPResponse, or its like
    for left in reversed(range(TRIES)):
        try:
            return urlopen(Request(url, headers=headers), timeout=TIMEOUT_S)  # noqa: S310 - homes.py, or a test
        except HTTPError as error:
            wait = error.headers.get("Retry-After", "")
            error.close()
            if error.code != BUSY or not wait.isdecimal() or int(wait) > LONGEST_WAIT_S or not left:
                raise DataError(
                    f"{url}: got HTTP {error.code} {error.reason}, expected the file; "
                    "open the address in a browser: the home may have moved it"
                ) from error
            say(f"{url}: busy, trying again in {wait} s")
            time.sleep(int(wait))
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise DataError(
                f"{url}: no answer ({reason}); check the network, and run the same command to go on"
            ) from error
    raise AssertionError("the last try returns or raises")


def _checked_size(url: str, answer: Any, done: int, limit: int, types: Sequence[str]) -> int:  # noqa: ANN401
    """Return the size of the whole file, 0 if the home does not say."""
    got = answer.headers.get_content_type()
    if got not in types:
        raise DataError(
            f"{url}: got {got}, expected {' or '.join(types)}; open the address in a browser: "
            "the home may ask for consent, or have moved the file"
        )
    length = answer.headers.get("Content-Length")
    total = done + int(length) if length else 0
    if total > limit:
        raise DataError(_too_large(url, total, limit))
    return total


def _copy(url: str, answer: Any, file: IO[bytes], done: int, limit: int) -> int:  # noqa: ANN401
    shown = done
    try:
        while block := answer.read(MEGABYTE):
            done += len(block)
            if done > limit:
                raise DataError(_too_large(url, done, limit))
            file.write(block)
            if done - shown >= 16 * MEGABYTE:
                say(f"{url}: {done // MEGABYTE:,} MiB", end="\r")
                shown = done
    except (OSError, HTTPException) as error:
        raise DataError(
            f"{url}: cut off after {done:,} bytes ({error}); run the same command to go on"
        ) from error
    return done


def _too_large(url: str, size: int, limit: int) -> str:
    return (
        f"{url}: {size:,} bytes or more, expected at most {limit:,}; "
        "look at what is there, and raise the limit in scripts/texts/homes.py if it is right"
    )
