"""Every error that this package raises on purpose.

::

    Ce2deError                      the CLI prints one line and exits with 1
    ├── ConfigError                 a setting is missing or wrong
    ├── DataError                   a file or a record cannot be used
    ├── MissingExtraError           an optional dependency is not installed
    ├── LocalServerError            a local OpenSearch or Redis cannot be provided
    ├── ArtifactError               a model folder cannot be used
    │   ├── ArtifactNotFoundError
    │   ├── ArtifactMismatchError   index, task and model disagree about the fingerprint
    │   └── ParityError             this machine computes other vectors than the exporter did
    ├── BrokerUnavailableError      Redis does not answer
    ├── JobError                    a reindex job is not in the state that the command needs
    │   └── IdentityError           an index is not the one that the job knows
    └── BackendError                raised only inside ``ce2de_os.index.client``
        ├── BackendUnavailableError retryable: connection, timeout, 503
        │   └── BackendBusyError    retryable, more slowly: 429, or read-only
        ├── IndexSchemaError        a mapping or dimension conflict: an operator must act
        │   └── RequestError        what the request asks for is wrong: its author must act
        ├── RequestTooLargeError    413: the request has more bytes than the cluster, or a proxy, accepts
        └── BulkWriteError          a whole bulk request was rejected
            └── GuardGoneError      the job may not write to its target any more

Every class is built from one string, because Celery pickles errors and drops other arguments; its docstring
is the default message. Whether to retry is decided by type.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import unquote, urlsplit


class Ce2deError(Exception):
    """Something went wrong in ce2de-os."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def parts(self) -> tuple[str, str]:
        """What happened, and what to do; ``""`` if the message does not say it."""
        finding, _, action = str(self).partition("; ")
        return finding, action


class ConfigError(Ce2deError):
    """A setting is missing or wrong."""


class DataError(Ce2deError):
    """A file or a record cannot be used."""


class MissingExtraError(Ce2deError):
    """An optional dependency is not installed."""

    @classmethod
    def for_extra(cls, extra: str, module: str | None) -> MissingExtraError:
        """Create the error for ``module`` (``None``: unknown) with the command that installs its extra."""
        return cls(f"{module or 'a library'} is not installed; run: {install_command(extra)}")


class LocalServerError(Ce2deError):
    """A local OpenSearch or Redis cannot be provided."""


class ArtifactError(Ce2deError):
    """The model folder cannot be used."""


class ArtifactNotFoundError(ArtifactError):
    """The model folder does not exist."""


class ArtifactMismatchError(ArtifactError):
    """Index, task and model disagree about the model's fingerprint."""


class ParityError(ArtifactError):
    """This machine computes other vectors than the ones stored with the model."""


class BrokerUnavailableError(Ce2deError):
    """The broker does not answer; check CE2DE_BROKER_URL or run: ce2de local up."""


class JobError(Ce2deError):
    """The reindex job is not in the state that the command needs."""


class IdentityError(JobError):
    """An index is not the one that the job knows."""


class BackendError(Ce2deError):
    """OpenSearch rejected a request."""


class BackendUnavailableError(BackendError):
    """OpenSearch does not answer; retry later."""


class BackendBusyError(BackendUnavailableError):
    """OpenSearch is too busy or read-only; retry later, and more slowly."""


class IndexSchemaError(BackendError):
    """The index does not fit the request; an operator must act."""


class RequestError(IndexSchemaError):
    """OpenSearch does not understand the request, or it names a field that the index does not have."""


class RequestTooLargeError(BackendError):
    """The request has more bytes than the cluster, or a proxy before it, accepts."""


class BulkWriteError(BackendError):
    """OpenSearch rejected a bulk request as a whole."""


class GuardGoneError(BulkWriteError):
    """The job may not write to its target any more."""


@contextmanager
def extra_needed(extra: str) -> Iterator[None]:
    """Raise `MissingExtraError`, which names ``extra``, where the block imports a library that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(extra, error.name) from error


def install_command(extra: str) -> str:
    """Return the command that adds ``extra`` to this installation, made from a wheel or a checkout."""
    try:
        text = distribution("ce2de-os").read_text("direct_url.json")
    except PackageNotFoundError:
        text = None
    origin = json.loads(text) if text else {}
    url = origin.get("url", "")
    if origin.get("dir_info", {}).get("editable"):
        return f"pip install --editable '{unquote(urlsplit(url).path)}[{extra}]'"
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    return f"pip install 'ce2de-os[{extra}] @ {url}'" if url else f"pip install 'ce2de-os[{extra}]'"
