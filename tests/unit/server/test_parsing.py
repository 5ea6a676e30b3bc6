"""What callers may ask for, and what each mistake answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ce2de_os.model.artifact import Artifact
from ce2de_os.server.answers import HttpError
from ce2de_os.server.bodies import parse
from ce2de_os.server.parsing import check_model, embedding_request, model_id, rerank_request

ARTIFACT = Artifact.load()
MODEL = model_id(ARTIFACT)
PREFIXED = replace(ARTIFACT, query_prefix="query: ", document_prefix="passage: ")


def embed(artifact=ARTIFACT, **body):
    return embedding_request({"model": MODEL, "input": "copy", **body}, artifact, 3)


def rerank(**body):
    return rerank_request({"model": MODEL, "query": "copy", "documents": ["a", "b"], **body}, ARTIFACT, 3)


def test_the_model_s_name_holds_its_fingerprint():
    assert f"student_en@{ARTIFACT.fingerprint[:12]}" == MODEL
    check_model(MODEL, ARTIFACT)
    check_model(f"student_en@{ARTIFACT.fingerprint}", ARTIFACT)


@pytest.mark.parametrize(
    "other",
    ["text-embedding-3", "student_en", "student_en@", "student_en@ab08", f"{MODEL}0", f"o{MODEL}", 7],
)
def test_another_model_is_a_conflict_that_names_both(other):
    with pytest.raises(HttpError) as refused:
        check_model(other, ARTIFACT)
    assert refused.value.status == 409
    assert str(other) in refused.value.message
    assert MODEL in refused.value.message


def test_a_request_without_a_model_is_refused():
    with pytest.raises(HttpError, match=f"model: missing, expected '{MODEL}'") as refused:
        check_model(None, ARTIFACT)
    assert refused.value.status == 400


def test_texts_and_their_order():
    assert embed(input="copy").texts == ["copy"]
    assert embed(input=["b", "a"]).texts == ["b", "a"]
    assert (embed().encoding, embed(encoding_format="base64").encoding) == ("float", "base64")
    assert embed(dimensions=ARTIFACT.dim).texts == ["copy"]


@pytest.mark.parametrize(
    ("body", "as_query", "is_urgent"),
    [
        ({"input_type": "query"}, True, True),
        ({"content_type": "query", "input": ["a", "b"]}, True, True),
        ({"input_type": "search_query"}, True, True),
        ({"input_type": "passage"}, False, False),
        ({"content_type": "document"}, False, False),
        ({}, False, True),  # one text is most likely a question
        ({"input": ["a", "b"]}, False, False),
    ],
)
def test_queries_go_first(body, as_query, is_urgent):
    found = embed(**body)
    assert (found.as_query, found.is_urgent) == (as_query, is_urgent)


def test_a_model_with_prefixes_must_know_what_the_texts_are():
    with pytest.raises(HttpError, match="input_type: missing, expected 'query' or 'document'"):
        embed(PREFIXED)
    assert embed(PREFIXED, input_type="query").as_query


@pytest.mark.parametrize(
    ("body", "status", "message", "param"),
    [
        ({"input": None}, 400, "input: got None, expected a text or a list of texts", "input"),
        ({"input": []}, 400, "input: got [], expected a text or a list of texts", "input"),
        ({"input": {}}, 400, "input: got {}, expected a text or a list of texts", "input"),
        ({"input": 5}, 400, "input: got 5, expected a text or a list of texts", "input"),
        ({"input": ""}, 400, "input[0]: got '', expected at least one word", "input"),
        ({"input": ["a", " \n"]}, 400, "input[1]: got ' \\n', expected at least one word", "input"),
        ({"input": ["a", None]}, 400, "input[1]: got None, expected a text", "input"),
        (
            {"input": [1, 2]},
            400,
            "input[0]: got 1, expected a text; token numbers are not read "
            "(LangChain: check_embedding_ctx_length=False)",
            "input",
        ),
        (
            {"input": ["a"] * 4},
            413,
            "input: got 4 texts, expected at most 3; send several requests",
            "input",
        ),
        (
            {"dimensions": 8},
            400,
            "dimensions: got 8, expected 384, the only length that this model has, or none",
            "dimensions",
        ),
        (
            {"encoding_format": "int8"},
            400,
            "encoding_format: got 'int8', expected 'float' or 'base64'",
            "encoding_format",
        ),
        (
            {"input_type": "image"},
            400,
            "input_type: got 'image', expected 'query', 'document' or 'passage'",
            "input_type",
        ),
        (
            {"input_type": ["query"]},
            400,
            "input_type: got ['query'], expected 'query', 'document' or 'passage'",
            "input_type",
        ),
        (
            {"input_type": "query", "content_type": "passage"},
            400,
            "input_type and content_type contradict each other; send one of them",
            "input_type",
        ),
        (
            {"dimension": 5},
            400,
            "dimension: no such field; there are model, input, input_type, content_type, encoding_format, "
            "dimensions, user",
            "dimension",
        ),
    ],
)
def test_a_mistake_is_one_clear_error(body, status, message, param):
    with pytest.raises(HttpError) as refused:
        embed(**body)
    assert (refused.value.status, refused.value.message, refused.value.param) == (status, message, param)


def test_documents_to_rank():
    assert rerank(top_n=9).top_n == 2
    assert rerank(top_n=1).top_n == 1
    assert rerank(documents=[{"text": "a"}, "", "c"]).documents == ["a", "", "c"]
    assert rerank(return_documents=True).return_documents


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"query": ""}, "query: got '', expected a text"),
        ({"query": None}, "query: got None, expected a text"),
        ({"documents": "a"}, "documents: got 'a', expected a list of texts"),
        ({"documents": []}, "documents: got [], expected a text or a list of texts"),
        ({"documents": [{"title": "a"}]}, "documents[0]: got {'title': 'a'}, expected a text"),
        ({"top_n": 0}, "top_n: got 0, expected a whole number of at least 1"),
        ({"top_n": True}, "top_n: got True, expected a whole number of at least 1"),
        ({"top_n": 1.5}, "top_n: got 1.5, expected a whole number of at least 1"),
        ({"return_documents": "yes"}, "return_documents: got 'yes', expected true or false"),
    ],
)
def test_a_mistake_in_ranking(body, message):
    with pytest.raises(HttpError) as refused:
        rerank(**body)
    assert refused.value.message.startswith(message)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"a": NaN}', b'"\\ud800"', b"[" * 100_000, b'{"a":' * 100_000],
)
def test_what_is_no_json(body):
    with pytest.raises(HttpError, match="the body is not valid JSON") as refused:
        parse(body)
    assert refused.value.status == 400


def test_json_that_is_no_object():
    with pytest.raises(HttpError, match="the body: got a JSON list, expected an object"):
        parse(b"[1]")
    assert parse(b'{"input": "\\ud83e\\udd9c \xf0\x9f\xa6\x9c"}') == {"input": "🦜 🦜"}
