"""Let OpenSearch itself embed documents and questions with a service, and take that back."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from ce2de_os.config import Settings
from ce2de_os.connect.request import ConnectRequest

if TYPE_CHECKING:
    from ce2de_os.connect.check import ConnectionFinding
    from ce2de_os.connect.steps import Step

__all__ = ["ConnectRequest", "check_connection", "connect", "disconnect"]


def connect(
    request: ConnectRequest, *, settings: Settings | None = None, dry_run: bool = False
) -> list[Step]:
    """Connect an alias to a service; what is there already stays as it is.

    The indices change only after the model's canaries came back right through OpenSearch.

    Args:
        request: the alias, the service and its key.
        settings: connection and model; ``None``: from the environment.
        dry_run: whether to change nothing.

    Returns:
        The steps that were, or would be, carried out; empty: everything was there.

    Raises:
        ConfigError: the cluster lacks something, the service cannot be reached, or it refuses; names what to
            change.
        ArtifactMismatchError: index, service and settings do not have one model.
        BackendError: OpenSearch does not answer or refuses.
    """
    from ce2de_os.connect.apply import apply
    from ce2de_os.connect.plan import plan
    from ce2de_os.index.client import connect as connect_client
    from ce2de_os.model.artifact import Artifact

    settings = settings or Settings.from_env()
    artifact = Artifact.load(settings.artifact)
    with closing(connect_client(settings.opensearch)) as client:
        planned = plan(client, request, artifact)
        if not dry_run:
            apply(client, request, planned, artifact)
        return list(planned.steps)


def disconnect(name: str, *, settings: Settings | None = None, dry_run: bool = False) -> list[Step]:
    """Take a connection back: the indices have what they had before.

    Args:
        name: the alias, or the index, that was connected.
        settings: connection; ``None``: from the environment.
        dry_run: whether to change nothing.

    Returns:
        The steps that were, or would be, carried out.

    Raises:
        ConfigError: the name is not connected, or this user lacks a right.
        BackendError: OpenSearch does not answer or refuses.
    """
    from ce2de_os.connect.steps import run
    from ce2de_os.connect.undo import undo
    from ce2de_os.index.client import connect as connect_client

    settings = settings or Settings.from_env()
    with closing(connect_client(settings.opensearch)) as client:
        steps = undo(client, name)
        if not dry_run:
            run(client, steps)
        return steps


def check_connection(name: str, *, settings: Settings | None = None) -> list[ConnectionFinding]:
    """Look whether index, connectors, service and this machine have one model, down to the vectors.

    Args:
        name: the alias, or the index, that was connected.
        settings: connection and model; ``None``: from the environment.

    Raises:
        ConfigError: the name is not connected.
        BackendError: OpenSearch does not answer or refuses.
    """
    from ce2de_os.connect.check import check
    from ce2de_os.index.client import connect as connect_client
    from ce2de_os.model.artifact import Artifact

    settings = settings or Settings.from_env()
    artifact = Artifact.load(settings.artifact)
    with closing(connect_client(settings.opensearch)) as client:
        return check(client, name, artifact)
