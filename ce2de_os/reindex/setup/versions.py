"""Notice applications that number their documents' versions themselves, which a handover would stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.client import WHOLE, backend_errors, check_complete
from ce2de_os.index.metadata import fields_from
from ce2de_os.reindex.setup.finding import Finding

_SAMPLE = 200


def external(client: OpenSearch, source: IndexInfo) -> Iterator[Finding]:
    """Yield a finding if an application gives documents their versions, and lower ones than a copy's.

    OpenSearch counts a document's versions, and each takes one ``_seq_no``: a version above ``_seq_no`` + 1
    can only come with the request (``version_type=external``). A copy has ``_seq_no`` + 1 as its version, so
    the application's next version of a document that was written late would be too low, and rejected.
    """
    if fields_from(source.mappings):
        return  # it was a copy itself, whose versions a job has given
    oldest, newest = (_sample(client, source, order) for order in ("asc", "desc"))
    given = [hit for hit in (*oldest, *newest) if hit["_version"] > hit["_seq_no"] + 1]
    low = [hit for hit in newest if hit["_version"] < hit["_seq_no"] + 1]
    if given and low:
        yield Finding(
            f"'{source.name}' has documents whose versions an application gives (such as "
            f"'{given[0]['_id']}', version {given[0]['_version']}); after a handover its next ones would be "
            f"rejected as too low ('{low[0]['_id']}' would have version {low[0]['_seq_no'] + 1}, not "
            f"{low[0]['_version']})",
            "use `way=mirror`, so that it still writes to the source; or, if no application gives versions "
            "any more, `way=handover`",
        )


def _sample(client: OpenSearch, source: IndexInfo, order: str) -> list[dict[str, Any]]:
    body = {
        "size": min(_SAMPLE, source.most_hits),
        "sort": [{"_seq_no": order}],
        "version": True,
        "seq_no_primary_term": True,
        "_source": False,
        "track_total_hits": False,
    }
    action = f"read versions of '{source.name}'"
    with backend_errors(action):
        answer = client.search(index=source.name, body=body, params=WHOLE)
    check_complete(action, answer)
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits
