#!/usr/bin/env python3
"""Write a lock file of OpenSearch: resolve the Maven coordinates once, hash every file.

python scripts/lock_opensearch.py 3.6.0
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click
from jgo.maven import Dependency, MavenContext, PythonResolver

from ce2de_os.local import lockfile

# A module's folder name: (its artifact, the modules whose classes it extends).
_MODULES: dict[str, tuple[str, list[str]]] = {
    "lang-painless": ("lang-painless", []),
    "analysis-common": ("analysis-common", ["lang-painless"]),
    "ingest-common": ("ingest-common", ["lang-painless"]),
    "mapper-extras": ("mapper-extras-client", []),
    "reindex": ("reindex-client", []),
    "transport-netty4": ("transport-netty4-client", []),
    "lang-mustache": ("lang-mustache-client", []),
    "parent-join": ("parent-join-client", []),
    "aggs-matrix-stats": ("aggs-matrix-stats-client", []),
    "geo": ("geo", []),
}
_MODULES_3: dict[str, tuple[str, list[str]]] = {
    "search-pipeline-common": ("search-pipeline-common", []),
    "transport-grpc": ("transport-grpc", []),  # k-NN and neural-search extend it
}
_CORE = ["opensearch", "opensearch-plugin-classloader", "opensearch-cli"]
_PLUGINS = ["opensearch-job-scheduler", "opensearch-knn", "neural-search"]
_RECIPES: dict[str, dict[str, Any]] = {
    # log4j-core is an optional dependency of the core, so no resolver finds it.
    "3.6.0": {
        "java": [21, None],
        "core": [*_CORE, "opensearch-launchers", "opensearch-agent-bootstrap"],
        "log4j": "2.25.3",
        "modules": {**_MODULES, **_MODULES_3},
    },
    # Java 24 removed the security manager, which 2.x requires.
    "2.19.1": {
        "java": [11, 23],
        "core": _CORE,
        "log4j": "2.21.0",
        "modules": _MODULES,
        "security": "opensearch-security",
    },
}


class Resolution:
    """Resolves one version's files; ``files`` and ``modules`` grow in the lock file's own format."""

    def __init__(self, version: str, cache: Path) -> None:
        self.version = version
        self.context = MavenContext(resolver=PythonResolver(), repo_cache=cache)
        self.files: list[dict[str, Any]] = []
        self.modules: list[dict[str, Any]] = []
        self._in_lib: set[tuple[str, str]] = set()

    def add_core(self, core: list[str], log4j: str) -> None:
        """Add the core's runtime closure to ``lib``."""
        wanted = [self._jar("org.opensearch", name, self.version) for name in core]
        found = self._closure([*wanted, self._jar("org.apache.logging.log4j", "log4j-core", log4j)])
        self._in_lib = {(d.groupId, d.artifactId) for d in found}
        self._add(found, "lib")

    def add_module(self, name: str, artifact: str, extends: list[str]) -> None:
        """Add a module's closure without what ``lib`` has: a class in two places stops OpenSearch's start."""
        jar = self._jar("org.opensearch.plugin", artifact, self.version)
        closure = self._closure([jar])
        # Jars with a classifier hold native code for HTTP/3 on other systems, which nothing here uses.
        own = [d for d in closure if (d.groupId, d.artifactId) not in self._in_lib and not d.classifier]
        self._add(own, f"modules/{name}")
        self.modules.append(
            {"name": name, "classname": _plugin_class(jar.artifact.resolve()), "extends": extends}
        )

    def add_plugin(self, name: str) -> None:
        """Add a plugin's zip, which includes its dependencies."""
        self.files.append(self.plugin(name))

    def plugin(self, name: str) -> dict[str, Any]:
        """Return the description of a plugin's zip."""
        project = self.context.project("org.opensearch.plugin", name)
        zipped = project.at_version(f"{self.version}.0").artifact(packaging="zip")
        return _describe(Dependency(zipped), f"plugins/{name}")

    def _jar(self, group: str, artifact: str, version: str) -> Dependency:
        project = self.context.project(group, artifact)
        # Raw: log4j's parent manages versions of Jackson too, older ones than the core was built with.
        return Dependency(project.at_version(version).artifact(packaging="jar"), raw=True)

    def _closure(self, wanted: list[Dependency]) -> list[Dependency]:
        inputs, transitive = self.context.resolver.resolve(wanted)
        return [*inputs, *transitive]

    def _add(self, dependencies: list[Dependency], folder: str) -> None:
        self.files.extend(_describe(dependency, folder) for dependency in dependencies)


def _describe(dependency: Dependency, folder: str) -> dict[str, Any]:
    content = dependency.artifact.resolve().read_bytes()
    return {
        "coordinates": f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}",
        "packaging": dependency.type,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "folder": folder,
    }


def _plugin_class(jar: Path) -> str:
    """Find the module's entry: the only class in the jar whose name ends in ``Plugin``."""
    with zipfile.ZipFile(jar) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("Plugin.class")]
    return name.removesuffix(".class").replace("/", ".")


def resolve(version: str) -> dict[str, Any]:
    """Resolve ``version``; downloads some 60 MB and takes a minute."""
    recipe = _RECIPES[version]
    with tempfile.TemporaryDirectory() as cache:
        resolution = Resolution(version, Path(cache))
        resolution.add_core(recipe["core"], recipe["log4j"])
        for name, (artifact, extends) in recipe["modules"].items():
            resolution.add_module(name, artifact, extends)
        for name in _PLUGINS:
            resolution.add_plugin(name)
        security = {"security": resolution.plugin(recipe["security"])} if "security" in recipe else {}
    # Which jars of ml-commons remote models need was found by hand: those that a node loaded classes from.
    present = json.loads(lockfile.path(version).read_text(encoding="utf-8"))
    ml = {"ml": present["ml"]} if "ml" in present else {}
    files = sorted(resolution.files, key=lambda file: (file["folder"], file["coordinates"]))
    return {
        "version": version,
        "java": recipe["java"],
        "modules": resolution.modules,
        "files": files,
        **security,
        **ml,
    }


@click.command()
@click.argument("version", type=click.Choice(list(_RECIPES)))
def main(version: str) -> None:
    """Write the lock file of an OpenSearch VERSION into `ce2de_os/local`."""
    target = lockfile.path(version)
    target.write_text(json.dumps(resolve(version), indent=1) + "\n", encoding="utf-8")
    click.echo(target, err=True)


if __name__ == "__main__":
    main()
