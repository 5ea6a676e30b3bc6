"""``ce2de distill``: from a cross-encoder, a dual encoder and texts to a small student, step by step."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ce2de_os.cli.distill_sources import Sources
from ce2de_os.cli.options import Command, connection_options, json_option
from ce2de_os.distill.config import (
    DEFAULT_TEACHER,
    RANKING_LOSSES,
    TEXT_LOSSES,
    DistillConfig,
    parse_losses,
)
from ce2de_os.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from ce2de_os.config import Settings
    from ce2de_os.distill.console import ConsoleProgress
    from ce2de_os.distill.materials import Examples

DEFAULTS = DistillConfig()
STEPS = ("queries", "candidates", "scores", "student", "export", "evaluate", "report")
SPEED_TEXTS = 200
PATH = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)


def _option(name: str, text: str, **settings: Any) -> Callable[[Command], Command]:  # noqa: ANN401 - click's
    if settings.get("default") is not None:
        settings["show_default"] = True
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
@_option("--cross-encoder", "Cross-encoder (CE) to learn rankings from, or to copy layers from: hub id or "
         "folder; with several, their scores are merged.", multiple=True)  # fmt: skip
@_option("--init", "Whose embeddings and layers the student copies: the teacher's, the cross-encoder's, "
         "nobody's.", type=click.Choice(["de", "ce", "random"]), default=DEFAULTS.init)  # fmt: skip
@_option("--layers", "Layers to copy, counted from 0; 'new' in their place is a random one (DE-2 CE: 0,new).",
         default="0,5")  # fmt: skip
@_option("--pooled", "Run the last layer once a text instead of once a token.", is_flag=True)
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
@_option("--depth", "Candidates of a query.", type=int, default=50)
@_option("--dense-candidates", "Find candidates by the model in --artifact too, not by BM25 alone.",
         is_flag=True)  # fmt: skip
@_option("--candidates", "Candidates found elsewhere: a TREC run or a score file.", type=PATH)
@_option("--scores", "Scores given elsewhere, JSON lines [query, [document, score], …]; several are merged.",
         type=PATH, multiple=True)  # fmt: skip
@_option("--dev", "Judged collection whose nDCG@10 picks the best checkpoint.", type=FOLDER)
@_option("--evaluate", "Judged collection to compare the student on; repeat it for more.", type=FOLDER,
         multiple=True)  # fmt: skip
@connection_options
@json_option
def command(
    texts: tuple[Path, ...], more_texts: tuple[Path, ...], out: Path, until: str, layers: str,
    losses: str | None, cross_encoder: tuple[str, ...], cache: Path | None, dev: Path | None,
    evaluate: tuple[Path, ...], as_json: bool, settings: Settings, **options: Any,  # noqa: ANN401 - the settings of Sources and DistillConfig
) -> None:  # fmt: skip
    """Train a small student, export it, compare it, and report on it.

    From texts alone the student learns a larger encoder's embeddings. With queries and a cross-encoder it
    also learns how that ranks what your search finds for them. Every step leaves files in OUT: Ctrl-C or a
    crash loses at most a minute, and the same command goes on.

    \b
    Texts only:        ce2de distill --texts runs/texts/*.txt.gz --out runs/student
    Your cluster:      ce2de distill --index articles --text-fields title,body --query-field title \\
                         --cross-encoder ID_OR_FOLDER --out runs/mine
    The paper's DE-2:  ce2de distill … --init ce --layers 0,new --readout last --losses contrastive,kl
    One step:          ce2de distill … --until scores

    The steps: queries, candidates (BM25, hard negatives), scores (cross-encoder), student (training), export
    (int8 model in OUT/model), evaluate (on --evaluate), report (OUT/report.html and report.md).
    """
    names = {field.name for field in fields(Sources)} & options.keys()
    sources = Sources(settings, cross_encoder, **{name: options.pop(name) for name in names})
    config = DistillConfig(
        layers=_layers(layers), cross_encoder=next(iter(cross_encoder), None),
        losses=parse_losses(losses or ("l2=1,kl=0.2" if sources.given else "l2")), **options,
    )  # fmt: skip
    try:
        from ce2de_os.distill.console import ConsoleProgress
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("distill", error.name) from error
    with ConsoleProgress() as progress:
        facts = _Run(config, sources, out, until, progress).go([*texts, *more_texts], cache, dev, evaluate)
    if as_json:
        click.echo(json.dumps(facts))
    else:
        _print(facts)


class _Run:
    """One call of the command: the steps from the first to the last that is wanted."""

    def __init__(
        self,
        config: DistillConfig,
        sources: Sources,
        out: Path,
        until: str,
        progress: ConsoleProgress,
    ) -> None:
        self.config, self.sources, self.out, self.progress = config, sources, out, progress
        self.last = STEPS.index(until)
        self.facts: dict[str, Any] = {"run": str(out)}

    def go(
        self, texts: Sequence[Path], cache: Path | None, dev: Path | None, collections: Sequence[Path]
    ) -> dict[str, Any]:
        """Do the steps, skipping what is done; returns what there is to tell."""
        from ce2de_os.distill.folder import RECIPE_FILE

        finished = (self.out / RECIPE_FILE).exists()
        examples = None
        if self.sources.given and not finished:
            examples = self._examples()
        if not self._wanted("student"):
            return self.facts
        if not finished:
            if self.config.reads_texts and not texts:
                texts = self.sources.texts(self.out, self.progress.phase)
            self._train(texts, cache, dev, examples)
        self.facts["student"] = str(self.out)
        if self._wanted("export"):
            self._export()
        if self._wanted("evaluate") and collections:
            self._evaluate(collections, cache)
        if self._wanted("report"):
            self._report()
        return self.facts

    def _wanted(self, step: str) -> bool:
        return STEPS.index(step) <= self.last

    def _examples(self) -> Examples | None:
        from ce2de_os.distill import examples

        phase = self.progress.phase
        collected = self.sources.collected()
        queries = examples.prepare_queries(collected, self.out, phase)
        self.facts["queries"] = len(queries.queries)
        if not self._wanted("candidates"):
            return None
        if self.sources.scores:
            scores = examples.merged(self.sources.scores, self.out)
        else:
            depth = self.sources.depth
            candidates = examples.prepare_candidates(collected, queries, self.out, phase, depth)
            if not self._wanted("scores"):
                return None
            teachers = self.sources.cross_encoders
            scores = examples.prepare_scores(collected, queries, candidates, teachers, self.out, phase)
        return examples.read_examples(collected, queries, scores) if self._wanted("student") else None

    def _train(
        self, texts: Sequence[Path], cache: Path | None, dev: Path | None, examples: Examples | None
    ) -> None:
        from ce2de_os.distill.recipe import distill
        from ce2de_os.evaluation import load_collection

        collection = load_collection(dev) if dev else None
        self.facts["recipe"] = distill(
            texts, self.config, self.out, cache=cache, examples=examples, dev=collection,
            command=shlex.join(["ce2de", *sys.argv[1:]]), phase=self.progress.phase,
            report=self.progress.training,
        )  # fmt: skip

    def _export(self) -> None:
        from ce2de_os.export.exporter import export

        self.progress.phase("export", 0, 1)
        artifact, parity = export(self.out, self.out / "model", name=self.out.name)
        self.progress.phase("export", 1, 1)
        self.facts |= {"model": str(artifact.folder), "fingerprint": artifact.fingerprint}
        self.facts["mean_cosine"] = parity.mean_cosine

    def _evaluate(self, collections: Sequence[Path], cache: Path | None) -> None:
        from ce2de_os.distill import evaluate, peers
        from ce2de_os.distill.cross_encoder import load_cross_encoder
        from ce2de_os.distill.teacher import load_teacher
        from ce2de_os.encoder import OnnxEncoder
        from ce2de_os.evaluation import load_collection

        loaded = [load_collection(folder) for folder in collections]
        teacher, cache = load_teacher(self.config.teacher), cache or self.out / "teacher"
        phase = self.progress.phase
        systems = evaluate.Systems(
            peers.teacher_peer(teacher),
            peers.student_peer(OnnxEncoder(self.out / "model", threads=self.config.threads or 1)),
            static=peers.static_table(teacher, cache),
            cross_encoder=load_cross_encoder(self.config.cross_encoder)
            if self.config.cross_encoder
            else None,
        )
        found = evaluate.evaluate(loaded, systems, cache=cache, phase=phase)
        found.save(self.out / evaluate.EVALUATION_FILE)
        kept = found.kept()
        if kept is not None:
            self.facts["kept"] = round(kept, 4)

    def _measure_speed(self) -> None:
        from ce2de_os.distill import folder, peers, speed
        from ce2de_os.distill.teacher import load_teacher
        from ce2de_os.encoder import OnnxEncoder

        sample = json.loads((self.out / folder.SAMPLE_FILE).read_text(encoding="utf-8"))[:SPEED_TEXTS]
        encoder, teacher = OnnxEncoder(self.out / "model"), load_teacher(self.config.teacher)
        found = speed.measure_speed(
            sample, peers.student_peer(encoder), peers.teacher_peer(teacher, precision="fp32"),
            [len(ids) for ids in encoder.token_ids(sample)],
            done=lambda done, total: self.progress.phase("speed", done, total),
        )  # fmt: skip
        found.save(self.out / speed.SPEED_FILE)

    def _report(self) -> None:
        from ce2de_os.distill.report import write_report
        from ce2de_os.distill.speed import SPEED_FILE

        if not (self.out / SPEED_FILE).exists():
            self._measure_speed()
        page, _ = write_report(self.out, self.out / "model")
        self.facts["report"] = str(page)


def _print(facts: dict[str, Any]) -> None:
    for name in ("queries", "student", "model", "fingerprint", "kept", "report"):
        if name in facts:
            click.echo(f"{name + ':':13}{facts[name]}")


def _layers(text: str) -> tuple[int | None, ...]:
    try:
        return tuple(None if part.strip() == "new" else int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--layers: got '{text}', expected numbers or 'new', such as 0,5 or 0,new"
        ) from None
