"""The options that name the languages of an index, as one decorator."""

from __future__ import annotations

from functools import wraps
from typing import Any

import click

from ce2de_os.cli.options import Command


def language_options(command: Command) -> Command:
    """Add the language flags and pass one ``languages: LanguageSpec | None`` to the command."""

    @click.option(
        "--languages",
        "codes",
        metavar="CODE,...",
        help="Languages of the documents, such as en,it,de: BM25 searches each document with the analyzer of "
        "its language. The language is detected, and documents in none of them get the standard analyzer. "
        " [default: BM25 searches the text fields as they are]",
    )
    @click.option(
        "--language-field",
        metavar="NAME",
        help="Field with the language of a document: it, it-IT or ita. Where it is empty, the language "
        "is detected.",
    )
    @wraps(command)
    def wrapper(
        *args: Any,  # noqa: ANN401 - click passes every other option through
        codes: str | None,
        language_field: str | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        from ce2de_os.index.language_fields import language_spec

        return command(*args, languages=language_spec(codes, language_field), **kwargs)

    return wrapper
