"""Which license training texts have: read from the list in their folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ce2de_os.errors import DataError
from ce2de_os.reading import SETTINGS_BYTES, read_object

SOURCES_FILE = "SOURCES.json"
_KINDS = ("pairs.", "short.")


def licenses(paths: Sequence[Path], names: Collection[str]) -> dict[str, dict[str, str]]:
    """Return what the lists in the folders of ``paths`` say of the sources ``names``.

    Such a list is an object ``{source: {"license": …, "attribution": …, …}}`` named ``SOURCES.json``, as
    ``scripts/collect_texts.py`` writes it. Files without a list, and sources that are on none, are left out.

    Raises:
        DataError: a list cannot be read, or is not like that.
    """
    found: dict[str, dict[str, str]] = {}
    wanted = {_plain_name(name) for name in names}
    for folder in sorted({path.parent for path in paths}):
        if (folder / SOURCES_FILE).exists():
            known = read_sources(folder / SOURCES_FILE)
            found |= {name: known[name] for name in wanted & known.keys()}
    return dict(sorted(found.items()))


def read_sources(path: Path) -> dict[str, dict[str, str]]:
    """Read a list of sources; raises like `licenses`."""
    found = read_object(path, SETTINGS_BYTES)
    for name, source in found.items():
        match source:
            case {"license": str(), "attribution": str()}:
                pass
            case _:
                raise DataError(
                    f"{path}: {name}: expected an object with license and attribution, both texts"
                )
    return found


def _plain_name(name: str) -> str:
    """Return the source's name: pairs and titles of a source have it behind a prefix."""
    for kind in _KINDS:
        name = name.removeprefix(kind)
    return name
