"""Putting an OpenSearch together from downloads that are already there."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from pathlib import Path

import pytest

from ce2de_os.errors import LocalServerError
from ce2de_os.local.distribution import exclusive, provide
from ce2de_os.local.lockfile import Lock, LockedFile, Module


def put(folder: Path, name: str, packaging: str, content: bytes, destination: str) -> LockedFile:
    sha256 = hashlib.sha256(content).hexdigest()
    file = LockedFile(f"org.example:{name}:1.0", packaging, sha256, len(content), destination)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file.name).write_bytes(content)
    return file


def zipped(name: str, content: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    downloads = tmp_path / "downloads"
    files = (
        put(downloads, "core", "jar", b"core", "lib"),
        put(downloads, "talk", "jar", b"talk", "modules/talk"),
        put(downloads, "knn", "zip", zipped("knn.jar", "knn"), "plugins/knn"),
    )
    return Lock("2.19.1", (11, 23), (Module("talk", "org.example.TalkPlugin", ("listen",)),), files)


def silent(_step: str, _done: int, _whole: int) -> None:
    pass


def test_jars_and_unpacked_zips_lie_in_their_folders(lock: Lock, tmp_path: Path) -> None:
    folder = provide(lock, tmp_path, silent)
    assert (folder / "lib" / "core-1.0.jar").read_bytes() == b"core"
    assert (folder / "plugins" / "knn" / "knn.jar").read_bytes() == b"knn"


def test_a_module_gets_the_descriptor_that_its_jar_lacks(lock: Lock, tmp_path: Path) -> None:
    module = provide(lock, tmp_path, silent) / "modules" / "talk"
    descriptor = (module / "plugin-descriptor.properties").read_text(encoding="utf-8").splitlines()
    assert "classname=org.example.TalkPlugin" in descriptor
    assert "extended.plugins=listen" in descriptor
    assert "opensearch.version=2.19.1" in descriptor
    assert (module / "plugin-security.policy").is_file()


def test_every_user_may_read_the_result(lock: Lock, tmp_path: Path) -> None:
    folder = provide(lock, tmp_path, silent)
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o004


def test_what_was_assembled_once_is_used_again(lock: Lock, tmp_path: Path) -> None:
    folder = provide(lock, tmp_path, silent)
    for file in (tmp_path / "downloads").iterdir():
        file.unlink() if file.is_file() else file.rmdir()
    assert provide(lock, tmp_path, silent) == folder


def test_a_second_holder_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with exclusive(tmp_path / "lock"):
            order.append("second")

    with exclusive(tmp_path / "lock"):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(timeout=0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_a_place_that_cannot_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(LocalServerError, match=r"file: .*exists.*choose another place in `home`"),
        exclusive(tmp_path / "file" / "lock"),
    ):
        pass
