"""The committed lock files: complete, consistent, and without any address."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from ce2de_os.errors import LocalServerError
from ce2de_os.local import lockfile
from ce2de_os.local.lockfile import Lock


@pytest.fixture(params=lockfile.VERSIONS)
def lock(request: pytest.FixtureRequest) -> Lock:
    return lockfile.read(request.param)


def test_the_lock_is_of_its_version(lock: Lock) -> None:
    assert lockfile.path(lock.version).name == f"opensearch-{lock.version}.lock.json"


def test_everything_is_there_to_search_with_vectors_and_text(lock: Lock) -> None:
    folders = {file.folder for file in lock.files}
    assert {
        "lib",
        "plugins/opensearch-knn",
        "plugins/neural-search",
        "plugins/opensearch-job-scheduler",
    } <= folders
    assert {f"modules/{module.name}" for module in lock.modules} == {
        folder for folder in folders if folder.startswith("modules/")
    }
    assert {"lang-painless", "analysis-common", "reindex", "transport-netty4"} <= {
        m.name for m in lock.modules
    }


def test_log4j_core_is_there_although_no_resolver_finds_it(lock: Lock) -> None:
    assert any(file.coordinates.startswith("org.apache.logging.log4j:log4j-core:") for file in lock.files)


def test_modules_extend_modules_that_exist(lock: Lock) -> None:
    names = {module.name for module in lock.modules}
    assert all(set(module.extends) <= names for module in lock.modules)


def test_every_file_has_a_checksum_a_size_and_an_exact_version(lock: Lock) -> None:
    for file in lock.files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.size_bytes > 0
        assert re.fullmatch(r"[\w.-]+:[\w.-]+:\d[\w.-]*", file.coordinates)
        assert file.packaging in ("jar", "zip")


def test_the_core_has_no_artifact_twice_and_no_module_repeats_it(lock: Lock) -> None:
    """The same class in two places stops OpenSearch's start."""
    artifacts = [(file.folder, file.coordinates.rpartition(":")[0]) for file in lock.files]
    assert max(Counter(artifacts).values()) == 1
    core = {artifact for folder, artifact in artifacts if folder == "lib"}
    assert not [pair for pair in artifacts if pair[0] != "lib" and pair[1] in core]


def test_equal_names_mean_equal_files(lock: Lock) -> None:
    sums: dict[str, str] = {}
    for file in lock.files:
        assert sums.setdefault(file.name, file.sha256) == file.sha256


def test_no_host_and_no_address_stands_in_it(lock: Lock) -> None:
    text = lockfile.path(lock.version).read_text(encoding="utf-8")
    assert "://" not in text
    assert "maven" not in text.lower()


def test_any_changed_file_changes_the_fingerprint(lock: Lock) -> None:
    first = replace(lock.files[0], sha256="0" * 64)
    assert replace(lock, files=(first, *lock.files[1:])).fingerprint != lock.fingerprint


def test_the_security_plugin_comes_only_when_asked_for() -> None:
    plain = lockfile.read("2.19.1")
    assert plain.security is not None
    assert plain.security.folder == "plugins/opensearch-security"
    assert plain.security not in plain.files


def test_ml_commons_comes_only_when_asked_for() -> None:
    plain = lockfile.read("3.6.0")
    with_ml = plain.with_ml()
    added = [file for file in with_ml.files if file not in plain.files]
    assert {file.folder for file in added} == {"lib", "plugins/opensearch-ml"}
    assert sum(file.size_bytes for file in added) < 60_000_000  # the whole zip has 390 MB
    assert len({file.name for file in with_ml.files}) == len(
        {(f.coordinates, f.member) for f in with_ml.files}
    )
    assert with_ml.fingerprint != plain.fingerprint


def test_a_version_without_ml_commons_says_so() -> None:
    with pytest.raises(LocalServerError, match=r"2\.19\.1: ml-commons is not available"):
        lockfile.read("2.19.1").with_ml()
