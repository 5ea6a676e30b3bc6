"""Whether everything between an alias and a service is as it was connected, down to the vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from opensearchpy import OpenSearch

from ce2de_os.arrays import Embeddings, cosine
from ce2de_os.connect import canaries, models
from ce2de_os.connect.request import DOCUMENTS, QUERIES, RERANK, resource_name
from ce2de_os.errors import Ce2deError, ConfigError
from ce2de_os.index import admin
from ce2de_os.index.connection import INGEST_SETTING, SEARCH_SETTING, Connection, connections
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import CANARY_MIN_COSINE, OnnxEncoder

_REPAIR = "repeat: ce2de connect {name} `service={service}`"


@dataclass(frozen=True)
class ConnectionFinding:
    """One thing that was looked at: whether it is right, what was found, and what to do (``""``: nothing)."""

    what: str
    right: bool
    finding: str
    action: str = ""


def check(
    client: OpenSearch, name: str, artifact: Artifact, encoder: OnnxEncoder | None = None
) -> list[ConnectionFinding]:
    """Look at the indices behind a name, at the connectors and at the vectors that come through them.

    ``encoder`` is the artifact's; ``None``: one is loaded where it is needed.

    Raises:
        ConfigError: the name is not connected.
        BackendError: OpenSearch does not answer or refuses.
    """
    found = {index: one for index, one in connections(client).items() if one.name == name}
    if not found:
        raise ConfigError(f"'{name}' is not connected; run: ce2de connect {name} `service=URL`")
    connection = next(iter(found.values()))
    findings = list(_indices(client, connection, found))
    if any(one.fingerprint != artifact.fingerprint for one in found.values()):
        had = ", ".join(sorted({one.fingerprint[:12] for one in found.values()}))
        return [
            *findings,
            ConnectionFinding(
                "model", False, f"connected with {had}, this machine has {artifact.fingerprint[:12]}",
                "name the index's model in `artifact` or CE2DE_ARTIFACT",
            ),
        ]  # fmt: skip
    expected = expected_vectors(artifact, encoder)
    reranker = models.present(client, name, RERANK).model_id
    if reranker is not None:
        findings.append(rerank_answers(client, name, reranker))
    return findings + [
        one
        for kind in (DOCUMENTS, QUERIES)
        for one in _model(client, connection, kind, artifact, expected[kind])
    ]


def rerank_answers(client: OpenSearch, name: str, model_id: str) -> ConnectionFinding:
    """Send a question and two texts through the model that re-ranks."""
    what = "re-ranking"
    try:
        scores = canaries.score(
            client, model_id, "river", ["a river", "an engine"],
            f"re-rank through '{resource_name(name, RERANK)}'",
        )  # fmt: skip
    except Ce2deError as error:
        return ConnectionFinding(what, False, *error.parts)
    return ConnectionFinding(what, True, f"{len(scores)} scores")


def right_model(
    client: OpenSearch, name: str, kind: str, model_id: str, expected: tuple[list[str], Embeddings]
) -> ConnectionFinding:
    """Send the canaries through a model and compare."""
    what = f"vectors of {kind}"
    texts, vectors = expected
    try:
        got = canaries.embed(client, model_id, texts, f"embed through '{resource_name(name, kind)}'")
    except Ce2deError as error:
        return ConnectionFinding(what, False, *error.parts)
    if got.shape != vectors.shape:
        return ConnectionFinding(
            what, False, f"got shape {got.shape}, expected {vectors.shape}", "see the connector's URL"
        )
    worst = float(cosine(got, vectors).min())
    finding = f"{len(texts)} canary vectors, cosine at least {worst:.4f}"
    if not worst >= CANARY_MIN_COSINE:
        return ConnectionFinding(
            what, False, f"{finding}: another model answers", "see the connector's URL and model"
        )
    return ConnectionFinding(what, True, finding)


def expected_vectors(
    artifact: Artifact, encoder: OnnxEncoder | None = None
) -> dict[str, tuple[list[str], Embeddings]]:
    """Return texts and the vectors that must come back, for documents and for queries."""
    texts, documents = artifact.canaries()
    if artifact.query_prefix == artifact.document_prefix:
        return {DOCUMENTS: (texts, documents), QUERIES: (texts, documents)}
    queries = (encoder or OnnxEncoder(artifact)).encode_queries(texts)
    return {DOCUMENTS: (texts, documents), QUERIES: (texts, queries)}


def _indices(
    client: OpenSearch, connection: Connection, found: dict[str, Connection]
) -> Iterator[ConnectionFinding]:
    """Compare what is behind the name now, and its settings."""
    repair = _REPAIR.format(name=connection.name, service=connection.service)
    infos = {info.name: info for info in admin.describe_all(client, connection.name)}
    for name in sorted({*infos, *found}):
        if name not in infos:
            yield ConnectionFinding(
                name, False, f"is connected, but no longer behind '{connection.name}'", repair
            )
        elif name not in found:
            yield ConnectionFinding(name, False, f"is behind '{connection.name}', but not connected", repair)
        else:
            wanted = {INGEST_SETTING: DOCUMENTS, SEARCH_SETTING: QUERIES}
            others = [
                f"{key} is {infos[name].settings.get(key)}"
                for key, kind in wanted.items()
                if infos[name].settings.get(key) != resource_name(connection.name, kind)
            ]
            yield ConnectionFinding(
                name, not others, "; ".join(others) or "uses both pipelines", repair if others else ""
            )


def _model(
    client: OpenSearch,
    connection: Connection,
    kind: str,
    artifact: Artifact,
    expected: tuple[list[str], Embeddings],
) -> Iterator[ConnectionFinding]:
    there = models.present(client, connection.name, kind)
    what = resource_name(connection.name, kind)
    repair = _REPAIR.format(name=connection.name, service=connection.service)
    if there.connector is None or there.model_id is None:
        yield ConnectionFinding(f"connector of {kind}", False, f"'{what}' is missing", repair)
        return
    named = str(there.connector.get("parameters", {}).get("model"))
    wanted = f"{artifact.name}@{artifact.fingerprint}"
    with_key = "Authorization" in str(there.connector.get("actions"))
    body = models.connector(connection.name, kind, connection.service, wanted, with_key)
    if named.rpartition("@")[2] != artifact.fingerprint:
        yield ConnectionFinding(f"connector of {kind}", False, f"asks for {named}, expected {wanted}", repair)
    elif not models.same(there.connector, body | {"parameters": body["parameters"] | {"model": named}}):
        yield ConnectionFinding(f"connector of {kind}", False, f"'{what}' was changed by hand", repair)
    else:
        yield ConnectionFinding(f"connector of {kind}", True, f"asks for {named[: named.rfind('@') + 13]}")
    yield right_model(client, connection.name, kind, there.model_id, expected)
