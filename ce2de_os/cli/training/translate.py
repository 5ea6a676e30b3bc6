"""``ce2de translate``: documents or queries in another language, under the same ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ce2de_os.cli.options import connection_options, json_option
from ce2de_os.errors import DataError, extra_needed

if TYPE_CHECKING:
    from ce2de_os.config import Settings
    from ce2de_os.distill.training.console import ConsoleProgress
    from ce2de_os.translate.base import Translator
    from ce2de_os.translate.documents import Originals, Progress, TranslateReport
    from ce2de_os.translate.imported import ImportReport

PATH = click.Path(path_type=Path)
TRANSFORMERS, CTRANSLATE2, APERTIUM = "transformers", "ctranslate2", "apertium"


@dataclass(frozen=True)
class TranslateOptions:
    """What was asked for, checked for contradictions."""

    settings: Settings
    corpus: Path | None
    index: str | None
    text_fields: str
    queries: Path | None
    out: Path
    backend: str
    model: str | None
    source: str | None
    target: str | None
    imported: Path | None
    missing: str
    cache: Path | None
    beams: int

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.corpus, self.index, self.queries)) != 1:
            raise click.UsageError("give one of --corpus FILE, --index NAME and --queries FILE")
        if self.imported is not None:
            if self.model is not None:
                raise click.UsageError("give either --model or --import")
            return
        if self.source is None or self.target is None:
            raise click.UsageError("name the languages, such as --from en --to it; or give --import FILE")
        if (self.model is None) != (self.backend == APERTIUM):
            raise click.UsageError(f"give --model ID_OR_FOLDER, except with --backend {APERTIUM}")

    @property
    def fields(self) -> list[str]:
        """The names of the index's fields."""
        return [field.strip() for field in self.text_fields.split(",") if field.strip()]


@click.command("translate")
@click.option("--corpus", type=PATH, help="Documents: a corpus.jsonl (_id, title, text), .gz or not.")
@click.option("--index", help="Instead of --corpus: an index or an alias of your cluster.")
@click.option(
    "--text-fields", default="title,text",
    help="With --index: fields of the documents; the first of several becomes the title.",
)  # fmt: skip
@click.option("--queries", type=PATH, help="Instead of --corpus: queries, .txt, .tsv or .jsonl, .gz or not.")
@click.option("--out", type=PATH, required=True, help="File to write: .jsonl or .jsonl.gz.")
@click.option(
    "--backend", type=click.Choice([TRANSFORMERS, CTRANSLATE2, APERTIUM]), default=TRANSFORMERS,
    help="What runs the model; apertium has rules instead of one.",
)  # fmt: skip
@click.option(
    "--model",
    help="Marian, NLLB or M2M100 model: hub id or folder; for ctranslate2 a folder with a converted one.",
)
@click.option("--from", "source", metavar="CODE", help="Language of the originals, such as en.")
@click.option("--to", "target", metavar="CODE", help="Language to translate into, such as it or zho_Hant.")
@click.option(
    "--beams", type=click.IntRange(min=1), default=1,
    help="Width of the beam search: a larger one is slower and often better.",
)  # fmt: skip
@click.option(
    "--import", "imported", type=PATH, metavar="FILE",
    help="Translations from another tool, instead of a model: id<TAB>text, or JSON lines with _id and "
         "text, title or both.",
)  # fmt: skip
@click.option(
    "--missing", type=click.Choice(["refuse", "skip"]), default="refuse",
    help="With --import: what to do if documents have no translation; skip leaves them out.",
)  # fmt: skip
@click.option(
    "--cache", type=click.Path(path_type=Path, file_okay=False),
    help="Cache folder for translations, shared by runs.  [default: 'translations' in the folder of OUT]",
)  # fmt: skip
@connection_options
@json_option
def command(as_json: bool, **options: object) -> None:
    """Translate documents or queries; ids stay, so that a teacher's scores of the originals fit.

    A student for a language that your cross-encoder cannot read learns from translated documents what the
    cross-encoder scored for the originals (Translate-Distill). Titles and texts are translated separately,
    sentence by sentence; the file has the layout of a corpus.jsonl, or of a queries.jsonl.

    \b
    A model of the hub:  ce2de translate --corpus corpus.jsonl --model Helsinki-NLP/opus-mt-en-it \\
                           --from en --to it --out corpus.it.jsonl.gz
    Your cluster:        ce2de translate --index articles --text-fields title,body \\
                           --model facebook/nllb-200-distilled-600M --from en --to fa --out corpus.fa.jsonl.gz
    Queries:             ce2de translate --queries queries.tsv --model … --from en --to it \\
                           --out queries.it.jsonl
    By rules, no model:  ce2de translate --corpus corpus.jsonl --backend apertium --from en --to es \\
                           --out corpus.es.jsonl.gz
    Made elsewhere:      ce2de translate --corpus corpus.jsonl --import msmarco.fas.tsv.gz \\
                           --out corpus.fa.jsonl.gz

    Ctrl-C or a crash loses at most about a minute: the same command resumes, and gives the same file. A
    sentence that is in the cache is not translated again, so a larger corpus costs only its new sentences.
    """
    asked = TranslateOptions(**options)  # type: ignore[arg-type]
    with extra_needed("translate"):
        from ce2de_os.distill.training.console import ConsoleProgress
        from ce2de_os.translate.documents import survey
    with ConsoleProgress() as console:
        originals = _originals(asked, console)
        console.phase("survey", 0, 1)
        there = survey(originals)  # fail on a file that cannot be read before a model is downloaded
        console.phase("survey", 1, 1)
        translator = _translator(asked) if asked.imported is None else None

        def progress(documents: int, characters: int) -> None:
            note = f"{documents:,} of {there.documents:,}"
            console.show("translate", characters / max(there.characters, 1), note)

        progress(0, 0)
        report = _run(asked, originals, translator, progress)
    if asked.index is not None:
        _snapshot(asked).unlink(missing_ok=True)
    _print(asked.out, report, as_json)


