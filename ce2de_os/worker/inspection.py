"""Answer ``ce2de doctor`` with the model of this worker."""

from __future__ import annotations

from typing import Any

from celery.worker.control import inspect_command

from ce2de_os.config import Settings
from ce2de_os.model.artifact import Artifact


@inspect_command()
def ce2de_model(_state: Any) -> dict[str, str]:  # noqa: ANN401 - Celery's state of the worker
    """Load the artifact, and return the name and fingerprint of this worker's model."""
    artifact = Artifact.load(Settings.from_env().artifact)
    return {"name": artifact.name, "fingerprint": artifact.fingerprint}
