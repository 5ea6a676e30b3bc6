"""Options that several commands share, as decorators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ce2de_os.config import AWS_SERVICES, Settings

Command = Callable[..., Any]

# The flags that are settings of the connection; the password has none, for every user sees the process list.
_CONNECTION = ("url", "username", "ca_certs", "client_cert", "client_key", "aws_region", "aws_service")


def connection_options(command: Command) -> Command:
    """Add the OpenSearch flags and pass one ``settings: Settings`` to the command."""

    @click.option(
        "--url", help="OpenSearch's address. (env: CE2DE_OPENSEARCH_URL; default http://127.0.0.1:9200)"
    )
    @click.option("--username", help="Basic-auth user. (env: CE2DE_OPENSEARCH_USERNAME)")
    @click.option("--ca-certs", help="File with the cluster's CA. (env: CE2DE_OPENSEARCH_CA_CERTS)")
    @click.option("--client-cert", help="File with a client certificate. (env: CE2DE_OPENSEARCH_CLIENT_CERT)")
    @click.option("--client-key", help="File with its key. (env: CE2DE_OPENSEARCH_CLIENT_KEY)")
    @click.option(
        "--aws-region", help="Sign requests for AWS in this region. (env: CE2DE_OPENSEARCH_AWS_REGION)"
    )
    @click.option(
        "--aws-service",
        type=click.Choice(AWS_SERVICES),
        help="What to sign them for. (env: CE2DE_OPENSEARCH_AWS_SERVICE; default es)",
    )
    @click.option(
        "--artifact",
        type=click.Path(path_type=Path),
        help="Model folder. (env: CE2DE_ARTIFACT; default: the student that comes with the package)",
    )
    @wraps(command)
    def wrapper(
        *args: Any,  # noqa: ANN401 - click passes every other option through
        artifact: Path | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        settings = Settings.from_env()
        flags = {name: kwargs.pop(name) for name in _CONNECTION}
        given = {name: value for name, value in flags.items() if value}
        opensearch = replace(settings.opensearch, **given)
        settings = replace(settings, opensearch=opensearch, artifact=artifact or settings.artifact)
        return command(*args, settings=settings, **kwargs)

    return wrapper


def broker_option(command: Command) -> Command:
    """Add ``--broker-url``; ``None`` means the value in the settings."""
    return click.option("--broker-url", help="Redis for the workers. (env: CE2DE_BROKER_URL)")(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
