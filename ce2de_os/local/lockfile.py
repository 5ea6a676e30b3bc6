"""The lock files: the files of one OpenSearch, the place of each, and its checksum."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ce2de_os.errors import LocalServerError

FOLDER = Path(__file__).parent
# In the order of preference.
VERSIONS = ("3.6.0", "2.19.1")


@dataclass(frozen=True)
class LockedFile:
    """One file to download; a zip is unpacked into ``folder``, a jar is put there.

    With a ``member`` it is that file of the zip, which is read alone; ``None``: the whole file.
    """

    coordinates: str
    packaging: str
    sha256: str
    size_bytes: int
    folder: str
    member: str | None = None

    @property
    def remote_name(self) -> str:
        """The file's name in the repository: ``artifact-version.packaging``."""
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.{self.packaging}"

    @property
    def name(self) -> str:
        """The file's name among the downloads."""
        return self.remote_name if self.member is None else f"{self.remote_name}.{self.member}"


@dataclass(frozen=True)
class Module:
    """The content of a module's descriptor, because the published jar has none."""

    name: str
    classname: str
    extends: tuple[str, ...]


@dataclass(frozen=True)
class Lock:
    """One OpenSearch version.

    ``java`` is the range of Java majors, both included; ``None``: no upper end. ``security`` is the security
    plugin, which is not among ``files``; ``None``: it is not published for this version. ``ml`` are the files
    of ml-commons, which are not among ``files`` either; empty: it was not tried with this version.
    """

    version: str
    java: tuple[int, int | None]
    modules: tuple[Module, ...]
    files: tuple[LockedFile, ...]
    security: LockedFile | None = None
    ml: tuple[LockedFile, ...] = ()

    def with_ml(self) -> Lock:
        """Return the same OpenSearch with ml-commons, cut down to what remote models need.

        Raises:
            LocalServerError: there is none for this version.
        """
        if not self.ml:
            raise LocalServerError(
                f"OpenSearch {self.version}: ml-commons is not available for it here; take `version` "
                f"{VERSIONS[0]}, which needs Java 21 or newer"
            )
        return replace(self, files=(*self.files, *self.ml))

    def accepts(self, java_major: int) -> bool:
        """Return whether this version runs on that Java."""
        lowest, highest = self.java
        return java_major >= lowest and (highest is None or java_major <= highest)

    @property
    def java_range(self) -> str:
        """The range in words, for messages."""
        lowest, highest = self.java
        return f"{lowest} or newer" if highest is None else f"{lowest} to {highest}"

    @cached_property
    def fingerprint(self) -> str:
        """Changes with any file, so that a changed lock never reuses a folder made from another."""
        text = "".join(f"{file.folder}/{file.name} {file.sha256}\n" for file in self.files)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def path(version: str) -> Path:
    """Return the path of ``version``'s lock file."""
    return FOLDER / f"opensearch-{version}.lock.json"


def read(version: str) -> Lock:
    """Read the lock of ``version``.

    Raises:
        LocalServerError: there is no lock for this version.
    """
    if version not in VERSIONS:
        raise LocalServerError(f"OpenSearch {version}: not available; expected one of {', '.join(VERSIONS)}")
    return parse(json.loads(path(version).read_text(encoding="utf-8")))


def parse(body: dict[str, Any]) -> Lock:
    """Convert ``body``, parsed JSON, to a lock."""
    lowest, highest = body["java"]
    modules = (Module(m["name"], m["classname"], tuple(m["extends"])) for m in body["modules"])
    files = (LockedFile(**file) for file in body["files"])
    security = LockedFile(**body["security"]) if "security" in body else None
    ml = tuple(LockedFile(**file) for file in body.get("ml", []))
    return Lock(body["version"], (lowest, highest), tuple(modules), tuple(files), security, ml)
