"""``ce2de metrics``: the exporter for Prometheus."""

from __future__ import annotations

import signal
from dataclasses import replace

import click

from ce2de_os.cli.options import connection_options
from ce2de_os.config import Settings

REQUEST_S = 8.0  # Prometheus' default timeout of a scrape is 10 seconds


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=9464, help="Port to listen on.")
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all.")
@connection_options
def command(port: int, host: str, settings: Settings) -> None:
    """Export the progress of all jobs to Prometheus, until Ctrl-C.

    Everything is read from the ledger at each scrape, so one exporter serves a cluster and all its workers.
    While OpenSearch does not answer, ce2de_up is 0. Jobs that ended more than a week ago are left out.

    \b
        ce2de metrics
        curl http://127.0.0.1:9464/metrics
    """
    from ce2de_os.errors import ConfigError, extra_needed
    from ce2de_os.index.client import address, connect

    with extra_needed("worker"):
        from prometheus_client import CollectorRegistry, start_http_server

        from ce2de_os.reindex.metrics import LedgerCollector
    opensearch = replace(settings.opensearch, timeout_s=min(settings.opensearch.timeout_s, REQUEST_S))
    registry = CollectorRegistry()
    registry.register(LedgerCollector(connect(opensearch)))
    for stop in (signal.SIGINT, signal.SIGTERM):  # a background job of a shell ignores SIGINT
        signal.signal(stop, signal.default_int_handler)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}:{port} ({error.strerror}); choose another --port or --host"
        ) from error
    click.echo(f"Jobs of {address(opensearch)} at http://{host}:{port}/metrics", err=True)
    try:
        thread.join()
    except KeyboardInterrupt:
        server.shutdown()
        server.server_close()
        click.echo("\nStopped.", err=True)
