"""A worker whose encoder rests three times as long as it works, so that it takes a quarter of a core.

For ``benchmarks.reindex_speed --rest``: on a machine whose few cores OpenSearch shares, two such workers show
how far a second worker helps where the encoders have cores of their own.
"""

import time
from collections.abc import Sequence

from ce2de_os.arrays import Embeddings
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.worker.app import app as app

REST = 3.0

_encode = OnnxEncoder.encode_documents


def _encode_and_rest(encoder: OnnxEncoder, texts: Sequence[str]) -> Embeddings:
    started = time.process_time()
    embeddings = _encode(encoder, texts)
    time.sleep(REST * (time.process_time() - started))
    return embeddings


OnnxEncoder.encode_documents = _encode_and_rest  # type: ignore[method-assign]
