"""``ce2de serve``: the model over HTTP."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ce2de_os.cli.options import encoding_options
from ce2de_os.config import Settings

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, help="Port to listen on; 0: any.")
@click.option("--processes", type=click.IntRange(1), default=1, help="Each loads the model.")
@click.option("--index", metavar="NAME", help="Index or alias for /search.  [default: no /search]")
@click.option(
    "--reranker",
    type=click.Path(path_type=Path, file_okay=False),
    help="Cross-encoder for /v1/rerank.  [default: the model itself scores]",
)
@click.option("--keys", type=_FILE, help="File with bearer keys, one a line, mode 600; read again on change.")
@click.option("--tls-cert", type=_FILE, help="File with the certificate (PEM); read again on change.")
@click.option("--tls-key", type=_FILE, help="File with the certificate's key.  [default: the same file]")
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="Host name of this service; can be repeated."
)
@click.option("--max-body", type=click.IntRange(1), default=8, help="Largest request, in MiB.")
@click.option("--max-texts", type=click.IntRange(1), default=2048, help="Most texts in one request.")
@click.option(
    "--queue-texts",
    type=click.IntRange(1),
    default=4096,
    help="Texts that may wait in a queue; more get 429.",
)
@click.option(
    "--requests-per-minute",
    type=click.IntRange(1),
    metavar="N",
    help="Requests that one key may send to each process; more get 429.  [default: no limit]",
)
@click.option(
    "--request-timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    default=30.0,
    help="Longest time for one request.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    default=20.0,
    help="Time to finish answers after SIGTERM.",
)
@click.option("--model", "folder", type=click.Path(path_type=Path), hidden=True, help="As --artifact.")
@encoding_options
def command(
    host: str,
    port: int,
    processes: int,
    index: str | None,
    reranker: Path | None,
    keys: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    allow_host: tuple[str, ...],
    max_body: int,
    max_texts: int,
    queue_texts: int,
    requests_per_minute: int | None,
    request_timeout: float,
    grace: float,
    folder: Path | None,
    settings: Settings,
) -> None:
    """Serve the model over HTTP as OpenAI's embeddings and Cohere's rerank, until Ctrl-C.

    By default only this machine can reach it. For others add --host, --keys, and --allow-host with the name
    by which they call it. The connection to OpenSearch is used with --index only.

    \b
        ce2de serve
        ce2de serve --index articles-search --reranker reranker/ --processes 4
        ce2de serve --host 0.0.0.0 --keys keys.txt --tls-cert tls.pem --allow-host embed.example.org
        curl http://127.0.0.1:8080/v1/models
    """
    from ce2de_os.recipes.serve import ServeRequest, serve
    from ce2de_os.server.request import MEBIBYTE

    request = ServeRequest(
        host=host,
        port=port,
        processes=processes,
        index=index,
        reranker=reranker,
        keys=keys,
        tls_cert=tls_cert,
        tls_key=tls_key,
        allow_hosts=allow_host,
        max_body_bytes=max_body * MEBIBYTE,
        max_texts=max_texts,
        queue_texts=queue_texts,
        requests_per_minute=requests_per_minute,
        timeout_s=request_timeout,
        grace_s=grace,
    )
    settings = replace(settings, artifact=folder or settings.artifact)
    serve(request, settings=settings, listening=_say)
    click.echo("Stopped.", err=True)


def _say(url: str) -> None:
    click.echo(f"Listening on {url} (description: {url}/docs)", err=True)
