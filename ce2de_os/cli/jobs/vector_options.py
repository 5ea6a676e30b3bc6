"""The options that shape the vector field, as one decorator."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

from ce2de_os.cli.options import Command

if TYPE_CHECKING:
    from ce2de_os.index.vector_field import VectorField

FieldFactory = Callable[..., "VectorField"]
"""Takes ``dim``, and ``name`` or ``passages`` where they differ from the default."""

_NAMES = (
    "engine", "space_type", "m", "ef_construction", "vector_mode", "compression_level", "data_type",
    "encoder",
)  # fmt: skip


def vector_options(command: Command) -> Command:
    """Add the vector field's flags and pass one ``vector_field`` factory to the command.

    The factory raises ConfigError for a combination that OpenSearch rejects. The numbers in the help are the
    published formula 1.1 * (bytes of the vector + 8 * m), here for 384 dimensions and m = 16.
    """

    @click.option(
        "--engine",
        type=click.Choice(["lucene", "faiss"]),
        default="lucene",
        help="k-NN engine. lucene runs everywhere; faiss needs its native library on every data node, loads "
        "whole graphs into memory outside the heap, and compresses further.",
    )
    @click.option(
        "--space-type",
        type=click.Choice(["innerproduct", "cosinesimil", "l2"]),
        default="innerproduct",
        help="How vectors are compared. Our vectors have length 1, so all three rank alike.",
    )
    @click.option(
        "--m",
        type=click.IntRange(1, 512),
        default=16,
        help="Links of each vector in the graph. 32 instead of 16 finds a little more and takes 141 bytes "
        "more per vector.",
    )
    @click.option(
        "--ef-construction",
        type=click.IntRange(1, 3200),
        default=100,
        help="Candidates looked at for each link. More: a better graph, slower indexing, no more memory.",
    )
    @click.option(
        "--vector-mode",
        type=click.Choice(["in_memory", "on_disk"]),
        help="on_disk keeps small vectors in memory and looks the best up in full on the disk: little "
        "memory, slower queries.  [default: in_memory]",
    )
    @click.option(
        "--compression-level",
        type=click.Choice(["1x", "2x", "4x", "8x", "16x", "32x"]),
        help="Memory per vector of 384 dimensions: 1x 1830 bytes, 2x 986 (faiss), 4x 563 (lucene), 8x 352 "
        "and 16x 246 (faiss), 32x 194 (faiss, or lucene from 3.6). Above 4x use --vector-mode on_disk, "
        "which repairs the order with the full vectors.  [default: 1x, on_disk: 32x, lucene before 3.6: 4x]",
    )
    @click.option(
        "--data-type",
        type=click.Choice(["float", "byte"]),
        default="float",
        help="float: 1830 bytes per vector of 384 dimensions. byte: 563 bytes, a quarter of the disk, and a "
        "cosine of about 0.999 with the original; not together with a compression.",
    )
    @click.option(
        "--encoder",
        type=click.Choice(["fp16"]),
        help="fp16, with faiss: 986 bytes per vector of 384 dimensions, nearly the same ranking; the same as "
        "--compression-level 2x.",
    )
    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click passes every other option through
        chosen = {name.removeprefix("vector_"): kwargs.pop(name) for name in _NAMES}
        return command(*args, vector_field=partial(_vector_field, **chosen), **kwargs)

    return wrapper


def _vector_field(dim: int, **values: Any) -> VectorField:  # noqa: ANN401 - the fields of VectorField
    from ce2de_os.index.vector_field import VectorField

    field = VectorField(dim, **values)
    field.validate()
    return field