def _run(
    asked: TranslateOptions, originals: Originals, translator: Translator | None, progress: Progress
) -> TranslateReport | ImportReport:
    if translator is None:
        from ce2de_os.translate.imported import import_translations

        file = Path(str(asked.imported))
        return import_translations(originals, file, asked.out, asked.missing == "skip", progress)
    from ce2de_os.translate.documents import translate

    return translate(
        originals, translator, asked.out, asked.cache or asked.out.parent / "translations", progress
    )


def _translator(asked: TranslateOptions) -> Translator:
    source, target, model = str(asked.source), str(asked.target), str(asked.model)
    if asked.backend == APERTIUM:
        from ce2de_os.translate.apertium import find_apertium

        return find_apertium(source, target)
    if asked.backend == CTRANSLATE2:
        from ce2de_os.translate.ctranslate2_model import load_ctranslate2

        return load_ctranslate2(model, source, target, asked.beams)
    from ce2de_os.translate.seq2seq import load_seq2seq

    return load_seq2seq(model, source, target, asked.beams)


def _originals(asked: TranslateOptions, console: ConsoleProgress) -> Originals:
    from ce2de_os.translate.documents import corpus_originals, query_originals

    if asked.queries is not None:
        return query_originals(asked.queries)
    if asked.corpus is not None:
        return corpus_originals(asked.corpus)
    path = _snapshot(asked)
    if not path.is_file():
        _write_snapshot(asked, path, console)
    return corpus_originals(path, _place(asked))


def _place(asked: TranslateOptions) -> str:
    from ce2de_os.index.client import address

    return f"{address(asked.settings.opensearch)} {asked.index} {','.join(asked.fields)}"


def _snapshot(asked: TranslateOptions) -> Path:
    """Where the index's documents are kept until all are translated: it gives them in no fixed order."""
    name = hashlib.sha256(_place(asked).encode()).hexdigest()[:12]
    return asked.out.with_name(f"{asked.out.name}.originals-{name}.jsonl.gz")


def _write_snapshot(asked: TranslateOptions, path: Path, console: ConsoleProgress) -> None:
    from ce2de_os.index.client import connect
    from ce2de_os.index.documents import document_text, stream_sources
    from ce2de_os.translate.documents import write_rows

    titles, texts = (asked.fields[:1], asked.fields[1:]) if len(asked.fields) > 1 else ([], asked.fields)
    count = 0

    def rows() -> Iterator[dict[str, str]]:
        nonlocal count
        with connect(asked.settings.opensearch) as client:
            for doc_id, source in stream_sources(client, str(asked.index), asked.fields):
                title, text = document_text(source, titles), document_text(source, texts)
                if title or text:
                    count += 1
                    yield {"_id": doc_id, "title": title, "text": text}
                    console.phase("documents", count, count + 1)
        if not count:
            raise DataError(
                f"'{asked.index}': no document has text in {asked.text_fields}; see --text-fields"
            )

    write_rows(path, rows())
    console.phase("documents", count, count)


def _print(out: Path, report: TranslateReport | ImportReport, as_json: bool) -> None:
    facts = {"out": str(out), **asdict(report), "seconds": round(report.seconds, 1)}
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        told = f"{value:,}" if isinstance(value, int | float) else value
        click.echo(f"{name.replace('_', ' ') + ':':13}{told}")
