"""The model of a worker; imports no client of OpenSearch, for a process that only checks the model."""

from __future__ import annotations

from functools import cache

from ce2de_os.config import Settings
from ce2de_os.model.encoder import OnnxEncoder


@cache
def encoder() -> OnnxEncoder:
    """Return this process's encoder; the first call loads it and checks the model on this CPU."""
    settings = Settings.from_env()
    return OnnxEncoder(settings.artifact, threads=settings.threads)


def encoder_fingerprint() -> str:
    """Return the fingerprint of this process's encoder; the first call loads and checks the encoder."""
    return encoder().fingerprint
