"""Translate with Apertium, the rule-based translator that Debian and Ubuntu package.

All texts go through one process (``apertium -z``), each ended by a zero byte at which the whole pipe is
flushed, so that no text affects the next.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.translate.base import Translation
from ce2de_os.translate.languages import names_of

_PART_CHARS = 300_000
_END = ".[]"  # an additional full stop: without one the last words wait for more input
_MARKED = re.compile(r"([\[\]{}^$/\\@<>])")
_BLANK = re.compile(r" ?[^\S ]\s*| {2,}|~")  # parts that must stay unchanged
_UNMARK = re.compile(r"\\(.)|\[((?:[^\\\]]|\\.)*)\]", re.DOTALL)
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
_SHOWN = 8  # most pairs in a message


@dataclass(frozen=True)
class ApertiumTranslator:
    """An installed pair of languages; see `ce2de_os.translate.base.Translator`.

    Attributes:
        program: path of ``apertium``.
        pair: the direction as it names it, such as ``eng-spa``.
        identity: of the program's version and the pair's data.
    """

    program: str
    pair: str
    identity: str
    max_tokens: int = 1  # texts of any length: every one has 0 tokens
    part_chars: int = _PART_CHARS

    @property
    def name(self) -> str:
        """For people."""
        return f"apertium {self.pair}"

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return 0 for each text: there is no longest text."""
        return [0] * len(texts)

    def translate(self, pieces: Sequence[str]) -> list[Translation]:
        """Translate each piece, in the given order; words that Apertium does not know stay.

        Raises:
            DataError: the program fails, or returns another number of texts.
        """
        given = "".join(f"{_packed(piece)}{_END}\0" for piece in pieces)
        done = subprocess.run(
            [self.program, "-z", "-u", "-f", "none", self.pair], input=given.encode(), capture_output=True,
            env=os.environ | _ENVIRONMENT, check=False,
        )  # fmt: skip
        texts = done.stdout.decode("utf-8", "replace").split("\0")
        # Every program of the pipe adds a zero byte at the end of its input.
        if done.returncode or len(texts) < len(pieces) or any(texts[len(pieces) :]):
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise DataError(
                f"{self.name}: gave {len(texts):,} texts for {len(pieces):,}, exit code {done.returncode}"
                f"{f', said: {said[-1]:.200}' if said else ''}; install the pair again "
                "or choose another backend"
            )
        return [_unpacked(text) for text in texts[: len(pieces)]]


def find_apertium(source: str, target: str) -> ApertiumTranslator:
    """Find the installed pair that translates from ``source`` to ``target``.

    Raises:
        ConfigError: Apertium is not installed, or has no such pair.
    """
    program = shutil.which("apertium")
    if program is None:
        raise ConfigError(
            "apertium is not installed; on Debian or Ubuntu: apt-get install apertium and a pair, "
            "such as apertium-eng-spa"
        )
    pairs = _output(program, "-l").split()
    for pair in pairs:
        left, _, right = pair.partition("-")
        if _means(left, source) and _means(right, target):
            return ApertiumTranslator(program, pair, _identity(program, pair))
    shown = ", ".join(pairs[:_SHOWN]) + (", …" if len(pairs) > _SHOWN else "")
    wanted = "-".join((_three_letters(source), _three_letters(target)))
    raise ConfigError(
        f"apertium has no pair from '{source}' to '{target}'; installed: {shown or 'none'}; on Debian or "
        f"Ubuntu its package may be apertium-{wanted}: see apt-cache search '^apertium-'"
    )


def _means(own: str, wanted: str) -> bool:
    """Return whether Apertium's name of a language (``spa``, ``eng_US``) means the wanted one."""
    return own == wanted or ("_" not in own and own in names_of(wanted))


def _three_letters(code: str) -> str:
    names = [name for name in names_of(code) if len(name) == 3]
    return names[0] if names else code


def _identity(program: str, pair: str) -> str:
    digest = hashlib.sha256(f"{_output(program, '-V')} {pair}".encode())
    mode = Path(program).resolve().parents[1] / "share" / "apertium" / "modes" / f"{pair}.mode"
    if mode.is_file():
        steps = mode.read_text(encoding="utf-8")
        digest.update(steps.encode())
        for file in map(Path, re.findall(r"'([^']+)'", steps)):
            digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


def _output(program: str, flag: str) -> str:
    done = subprocess.run([program, flag], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _packed(text: str) -> str:
    """Escape Apertium's own signs; put blanks other than one space in brackets."""
    marked = _MARKED.sub(r"\\\1", text.replace("\0", " "))
    return _BLANK.sub(lambda blank: f"[{blank.group()}]", marked)


def _unpacked(text: str) -> Translation:
    text = text.removesuffix("[]").removesuffix(".")
    plain = _UNMARK.sub(lambda found: found[1] if found[1] is not None else found[2], text).strip()
    return Translation(plain, bool(plain))
