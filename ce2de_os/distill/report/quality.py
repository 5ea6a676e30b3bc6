"""Show the quality section of a report."""

from __future__ import annotations

from ce2de_os.distill.report.evaluate import (
    STUDENT,
    STUDENT_FP32,
    TEACHER,
    CollectionResult,
    Evaluation,
    StudentResult,
)
from ce2de_os.distill.report.page import Cell, Missing, Section, Table, Text
from ce2de_os.distill.report.plots import Bar, quality_plot
from ce2de_os.evaluation.figures import MAIN_METRIC, SHOWN_METRICS, SIGNIFICANT, KeptFigure

_HEADER = ("system", MAIN_METRIC, "kept", "p", "p (Holm)", *SHOWN_METRICS[1:])


def quality_section(evaluation: Evaluation | None) -> Section:
    """Return the plot, one table per collection, and the meaning of the columns."""
    section = Section("Quality")
    if evaluation is None or not evaluation.collections:
        section.blocks.append(
            Missing("Not measured in this run;", "ce2de distill", "measures it on judged collections.")
        )
        return section
    section.blocks.append(Text(verdict(evaluation)))
    panels = [(result.collection, [_bar(one) for one in result.systems]) for result in evaluation.collections]
    section.blocks.append(quality_plot(panels, MAIN_METRIC))
    for result in evaluation.collections:
        rows = [_cells(one) for one in result.systems]
        strong = frozenset(row for row, one in enumerate(result.systems) if one.system == STUDENT)
        section.blocks.append(Table(_HEADER, rows, strong=strong, title=_title(result)))
    section.blocks.extend([Text(how_to_read(evaluation)), Text(what_the_systems_are(evaluation))])
    return section


def verdict(evaluation: Evaluation) -> str:
    """Describe, per collection, the share that the student keeps, and the significance of the difference."""
    sentences = []
    for result in evaluation.collections:
        figure = evaluation.figure(result.collection, STUDENT)
        if figure is None or figure.kept is None or figure.p_holm is None:
            continue
        known = "significant" if figure.p_holm < SIGNIFICANT else "not significant"
        sentences.append(
            f"On {result.collection} the student keeps {figure.kept:.1%} {_kept_interval(figure)} of the "
            f"DE's {MAIN_METRIC}; the difference is {known} ({_p_is(figure.p_holm)} after correction)."
        )
    return " ".join(sentences)


def how_to_read(evaluation: Evaluation) -> str:
    """Describe the columns."""
    settings = evaluation.settings
    test = (
        f" p is of a {settings['test']}; correction: {settings['correction']}." if "test" in settings else ""
    )
    return (
        "In brackets: 95% bootstrap intervals over queries. Kept is the share of the DE's mean, for a hybrid "
        "that of the hybrid of the DE; its interval resamples the same queries in both. A difference that is "
        f"not significant may still exist: the interval says how large it may be.{test}"
    )


def what_the_systems_are(evaluation: Evaluation) -> str:
    """Describe the rows, from the evaluation's own settings."""
    settings = evaluation.settings
    parts = [
        f"DE: {settings['teacher']}. Student: {settings['student']}." if "teacher" in settings else "",
        "Asymmetric: the student's queries over the DE's documents. Static table: a vector for each token, "
        "without context (SIF, ICLR 2017).",
        f"BM25: {settings['bm25']}. BM25 + …: {settings['hybrid']}." if "bm25" in settings else "",
    ]
    if settings.get("rerank_depth"):
        name = f" ({settings['cross_encoder']})" if settings.get("cross_encoder") else ""
        parts.append(f"The CE{name} reads the first {settings['rerank_depth']} documents of a query.")
    return " ".join(part for part in parts if part)


def _cells(one: StudentResult) -> list[Cell]:
    main = one.figures[MAIN_METRIC]
    return [
        Cell(one.system),
        _measured(main),
        Cell(f"{main.kept:.1%}", _kept_interval(main)) if main.kept is not None else Cell(""),
        Cell(_p(main.p)),
        Cell(_p(main.p_holm)),
        *(_measured(one.figures[metric]) for metric in SHOWN_METRICS[1:]),
    ]


def _measured(figure: KeptFigure) -> Cell:
    return Cell(f"{figure.mean:.3f}", f"[{figure.low:.3f}, {figure.high:.3f}]")


def _kept_interval(figure: KeptFigure) -> str:
    if figure.kept_low is None or figure.kept_high is None:
        return ""
    return f"[{figure.kept_low:.1%}, {figure.kept_high:.1%}]"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _p_is(value: float) -> str:
    shown = _p(value)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def _bar(one: StudentResult) -> Bar:
    figure = one.figures[MAIN_METRIC]
    kind = {TEACHER: "teacher", STUDENT: "student", STUDENT_FP32: "student"}.get(one.system, "other")
    return Bar(one.system, figure.mean, figure.low, figure.high, kind)


def _title(result: CollectionResult) -> str:
    return f"{result.collection}: {result.documents:,} documents, {result.queries:,} queries"
