"""Site: what all handlers share."""

from __future__ import annotations

from dataclasses import dataclass

from opensearchpy import OpenSearch

from ce2de_os.config import Settings
from ce2de_os.index.client import connect
from ce2de_os.ui.compare import Comparer
from ce2de_os.ui.judging.file_store import FileJudgments
from ce2de_os.ui.judging.index_store import IndexJudgments
from ce2de_os.ui.judging.records import Judgments
from ce2de_os.ui.models import Models, Searchers
from ce2de_os.ui.pages import Pages
from ce2de_os.ui.request import UiRequest
from ce2de_os.ui.sessions import Sessions


@dataclass(frozen=True)
class Site:
    """The parts that the pages use.

    Attributes:
        request: what the page may do.
        settings: the connections.
        client: the connection to OpenSearch.
        models: the loaded models.
        searchers: answer questions.
        comparer: asks several columns at once.
        judgments: keeps what people judge.
        sessions: the browsers.
        pages: fills in the templates.
    """

    request: UiRequest
    settings: Settings
    client: OpenSearch
    models: Models
    searchers: Searchers
    comparer: Comparer
    judgments: Judgments
    sessions: Sessions
    pages: Pages

    @classmethod
    def open(cls, request: UiRequest, settings: Settings, sessions: Sessions) -> Site:
        """Load the models; OpenSearch is asked when a page needs it.

        Raises:
            ArtifactError: a model cannot be loaded, or computes wrong values here.
            ConfigError: a certificate's file is not there, or another process uses the file of judgments.
            DataError: the file of judgments cannot be read.
        """
        models = Models(settings, request)
        client = connect(settings.opensearch)
        searchers = Searchers(client, models)
        judgments = FileJudgments(request.judgments) if request.judgments else IndexJudgments(client)
        comparer, pages = Comparer(searchers), Pages(request, sessions)
        return cls(request, settings, client, models, searchers, comparer, judgments, sessions, pages)
