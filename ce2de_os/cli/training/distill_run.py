"""The steps of ``ce2de distill``, from the first to the last that is wanted; what is done is skipped."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ce2de_os.distill.models.folder import SAMPLE_FILE
from ce2de_os.distill.models.hub import is_seq2seq, refuse_seq2seq
from ce2de_os.distill.models.layers import load_ce_layers, load_de_layers
from ce2de_os.distill.models.sequence_teacher import load_pair_teacher
from ce2de_os.distill.models.teacher import load_teacher
from ce2de_os.distill.processes import is_main, main_first
from ce2de_os.distill.recipe import distill, is_finished, read_teacher
from ce2de_os.distill.report import evaluate, peers, probe, speed
from ce2de_os.distill.report.probe_plot import draw
from ce2de_os.distill.report.write import PROBE_FILE, write_report
from ce2de_os.distill.training import examples
from ce2de_os.evaluation import Collection, load_collection
from ce2de_os.export.exporter import export
from ce2de_os.model.encoder import OnnxEncoder

if TYPE_CHECKING:
    from ce2de_os.cli.training.distill_sources import Sources
    from ce2de_os.distill.config import DistillConfig
    from ce2de_os.distill.data.translations import Coverage
    from ce2de_os.distill.training.console import ConsoleProgress
    from ce2de_os.distill.training.materials import Examples

QUERIES, CANDIDATES, SCORES, TEACHER, STUDENT, EXPORT, EVALUATE, REPORT = range(8)
SPEED_TEXTS = 200
PROBE_DOCUMENTS = 2000  # of a collection: every layer of two models reads them


class Run:
    """One call of the command.

    Args:
        config: how the student is made.
        sources: where queries, candidates and documents come from.
        out: the run's folder.
        cache: folder for embeddings and logits.
        progress: where to show how far it is.
        last: the step to stop after.
    """

    def __init__(
        self,
        config: DistillConfig,
        sources: Sources,
        out: Path,
        cache: Path,
        progress: ConsoleProgress,
        last: int = REPORT,
    ) -> None:
        self.config, self.sources, self.out, self.cache = config, sources, out, cache
        self.progress, self.last = progress, last
        self.coverage: list[Coverage] = []
        self.facts: dict[str, Any] = {"run": str(out)}

    def go(
        self,
        texts: Sequence[Path],
        dev: Path | None,
        collections: Sequence[Path],
        new_languages: Sequence[Path] = (),
    ) -> dict[str, Any]:
        """Do the steps; returns what there is to tell."""
        loaded = [load_collection(folder) for folder in collections]
        copied = self.config.cross_encoder if self.config.init == "ce" else None
        if copied is not None:  # before hours of scoring
            refuse_seq2seq(f"--init ce: '{copied}'", copied)
        judged = self.sources.translated.judged(dev)
        if not is_finished(self.out, self.config, texts):
            with main_first():
                self.coverage = self.sources.coverage()
                found = self._examples() if self.sources.given else None
            self.facts["translations"] = [asdict(one) for one in self.coverage]
            if self.last < STUDENT:
                if self.last == TEACHER:
                    self._read(texts)
                return self.facts
            self._train(texts, judged, found, new_languages)
        self.facts["student"] = str(self.out)
        if not is_main():
            return self.facts
        if self.last >= EXPORT:
            self._export()
        if self.last >= EVALUATE and loaded:
            self._evaluate(loaded)
            self._probe(loaded)
        if self.last >= REPORT:
            self._report()
        return self.facts

    def _examples(self) -> Examples | None:
        phase, collected = self.progress.phase, self.sources.collected()
        queries = examples.prepare_queries(collected, self.out, phase)
        self.facts["queries"] = len(queries.queries)
        self.coverage += examples.check_queries(collected, queries)
        if self.last < CANDIDATES:
            return None
        if self.sources.scores:
            scores = examples.merged(self.sources.scores, self.out)
        else:
            depth = self.sources.depth
            candidates = examples.prepare_candidates(collected, queries, self.out, phase, depth)
            if self.last < SCORES:
                return None
            teachers = self.sources.cross_encoders
            scores = examples.prepare_scores(
                collected, queries, candidates, teachers, self.out, phase, self.sources.answers
            )
        return examples.read_examples(collected, queries, scores) if self.last >= STUDENT else None

    def _read(self, texts: Sequence[Path]) -> None:
        """Let the teacher read what a student will learn from; one process does."""
        with main_first():
            given = texts or self.sources.texts(
                self.out, self.progress.phase, self.config.unique_tokens, self.config.seed
            )
            parallel = self.sources.parallel() if self.config.reads_parallel else ()
            self.facts["passages"] = read_teacher(
                given, self.config, self.cache, parallel=parallel, phase=self.progress.phase
            )

    def _train(
        self,
        texts: Sequence[Path],
        dev: Sequence[Collection],
        found: Examples | None,
        new_languages: Sequence[Path],
    ) -> None:
        if self.config.reads_texts and not texts:
            with main_first():
                texts = self.sources.texts(
                    self.out, self.progress.phase, self.config.unique_tokens, self.config.seed
                )
        self.facts["recipe"] = distill(
            texts, self.config, self.out, cache=self.cache, examples=found, dev=dev, coverage=self.coverage,
            parallel=self.sources.parallel() if self.config.reads_parallel else (),
            new_languages=new_languages,
            command=shlex.join(["ce2de", *sys.argv[1:]]), phase=self.progress.phase,
            report=self.progress.training,
        )  # fmt: skip

    def _export(self) -> None:
        self.progress.phase("export", 0, 1)
        artifact, parity = export(self.out, self.out / "model", name=self.out.name)
        self.progress.phase("export", 1, 1)
        self.facts |= {"model": str(artifact.folder), "fingerprint": artifact.fingerprint}
        self.facts["mean_cosine"] = parity.mean_cosine

    def _evaluate(self, collections: Sequence[Collection]) -> None:
        teacher, encoder = load_teacher(self.config.teacher), self._encoder(self.config.threads or 1)
        name = self.config.cross_encoder
        systems = evaluate.Systems(
            peers.teacher_peer(teacher, self.config.teacher_prefixes),
            peers.student_peer(encoder),
            peers.float_student_peer(self.out, encoder.artifact),
            peers.static_table(teacher, self.cache),
            load_pair_teacher(name, self.sources.answers) if name else None,
        )
        found = evaluate.evaluate(collections, systems, cache=self.cache, phase=self.progress.phase)
        found.save(self.out / evaluate.EVALUATION_FILE)
        kept = found.kept()
        if kept is not None:
            self.facts["kept"] = round(kept, 4)

    def _probe(self, collections: Sequence[Collection]) -> None:
        """Where the cross-encoder's retrieval signal lies, beside the teacher's; a MonoT5 has no probe."""
        name = self.config.cross_encoder
        if name is None or is_seq2seq(name) or (self.out / PROBE_FILE).exists():
            return
        models = [load_ce_layers(name), load_de_layers(self.config.teacher)]
        parts = [probe.limit_documents(collection, PROBE_DOCUMENTS) for collection in collections]
        readings = [probe.Reading("pair", "mean", False)]
        total, read = probe.texts_to_read(models, parts, readings), 0

        def report(more: int) -> None:
            nonlocal read
            read += more
            self.progress.phase("probe", read, total)

        found = probe.probe(models, parts, readings, cache=self.cache, report=report)
        draw(found, self.out)
        found.save(self.out / PROBE_FILE)

    def _report(self) -> None:
        if not (self.out / speed.SPEED_FILE).exists():
            self._measure_speed()
        page, _ = write_report(self.out, self.out / "model")
        self.facts["report"] = str(page)

    def _measure_speed(self) -> None:
        sample = json.loads((self.out / SAMPLE_FILE).read_text(encoding="utf-8"))[:SPEED_TEXTS]
        encoder, teacher = self._encoder(1), load_teacher(self.config.teacher)
        prefixes = self.config.teacher_prefixes
        found = speed.measure_speed(
            sample, peers.student_peer(encoder), peers.teacher_peer(teacher, prefixes, precision="fp32"),
            [len(ids) for ids in encoder.token_ids(sample)],
            done=lambda done, total: self.progress.phase("speed", done, total),
        )  # fmt: skip
        found.save(self.out / speed.SPEED_FILE)

    def _encoder(self, threads: int) -> OnnxEncoder:
        return OnnxEncoder(self.out / "model", threads=threads)
