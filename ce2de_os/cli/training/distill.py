"""``ce2de distill``: from a cross-encoder, a dual encoder and texts to a small student, step by step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ce2de_os.cli.options import Command, connection_options, json_option
from ce2de_os.cli.training.distill_sources import Sources
from ce2de_os.cli.training.distill_start import PACKAGED, start_folder
from ce2de_os.cli.training.distill_translations import Translated
from ce2de_os.distill.config import (
    DEFAULT_TEACHER,
    RANKING_LOSSES,
    SHAPE,
    TEXT_LOSSES,
    DistillConfig,
    parse_losses,
)
from ce2de_os.distill.data.languages import MIXINGS
from ce2de_os.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from ce2de_os.config import Settings

DEFAULTS = DistillConfig()
STEPS = ("queries", "candidates", "scores", "teacher", "student", "export", "evaluate", "report")
PATH = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)


def _option(name: str, text: str, **settings: Any) -> Callable[[Command], Command]:  # noqa: ANN401 - click's
    if settings.get("default") is not None:
        settings.setdefault("show_default", True)
    return click.option(name, help=text, **settings)


@click.command("distill")
@click.argument("more_texts", type=PATH, nargs=-1, metavar="[FILE]...")
@_option("--texts", "A .txt or .jsonl file, .gz or not, one paragraph a line; more may follow.", type=PATH,
         multiple=True)  # fmt: skip
@_option("--out", "Folder for the run: each step leaves its files there.", type=FOLDER, required=True)
@_option("--until", "Stop after this step; the same command without it goes on.",
         type=click.Choice(STEPS), default=STEPS[-1])  # fmt: skip
@_option("--teacher", f"Dual encoder to learn embeddings from: hub id, folder, or the PyPI package "
         f"{DEFAULT_TEACHER}.", default=DEFAULTS.teacher)  # fmt: skip
@_option("--query-prefix", "What the teacher expects before a query, such as 'query: ' (E5); the student "
         "then expects the same.", default="", show_default=False)  # fmt: skip
@_option("--document-prefix", "The same before a document, such as 'passage: '.", default="",
         show_default=False)  # fmt: skip
@_option("--teacher-query-prefix", "What the teacher reads before a query in place of --query-prefix, such "
         "as BGE's instruction, which the student then need not read.  [default: where no prefix is given, "
         "what the files of a teacher's folder say]")  # fmt: skip
@_option("--cross-encoder", "Cross-encoder (CE) to learn rankings from, or to copy layers from: hub id or "
         "folder; a MonoT5 or mT5 reranker can be learnt from too; with several, their scores are merged.",
         multiple=True)  # fmt: skip
@_option("--answers", "What a MonoT5 among them says of a relevant and of another document, or pieces of its "
         "vocabulary that begin with ▁.  [default: true,false; of an mT5 yes,no]")  # fmt: skip
@_option("--init", "Whose embeddings and layers the student copies: the teacher's, the cross-encoder's, "
         "nobody's.", type=click.Choice(["de", "ce", "random"]), default=DEFAULTS.init)  # fmt: skip
@_option("--layers", "Layers to copy, counted from 0; 'new' in their place is a random one (DE-2 CE: 0,new).",
         default="0,5")  # fmt: skip
@_option("--start", "Go on from this student, with its layers, readout, head and tokenizer: the folder of a "
         f"finished run, a model folder, or '{PACKAGED}'.")  # fmt: skip
@_option("--extend-vocabulary", "Add so many word pieces for other languages to the student's (WordPiece).",
         type=int)  # fmt: skip
@_option("--new-language", "Texts to learn those pieces from (default: all); no piece then cuts frequent "
         "words of the other texts anew.", type=PATH, multiple=True)  # fmt: skip
@_option("--trim-vocabulary", "Keep only those of the student's pieces that the texts use so many times.",
         type=int)  # fmt: skip
@_option("--pooled", "Run so many of the last layers once a text instead of once a token.", type=int,
         default=DEFAULTS.pooled)  # fmt: skip
@_option("--readout", "Depths that the head reads.", type=click.Choice(["all", "last"]),
         default=DEFAULTS.readout)  # fmt: skip
@_option("--losses", f"Weighted sum to minimise, such as l2=1,kl=0.2; of texts: {', '.join(TEXT_LOSSES)}; of "
         f"rankings: {', '.join(RANKING_LOSSES)}.  [default: l2; with queries l2=1,kl=0.2]")  # fmt: skip
@_option("--temperature", "What cosines are divided by in the ranking losses.", type=float,
         default=DEFAULTS.temperature)  # fmt: skip
@_option("--minutes", "How long to train, after teachers have read.", type=float, default=DEFAULTS.minutes)
@_option("--tokens", "Train on so many tokens instead, to repeat a run exactly.", type=int)
@_option("--unique-tokens", "Tokens to take from the texts; the teacher reads each once.", type=int,
         default=DEFAULTS.unique_tokens)  # fmt: skip
@_option("--lr", "Peak learning rate.", type=float, default=DEFAULTS.lr)
@_option("--accumulate", "Batches in one step of the optimiser.", type=int, default=DEFAULTS.accumulate)
@_option("--batch-queries", "Queries of the ranking losses in one step.", type=int,
         default=DEFAULTS.batch_queries)  # fmt: skip
@_option("--seed", "Decides which passages are taken, their order, and random weights.", type=int,
         default=DEFAULTS.seed)  # fmt: skip
@click.option("--threads", type=int, default=0, help="Cores to use.  [default: all]")
@_option(
    "--cache", "Folder for the teacher's embeddings, shared by runs.  [default: OUT/teacher]", type=FOLDER
)
@_option("--queries", "Queries to learn rankings of: .txt, .tsv or .jsonl.", type=PATH)
@_option("--query-log", "A log of queries instead: the most frequent ones are taken.", type=PATH)
@_option("--log-field", "With --query-log: the key of its JSON lines that holds the query.")
@_option("--query-field", "A field of the documents instead, such as title; it is left out of their text.")
@_option("--max-queries", "Most queries to take.", type=int, default=20_000)
@_option("--index", "Documents: an index or an alias of your cluster.")
@_option("--text-fields", "With --index: the documents' fields, separated by commas.", default="title,text")
@_option("--corpus", "Documents instead: a corpus.jsonl (_id, title, text).", type=PATH)
@_option("--language", "Language of these queries and documents, a code.", default="en")
@_option("--translations", "Translated documents, LANGUAGE=FILE: a corpus.jsonl with the same ids; repeat it "
         "for more languages.", multiple=True)  # fmt: skip
@_option("--translated-queries", "Translated queries, LANGUAGE=FILE, with the same ids.", multiple=True)
@_option("--parallel", "More parallel text, LANGUAGE=FILE: lines original<TAB>translation.", multiple=True)
@_option("--selector-languages", "What the search for candidates reads, QUERIES-DOCUMENTS.  [default: the "
         "originals]")  # fmt: skip
@_option("--selector-index", "An index that holds the documents of the selector's language.")
@_option("--teacher-languages", "What the cross-encoder reads, QUERIES-DOCUMENTS.  [default: the originals]")
@_option("--student-languages", "What the student reads: en-it, or en-it,de,en for documents in several.  "
         "[default: original queries, all translations]")  # fmt: skip
@_option("--mixing", "How a batch mixes languages: each passage in a random one, each query's set, or a "
         "query once in each.", type=click.Choice(MIXINGS), default=DEFAULTS.mixing)  # fmt: skip
@_option("--missing-translations", "What to do where a translation or its original is missing.",
         type=click.Choice(["refuse", "skip"]), default="refuse")  # fmt: skip
@_option("--depth", "Candidates of a query.", type=int, default=50)
@_option("--ways", "Candidates compared at a time, drawn anew from all of a query's.", type=int,
         default=DEFAULTS.candidates)  # fmt: skip
@_option("--dense-candidates", "Find candidates by the model in --artifact too, not by BM25 alone.",
         is_flag=True)  # fmt: skip
@_option("--candidates", "Candidates found elsewhere: a TREC run or a score file.", type=PATH)
@_option("--scores", "Scores given elsewhere, JSON lines [query, [document, score], …]; several are merged.",
         type=PATH, multiple=True)  # fmt: skip
@_option("--dev", "Judged collection whose nDCG@10 picks the best checkpoint.", type=FOLDER)
@_option("--dev-translations", "With --dev: translations of its documents, LANGUAGE=FILE, that take their "
         "place; repeat it for the mean over several.", multiple=True)  # fmt: skip
@_option("--evaluate", "Judged collection to compare the student on; repeat it for more.", type=FOLDER,
         multiple=True)  # fmt: skip
@connection_options
@json_option
def command(
    texts: tuple[Path, ...], more_texts: tuple[Path, ...], out: Path, until: str, layers: str,
    losses: str | None, cross_encoder: tuple[str, ...], answers: str | None, cache: Path | None,
    dev: Path | None, ways: int, evaluate: tuple[Path, ...], start: str | None,
    new_language: tuple[Path, ...], as_json: bool, settings: Settings, **options: Any,  # noqa: ANN401 - the settings of Sources and DistillConfig
) -> None:  # fmt: skip
    """Train a small student, export it, compare it, and report on it.

    From texts alone the student learns a larger encoder's embeddings. With queries and a cross-encoder it
    also learns how that ranks what your search finds for them. Every step leaves files in OUT: Ctrl-C or a
    crash loses at most a minute, and the same command goes on.

    \b
    Texts only:        ce2de distill --texts runs/texts/*.txt.gz --out runs/student
    Your documents:    ce2de distill --start packaged --index articles --text-fields title,body \\
                         --minutes 10 --out runs/mine
    Your own CE:       ce2de distill --index articles --text-fields title,body --query-field title \\
                         --cross-encoder ID_OR_FOLDER --out runs/mine
    Other languages:   ce2de distill … --translations it=corpus.it.jsonl --translations de=corpus.de.jsonl
    The paper's DE-2:  ce2de distill … --init ce --layers 0,new --readout last --losses contrastive,kl
    A MonoT5 teaches:  ce2de distill … --cross-encoder castorini/monot5-3b-msmarco-10k
    One step:          ce2de distill … --until scores
    The teacher reads: ce2de distill … --cache runs/teacher --until teacher
    More languages:    ce2de distill … --start runs/mine --extend-vocabulary 8000 --new-language texts/it.txt
    Several GPUs:      accelerate launch --num_processes 2 -m ce2de_os distill …

    The steps: queries, candidates (BM25, hard negatives), scores (cross-encoder), teacher (it reads the texts
    into --cache, with --until teacher; otherwise the next step does that), student (training), export
    (int8 model in OUT/model), evaluate (on --evaluate), report (OUT/report.html and report.md).
    """
    translated = Translated(**_taken(options, Translated))
    said = _answers(answers) if answers is not None else None
    sources = Sources(settings, cross_encoder, said, translated, **_taken(options, Sources))
    _refuse_shape(start)
    config = DistillConfig(
        layers=_layers(layers), cross_encoder=next(iter(cross_encoder), None), candidates=ways,
        languages=translated.languages, start=start,
        losses=parse_losses(losses or ("l2=1,kl=0.2" if sources.given else "l2")), **options,
    )  # fmt: skip
    if cross_encoder and not (sources.given or evaluate or config.init == "ce"):
        raise click.UsageError("--cross-encoder has nothing to score: give --queries or --query-field")
    try:
        from ce2de_os.cli.training.distill_run import Run
        from ce2de_os.distill.models.teacher import with_said_prefixes
        from ce2de_os.distill.processes import is_main, main_first
        from ce2de_os.distill.training.console import ConsoleProgress
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("distill,export", error.name) from error
    if start is not None:
        with main_first():
            config = replace(config, start=str(start_folder(start, out)))
    config = with_said_prefixes(config)
    with ConsoleProgress(quiet=not is_main()) as progress:
        run = Run(config, sources, out, cache or out / "teacher", progress, last=STEPS.index(until))
        facts = run.go([*texts, *more_texts], dev, evaluate, new_language)
    if not is_main():
        return
    if as_json:
        click.echo(json.dumps(facts))
    else:
        _print(facts)


def _taken(options: dict[str, Any], owner: type) -> dict[str, Any]:
    """Remove the options that are fields of ``owner`` from ``options``, and return them."""
    return {field.name: options.pop(field.name) for field in fields(owner) if field.name in options}


def _refuse_shape(start: str | None) -> None:
    """Reject shape options with --start, even typed defaults: the student there may differ."""
    source = click.get_current_context().get_parameter_source
    given = [name for name in SHAPE if start and source(name) is ParameterSource.COMMANDLINE]
    if given:
        raise ConfigError(
            f"--{given[0]}: got it beside --start, expected one of them: the student there keeps its "
            "layers and readout"
        )


def _print(facts: dict[str, Any]) -> None:
    for name in ("queries", "passages", "student", "model", "fingerprint", "kept", "report"):
        if name in facts:
            click.echo(f"{name + ':':13}{facts[name]}")


def _answers(text: str) -> tuple[str, str]:
    match [part.strip() for part in text.split(",")]:
        case [positive, negative] if positive and negative:
            return positive, negative
    raise ConfigError(
        f"--answers: got '{text}', expected two words, the positive one first, such as true,false"
    )


def _layers(text: str) -> tuple[int | None, ...]:
    try:
        return tuple(None if part.strip() == "new" else int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--layers: got '{text}', expected numbers or 'new', such as 0,5 or 0,new"
        ) from None
