"""``ce2de ui``: the page in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from ce2de_os.cli.options import encoding_options
from ce2de_os.config import Settings

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("index", required=False)
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8090, help="Port to listen on; 0: any.")
@click.option("--reranker", type=_FOLDER, help="Cross-encoder for columns that re-rank.  [default: none]")
@click.option(
    "--also", "models", type=_FOLDER, multiple=True, help="One more model to compare with; can be repeated."
)
@click.option("--judgments", type=_FILE, help="File for the judgments.  [default: the index ce2de-judgments]")
@click.option("--read-only", is_flag=True, help="Change nothing: no judgments, no jobs.")
@click.option("--keys", type=_FILE, help="File with tokens, one a line, mode 600.  [default: one new token]")
@click.option("--tls-cert", type=_FILE, help="File with the certificate (PEM).")
@click.option("--tls-key", type=_FILE, help="File with the certificate's key.  [default: the same file]")
@click.option("--allow-host", multiple=True, metavar="NAME", help="Host name of this page; can be repeated.")
@encoding_options
def command(
    index: str | None,
    host: str,
    port: int,
    reranker: Path | None,
    models: tuple[Path, ...],
    judgments: Path | None,
    read_only: bool,
    keys: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    allow_host: tuple[str, ...],
    settings: Settings,
) -> None:
    """Open a page in a browser to compare the rankings of INDEX, until Ctrl-C.

    By default only this machine can reach it. The printed address holds a token, which the browser keeps.
    With another --host every page needs the token.

    \b
        ce2de ui articles-search
        ce2de ui articles-search --reranker reranker/ --also models/other
        ce2de ui articles-search --host 0.0.0.0 --tls-cert tls.pem --allow-host search.example.org
    """
    from ce2de_os.recipes.ui import UiRequest, ui

    request = UiRequest(
        host=host,
        port=port,
        index=index,
        reranker=reranker,
        models=models,
        judgments=judgments,
        keys=keys,
        tls_cert=tls_cert,
        tls_key=tls_key,
        allow_hosts=allow_host,
        read_only=read_only,
    )
    ui(request, settings=settings, listening=_say)
    click.echo("Stopped.", err=True)


def _say(url: str) -> None:
    click.echo(f"Open {url}", err=True)
