"""A worker that dies of a word, as one may of a text that exhausts the memory."""

import os
import signal
from collections.abc import Sequence

from ce2de_os.arrays import Embeddings
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.worker.app import app as app

DEADLY = "nightshade"

_encode = OnnxEncoder.encode_documents


def _encode_or_die(encoder: OnnxEncoder, texts: Sequence[str]) -> Embeddings:
    if any(DEADLY in text for text in texts):
        os.kill(os.getpid(), signal.SIGKILL)
    return _encode(encoder, texts)


OnnxEncoder.encode_documents = _encode_or_die  # type: ignore[method-assign]
