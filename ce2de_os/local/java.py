"""Find the Java runtimes of this machine and choose one."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ce2de_os.errors import LocalServerError
from ce2de_os.local import lockfile
from ce2de_os.local.lockfile import Lock

_FOLDERS = (
    ("/usr/lib/jvm", "*/bin/java"),
    ("/usr/java", "*/bin/java"),
    ("/opt", "*/bin/java"),
    ("/Library/Java/JavaVirtualMachines", "*/Contents/Home/bin/java"),
    ("/opt/homebrew/opt", "openjdk*/bin/java"),
    ("/usr/local/opt", "openjdk*/bin/java"),
)
_VERSION = re.compile(r'version "(\d+)(?:\.(\d+))?')
_ANSWER_S = 20
INSTALL = (
    "set JAVA_HOME, or install one: 'apt-get install default-jre-headless' (Debian), "
    "'brew install openjdk' (macOS), 'wsl --install Debian' and there the same (Windows)"
)


@dataclass(frozen=True)
class Java:
    """A Java runtime; ``major`` is 17 for 17.0.9 and 8 for 1.8."""

    executable: Path
    major: int


def find(java_home: Path | None) -> list[Java]:
    """Find every working Java, newest first: ``java_home``, ``PATH``, usual folders of Debian and macOS."""
    executables = dict.fromkeys(path.resolve() for path in _candidates(java_home) if path.is_file())
    found = (Java(path, major) for path in executables if (major := _major(path)) is not None)
    return sorted(found, key=lambda java: java.major, reverse=True)


def choose(javas: Iterable[Java], version: str | None = None) -> tuple[Java, Lock]:
    """Choose the OpenSearch to run and the newest Java that it accepts.

    ``version`` ``None``: the best version that an installed Java can run.

    Raises:
        LocalServerError: no Java, or none for this version.
    """
    javas = list(javas)
    locks = [lockfile.read(name) for name in ([version] if version else lockfile.VERSIONS)]
    for lock in locks:
        for java in javas:
            if lock.accepts(java.major):
                return java, lock
    raise LocalServerError(_nothing_fits(javas, locks))


def _nothing_fits(javas: list[Java], locks: list[Lock]) -> str:
    got = ", ".join(f"Java {java.major}" for java in javas) or "no Java"
    expected = " or ".join(f"Java {lock.java_range} for OpenSearch {lock.version}" for lock in locks)
    return f"got {got}, expected {expected}; {INSTALL}"


def _candidates(java_home: Path | None) -> Iterable[Path]:
    if java_home:
        yield java_home / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    for folder, pattern in _FOLDERS:
        yield from sorted(Path(folder).glob(pattern))


def _major(executable: Path) -> int | None:
    """Run ``java -version``, and return its major version; ``None`` if it fails or is not understood."""
    try:
        answer = subprocess.run(
            [executable, "-version"], capture_output=True, text=True, timeout=_ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer.stderr + answer.stdout)
    if match is None:
        return None
    return int(match[2] or 0) if match[1] == "1" else int(match[1])
