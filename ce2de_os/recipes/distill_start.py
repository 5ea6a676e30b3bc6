"""Find the student that a distillation continues from: a finished run, or an artifact converted to one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ce2de_os.errors import ConfigError
from ce2de_os.reading import read_object
from ce2de_os.recipes.distill_request import PACKAGED

if TYPE_CHECKING:
    from ce2de_os.model.artifact import Artifact

START_FOLDER = "start"  # inside the run's folder


def start_folder(start: str, out: Path) -> Path:
    """Find the folder of the student to continue from; convert an artifact to ``out/start`` first.

    ``start`` is ``"packaged"``, the folder of an artifact, or that of a finished run.

    Raises:
        ConfigError: there is no such folder.
        ArtifactError: the artifact cannot be trained on, see `restore_student`.
    """
    from ce2de_os.model.artifact import Artifact
    from ce2de_os.model.manifest import MANIFEST_FILE

    folder = Path(start)
    if start != PACKAGED and not folder.is_dir():
        raise ConfigError(
            f"student.start: there is no folder '{start}'; expected a finished run, a model folder, or "
            f"{PACKAGED}"
        )
    if start != PACKAGED and not (folder / MANIFEST_FILE).exists():
        return folder
    artifact = Artifact.load(None if start == PACKAGED else folder)
    return _written(artifact, out / START_FOLDER)


def _fingerprint(recipe_file: Path) -> str:
    """Read which artifact a start was written from; ``"unknown"``: the file does not say."""
    artifact = read_object(recipe_file).get("artifact")
    return str(artifact.get("fingerprint", "unknown")) if isinstance(artifact, dict) else "unknown"


def _written(artifact: Artifact, folder: Path) -> Path:
    from ce2de_os.distill.models.folder import RECIPE_FILE, write_student
    from ce2de_os.export.restore import restore_student, restore_tokenizer

    recipe_file = folder / RECIPE_FILE
    if recipe_file.exists():
        there = _fingerprint(recipe_file)
        if there == artifact.fingerprint:
            return folder
        raise ConfigError(
            f"{folder}: this run started from another student ({there[:12]}, now "
            f"{artifact.fingerprint[:12]}); choose another folder for the run"
        )
    student = restore_student(artifact)
    built = {"init": "de", "readout": student.readout, "pooled": student.pooled}
    artifact_facts = {"name": artifact.name, "fingerprint": artifact.fingerprint}
    recipe = {**built, **artifact.recipe["distill"], **artifact.source, "artifact": artifact_facts}
    write_student(folder, student, restore_tokenizer(artifact), artifact.max_length, [], recipe)
    return folder
