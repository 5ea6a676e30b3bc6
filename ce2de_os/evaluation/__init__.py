"""Evaluation: the quality of rankings on judged queries, with its uncertainty.

``collection`` reads judged collections, ``exact`` ranks them, ``trec`` reads and writes rankings as files.
``metrics`` measures rankings, query by query; ``significance`` has intervals and tests. ``passages`` turns
rankings of passages into rankings of documents, ``languages`` takes rankings over several languages apart.
``comparison`` combines this for several systems, and ``comparison_plot`` draws it.
"""

from ce2de_os.evaluation.collection import (
    Collection,
    Judged,
    judged_files,
    load_collection,
    load_judged,
    load_qrels,
)
from ce2de_os.evaluation.exact import exact_search
from ce2de_os.evaluation.languages import mixed_qrels
from ce2de_os.evaluation.metrics import METRICS, Qrels, Runs, Scores, measure
from ce2de_os.evaluation.passages import max_p
from ce2de_os.evaluation.significance import confidence_interval, mean, paired_t_test
from ce2de_os.evaluation.trec import read_run, write_qrels, write_run

__all__ = [
    "METRICS", "Collection", "Judged", "Qrels", "Runs", "Scores", "confidence_interval", "exact_search",
    "judged_files", "load_collection", "load_judged", "load_qrels", "max_p", "mean", "measure",
    "mixed_qrels", "paired_t_test", "read_run", "write_qrels", "write_run",
]  # fmt: skip
