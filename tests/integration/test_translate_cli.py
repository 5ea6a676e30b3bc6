"""Documents of an index in another language."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.errors import Ce2deError
from ce2de_os.records import read_documents
from tests.integration.indexes import create_index

pytestmark = pytest.mark.servers


def translate(tmp_path, endpoints, index, *more):
    arguments = [
        "translate", "--index", index, "--url", endpoints.opensearch_url, "--import", tmp_path / "t.jsonl",
        "--out", tmp_path / "out.jsonl", "--json", *more,
    ]  # fmt: skip
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if isinstance(result.exception, Ce2deError):
        raise result.exception
    return result


def test_documents_of_an_index(client, endpoints, index_name, tmp_path):
    documents = [{"title": f"Title {n}", "body": f"Body {n}.", "tags": ["x", "y"]} for n in range(700)]
    create_index(client, index_name, [*documents, {"body": "No title."}, {"other": "no text"}])
    ids = [hit["_id"] for hit in client.search(index=index_name, size=702)["hits"]["hits"]]
    sources = {doc_id: client.get(index=index_name, id=doc_id)["_source"] for doc_id in ids[:5]}
    rows = [{"_id": doc_id, "title": f"Titolo {doc_id}", "text": f"Testo {doc_id}"} for doc_id in ids]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(Ce2deError, match=r"translates 1 id \(.*\) that are not in http.* title,body,tags"):
        translate(tmp_path, endpoints, index_name, "--text-fields", "title,body,tags")
    (snapshot,) = tmp_path.glob("out.jsonl.originals-*.jsonl.gz")  # kept for the next try
    originals = {document.doc_id: document for document in read_documents(snapshot)}
    assert len(originals) == 701
    for doc_id, source in sources.items():
        if "title" in source:
            expected = (doc_id, source["title"], f"{source['body']}\nx y")
            assert originals[doc_id] == expected
    kept = [row for row in rows if row["_id"] in originals]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    result = translate(tmp_path, endpoints, index_name, "--text-fields", "title,body,tags")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["documents"] == 701
    assert {document.doc_id for document in read_documents(tmp_path / "out.jsonl")} == set(originals)
    assert not snapshot.exists()


def test_fields_and_indexes_that_are_not_there(client, endpoints, index_name, tmp_path):
    create_index(client, index_name, [{"title": "bab", "body": "deg"}])
    (tmp_path / "t.jsonl").write_text("")
    with pytest.raises(Ce2deError, match="no document has text in none; see --text-fields"):
        translate(tmp_path, endpoints, index_name, "--text-fields", "none")
    with pytest.raises(Ce2deError, match="no such index"):
        translate(tmp_path, endpoints, f"{index_name}-none")
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]
