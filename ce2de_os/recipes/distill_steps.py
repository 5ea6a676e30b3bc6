"""The steps of a distillation, up to the last one requested; a finished step is skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ce2de_os.distill.models.folder import SAMPLE_FILE
from ce2de_os.distill.models.hub import is_seq2seq, refuse_seq2seq
from ce2de_os.distill.models.layers import load_ce_layers, load_de_layers
from ce2de_os.distill.models.onnx_teacher import has_layers
from ce2de_os.distill.models.sequence_teacher import load_pair_teacher
from ce2de_os.distill.models.teacher import load_teacher
from ce2de_os.distill.processes import is_main, main_first
from ce2de_os.distill.recipe import CHECKPOINT_FILE, distill, is_finished, read_teacher
from ce2de_os.distill.report import evaluate, peers, probe, speed
from ce2de_os.distill.report.probe_plot import draw
from ce2de_os.distill.report.write import PROBE_FILE, write_report
from ce2de_os.distill.training import examples
from ce2de_os.evaluation import Collection, load_collection
from ce2de_os.export.exporter import export
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.reading import RUN_BYTES, read_json
from ce2de_os.recipes.distill_config import completed
from ce2de_os.recipes.distill_request import STEPS, DistillRequest
from ce2de_os.recipes.distill_sources import Sources
from ce2de_os.recipes.distill_toml import RECIPE_TOML, toml_text
from ce2de_os.recipes.distill_translations import judged
from ce2de_os.writing import replacing

if TYPE_CHECKING:
    from ce2de_os.distill.config import DistillConfig
    from ce2de_os.distill.data.texts import TrainingPassage
    from ce2de_os.distill.data.translations import Coverage
    from ce2de_os.distill.training.materials import Examples
    from ce2de_os.distill.training.trainer import Report
    from ce2de_os.progress import Phase

QUERIES, CANDIDATES, SCORES, TEACHER, STUDENT, EXPORT, EVALUATE, REPORT = range(8)
SPEED_TEXTS = 200
PROBE_DOCUMENTS = 2000  # texts of a collection: every layer of two models reads them


@dataclass(frozen=True)
class Shown:
    """Receivers of the progress.

    Attributes:
        phase: receives the progress of each step but the training.
        report: receives the progress of the training.
    """

    phase: Phase
    report: Report


class Run:
    """One call of `ce2de_os.recipes.distill.distill`."""

    def __init__(self, request: DistillRequest, config: DistillConfig, shown: Shown) -> None:
        self.request, self.config, self.shown = request, config, shown
        self.sources = Sources(request)
        self.texts, self.out = request.texts.files, request.out
        self.cache = request.teacher.cache or self.out / "teacher"
        self.last = STEPS.index(request.until)
        self.coverage: list[Coverage] = []
        self.facts: dict[str, Any] = {"run": self.out}

    def go(self) -> dict[str, Any]:
        """Run the steps; return their facts by the names of `DistillResult`."""
        loaded = [load_collection(folder) for folder in self.request.evaluate.collections]
        apart = loaded if self.texts else []  # where the documents are the texts, learning them is wanted
        copied = self.config.cross_encoder if self.config.init == "ce" else None
        if copied is not None:  # fail before hours of scoring
            refuse_seq2seq(f"student.init ce: '{copied}'", copied)
        dev = judged(self.request.evaluate.dev, self.request.evaluate.dev_translations)
        if not is_finished(self.out, self.config, self.texts):
            with main_first():
                self.coverage = self.sources.coverage()
                self._keep_request()
                found = self._examples() if self.request.rankings.has_queries else None
            self.facts["translations"] = tuple(asdict(one) for one in self.coverage)
            if self.last < STUDENT:
                if self.last == TEACHER:
                    self._read(apart)
                return self.facts
            self._train(apart, dev, found)
            self._keep_request()
        self.facts["student"] = self.out
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

    def _keep_request(self) -> None:
        """Write the complete recipe to the run's folder; a training in progress keeps its own."""
        path = self.out / RECIPE_TOML
        if is_main() and not (path.exists() and (self.out / CHECKPOINT_FILE).exists()):
            with replacing(path) as file:
                file.write(toml_text(completed(self.request, self.config)))

    def _examples(self) -> Examples | None:
        phase, collected, rankings = self.shown.phase, self.sources.collected(), self.request.rankings
        queries = examples.prepare_queries(collected, self.out, phase)
        self.facts["queries"] = len(queries.queries)
        self.coverage += examples.check_queries(collected, queries)
        if self.last < CANDIDATES:
            return None
        if rankings.scores:
            scores = examples.merged(rankings.scores, self.out)
        else:
            depth = rankings.candidates
            candidates = examples.prepare_candidates(collected, queries, self.out, phase, depth)
            if self.last < SCORES:
                return None
            teachers = rankings.cross_encoders
            scores = examples.prepare_scores(
                collected, queries, candidates, teachers, self.out, phase, rankings.answers
            )
        return examples.read_examples(collected, queries, scores) if self.last >= STUDENT else None

    def _texts(self) -> Sequence[Path]:
        """Return the training texts: files, or the documents."""
        return self.texts or self.sources.texts(
            self.out, self.shown.phase, self.config.unique_tokens, self.config.seed
        )

    def _parallel(self) -> Sequence[TrainingPassage]:
        return self.sources.parallel() if self.config.reads_parallel else ()

    def _read(self, apart: Sequence[Collection]) -> None:
        """Let the teacher read the texts that a student will learn from, in one process."""
        with main_first():
            self.facts["passages"] = read_teacher(
                self._texts(), self.config, self.cache, parallel=self._parallel(), judged=apart,
                phase=self.shown.phase,
            )  # fmt: skip

    def _train(self, apart: Sequence[Collection], dev: Sequence[Collection], found: Examples | None) -> None:
        texts: Sequence[Path] = self.texts
        if self.config.reads_texts and not texts:
            with main_first():
                texts = self._texts()
        self.facts["recipe"] = distill(
            texts, self.config, self.out, cache=self.cache, examples=found, dev=dev, judged=apart,
            coverage=self.coverage, parallel=self._parallel(), command=self.request.command,
            phase=self.shown.phase, report=self.shown.report,
        )  # fmt: skip

    def _export(self) -> None:
        self.shown.phase("export", 0, 1)
        artifact, parity = export(self.out, self.out / "model", name=self.out.name)
        self.shown.phase("export", 1, 1)
        self.facts |= {"model": artifact.folder, "fingerprint": artifact.fingerprint}
        self.facts["mean_cosine"] = parity.mean_cosine

    def _evaluate(self, collections: Sequence[Collection]) -> None:
        teacher, encoder = load_teacher(self.config.teacher), self._encoder(self.config.threads or 1)
        name = self.config.cross_encoder
        systems = evaluate.Systems(
            peers.teacher_peer(teacher, self.config.teacher_prefixes),
            peers.student_peer(encoder),
            peers.float_student_peer(self.out, encoder.artifact),
            peers.static_table(teacher, self.cache),
            load_pair_teacher(name, self.request.rankings.answers) if name else None,
        )
        found = evaluate.evaluate(collections, systems, cache=self.cache, phase=self.shown.phase)
        found.save(self.out / evaluate.EVALUATION_FILE)
        kept = found.kept()
        if kept is not None:
            self.facts["kept"] = round(kept, 4)

    def _probe(self, collections: Sequence[Collection]) -> None:
        """Find the layers of cross-encoder and teacher that retrieve well, where both have layers to read."""
        name = self.config.cross_encoder
        if name is None or is_seq2seq(name) or (self.out / PROBE_FILE).exists():
            return
        if not has_layers(self.config.teacher):
            return
        models = [load_ce_layers(name), load_de_layers(self.config.teacher)]
        parts = [probe.limit_documents(collection, PROBE_DOCUMENTS) for collection in collections]
        readings = [probe.Reading("pair", "mean", False)]
        found = probe.probe(models, parts, readings, cache=self.cache, phase=self.shown.phase)
        draw(found, self.out)
        found.save(self.out / PROBE_FILE)

    def _report(self) -> None:
        if not (self.out / speed.SPEED_FILE).exists():
            self._measure_speed()
        self.facts["report"], _ = write_report(self.out, self.out / "model")

    def _measure_speed(self) -> None:
        sample = read_json(self.out / SAMPLE_FILE, RUN_BYTES)[:SPEED_TEXTS]
        encoder, teacher = self._encoder(1), load_teacher(self.config.teacher)
        prefixes = self.config.teacher_prefixes
        found = speed.measure_speed(
            sample, peers.student_peer(encoder), peers.teacher_peer(teacher, prefixes, precision="fp32"),
            [len(ids) for ids in encoder.token_ids(sample)],
            done=lambda done, total: self.shown.phase("speed", done, total),
        )  # fmt: skip
        found.save(self.out / speed.SPEED_FILE)

    def _encoder(self, threads: int) -> OnnxEncoder:
        return OnnxEncoder(self.out / "model", threads=threads)
