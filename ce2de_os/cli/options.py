"""Options that several commands share, as decorators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ce2de_os.config import Settings

Command = Callable[..., Any]


def connection_options(command: Command) -> Command:
    """Add the OpenSearch flags and pass one ``settings: Settings`` to the command."""

    @click.option(
        "--url", help="OpenSearch's address. (env: CE2DE_OPENSEARCH_URL; default http://127.0.0.1:9200)"
    )
    @click.option("--username", help="Basic-auth user. (env: CE2DE_OPENSEARCH_USERNAME)")
    @click.option("--ca-certs", help="File with the cluster's CA. (env: CE2DE_OPENSEARCH_CA_CERTS)")
    @click.option(
        "--artifact",
        type=click.Path(path_type=Path),
        help="Model folder. (env: CE2DE_ARTIFACT; default: the student that comes with the package)",
    )
    @wraps(command)
    def wrapper(
        *args: Any,  # noqa: ANN401 - click passes every other option through
        url: str | None,
        username: str | None,
        ca_certs: str | None,
        artifact: Path | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        settings = Settings.from_env()
        known = settings.opensearch
        opensearch = replace(
            known,
            url=url or known.url,
            username=username or known.username,
            ca_certs=ca_certs or known.ca_certs,
        )
        settings = replace(settings, opensearch=opensearch, artifact=artifact or settings.artifact)
        return command(*args, settings=settings, **kwargs)

    return wrapper


def broker_option(command: Command) -> Command:
    """Add ``--broker-url``; ``None`` means the value in the settings."""
    return click.option("--broker-url", help="Redis for the workers. (env: CE2DE_BROKER_URL)")(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
