"""Documents in several languages on a real OpenSearch: each is found by the words of its own language."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import AsyncOpenSearch, OpenSearch

from ce2de_os import AsyncHybridSearcher, HybridSearcher, OnnxEncoder
from ce2de_os.config import OpenSearchSettings
from ce2de_os.errors import ConfigError, DataError, IndexSchemaError
from ce2de_os.export import canary
from ce2de_os.export.exporter import export
from ce2de_os.index.client import connect
from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.index.metadata import fields_from
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.languages import ANALYZERS, CODES
from ce2de_os.local.servers import LocalServers
from ce2de_os.model.artifact import Artifact
from ce2de_os.records import Query
from ce2de_os.reindex.job import DONE, Job
from ce2de_os.reindex.request import JobRequest, Model
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.status import JobStatus, status
from ce2de_os.search.question import Question
from ce2de_os.search.retrieve import Bm25Retriever
from tests.integration.indexes import HashEncoder, InlineQueue, all_documents, create_index
from tests.integration.jobs import Run, StartWorker

TEXT = TextSpec(("title", "body"))
PASSAGES = TextSpec(TEXT.fields, passages=(30, 15))
SPEC = LanguageSpec(("en", "it", "de"), "lang")
MAPPING = {
    "properties": {
        "title": {"type": "text"},
        "body": {"type": "text"},
        "lang": {"type": "keyword"},
        "year": {"type": "integer"},
    }
}
SOURCES: dict[str, dict[str, Any]] = {
    "en-given": {"title": "Lending", "body": "The libraries lend a book for three weeks.", "lang": "en-GB"},
    "en-found": {"title": "Passports", "body": "You can renew your passport at the town hall every morning."},
    "it-given": {"title": "Prestito", "body": "Le biblioteche prestano i libri per un mese.", "lang": "ita"},
    "it-found": {"title": "Il passaporto", "body": "I passaporti si rinnovano ogni mattina in comune."},
    "de-given": {"title": "Ausleihe", "body": "Bibliotheken verleihen Bücher drei Wochen.", "lang": "DE"},
    "de-found": {"title": "Der Pass", "body": "Reisepässe werden jeden Morgen im Rathaus verlängert."},
    "wrong-code": {"title": "The mill", "body": "The old mill grinds no more corn.", "lang": "klingon"},
    "not-wanted": {"title": "Préstamo", "body": "Las bibliotecas prestan libros.", "lang": "es"},
    "finnish": {"title": "Lainaus", "body": "Kirjastot lainaavat kirjoja kolmeksi viikoksi kerrallaan."},
    "arabic": {"title": "الإعارة", "body": "تعير المكتبات الكتب لمدة ثلاثة أسابيع."},
    "numbers": {"title": "4711", "body": "0815 1234 5678"},
    "mixed": {"title": "日本語 2024", "body": "The Japanese word 図書館 means a library that lends books."},
    "no-text": {"year": 1999, "lang": "it"},
}
LANGUAGES = {
    "en-given": "en", "en-found": "en", "it-given": "it", "it-found": "it", "de-given": "de",
    "de-found": "de", "wrong-code": "en", "not-wanted": "other", "finnish": "other", "arabic": "other",
    "numbers": "other", "mixed": "en", "no-text": None,
}  # fmt: skip


def save_student(run: Path) -> Path:
    """A random student of two layers with a tokenizer that knows the letters of every text here."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel

    from ce2de_os.student import StudentModel

    texts = [TEXT.text_of(source) for source in SOURCES.values()] + list(canary.texts_for(SPEC.codes))
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=256,
    )  # fmt: skip
    StudentModel(BertModel(config, add_pooling_layer=False), 16, "all").save(run)
    tokenizer.save(str(run / "tokenizer.json"))
    (run / "sample.json").write_text(json.dumps(texts))
    recipe = {
        "teacher": "tiny",
        "layers": [0, 2],
        "texts": {},
        "space": "5" * 64,
        "languages": list(SPEC.codes),
    }
    (run / "recipe.json").write_text(json.dumps(recipe))
    return run


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("languages")
    made, _ = export(save_student(folder / "student"), folder / "model")
    return made


@pytest.fixture(scope="module")
def encoder(artifact: Artifact) -> OnnxEncoder:
    return OnnxEncoder(artifact)


def fill(client: OpenSearch, name: str, **settings: Any) -> None:
    sources = ({"_id": doc_id, **source} for doc_id, source in SOURCES.items())
    create_index(client, name, sources, MAPPING, **settings)


def reindex(
    client: OpenSearch, source: str, encoder: Any, model: Model | None = None, **request: Any
) -> JobStatus:
    queue = InlineQueue()
    asked = JobRequest(source, **{"text": TEXT, "alias": f"{source}-search", "languages": SPEC, **request})
    job = start(client, asked, model or encoder, queue)
    queue.run(client, encoder)
    queue.follow(client, encoder)  # a job that is done goes on as a standing job
    found = status(client, job.job_id)
    assert found.job.state == DONE, (found.job.error, found.errors)
    return found


@pytest.fixture(scope="module")
def shared(servers: LocalServers) -> Iterator[OpenSearch]:
    endpoints = servers.endpoints() or servers.up()
    with connect(OpenSearchSettings(url=endpoints.opensearch_url)) as opensearch:
        yield opensearch


@pytest.fixture(scope="module")
def library(shared: OpenSearch, artifact: Artifact, encoder: OnnxEncoder) -> Iterator[Job]:
    """The documents above in two shards, ready to be searched."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    fill(shared, name, number_of_shards=2)
    yield reindex(shared, name, encoder, artifact).job
    shared.indices.delete(index=f"{name}*")


def language_fields(source: Mapping[str, Any]) -> tuple[str | None, dict[str, str]]:
    texts = source.get("ce2de_vector_text") or {}
    there = {name: text for name, text in texts.items() if text is not None}
    return source.get("ce2de_vector_language"), there


def assert_in_its_language(source: Mapping[str, Any], language: str | None) -> None:
    assert language_fields(source) == (language, {language: TEXT.text_of(source)} if language else {})


def ids(hits: Any) -> list[str]:
    return [hit.doc_id for hit in hits]


def test_the_whole_way_by_the_command_line(
    client: OpenSearch, index_name: str, artifact: Artifact, ce2de: Run, start_worker: StartWorker
) -> None:
    model = {"CE2DE_ARTIFACT": str(artifact.folder)}
    # Two for Italian and two for German, which every worker replays.
    assert len(artifact.canaries()[0]) == len(canary.TEXTS) + 2 * 2
    fill(client, index_name)
    flags = ("--text-fields", "title,body", "--languages", "en,ITA,de-DE", "--language-field", "lang")
    planned = json.loads(ce2de("plan", index_name, *flags, "--json", **model).stdout)
    assert planned["sample"]["languages"] == {"en": 4, "other": 4, "it": 2, "de": 2}
    assert 0 < planned["disk"]["texts_bytes"] < planned["disk"]["documents_bytes"]
    start_worker(**model)
    done = ce2de("reindex", "start", index_name, *flags, "--alias", f"{index_name}-s", "--json", **model)
    assert done.returncode == 0, done.stderr
    assert "was made for" not in done.stderr
    job = json.loads(done.stdout)
    assert (job["counts"]["other_languages"], job["counts"]["unknown_languages"]) == (4, 1)
    assert job["report"]["languages"] == {"en": 4, "other": 4, "it": 2, "de": 2}
    assert job["report"]["agreement"] == 1.0
    (target,) = (part["target"] for part in job["parts"])
    found = all_documents(client, target)
    for doc_id, language in LANGUAGES.items():
        assert_in_its_language(found[doc_id], language)
    (described,) = fields_from(client.indices.get_mapping(index=target)[target]["mappings"])
    assert described.fingerprint == artifact.fingerprint
    assert (described.languages, described.language_from) == (("en", "it", "de"), "lang")
    told = ce2de("reindex", "status", job["job_id"]).stdout
    assert "languages: en 4, other 4, de 2, it 2; 1 with an unknown language" in told
    asked = ("search", f"{index_name}-s", "libro", "--language", "it", "--json")
    hits = json.loads(ce2de(*asked, **model).stdout)["hits"]
    assert {hit["doc_id"] for hit in hits} == {"it-given", "it-found"}


@pytest.mark.parametrize(
    ("words", "best"),
    [
        ("library", "en-given"),  # libraries
        ("passports", "en-found"),  # passport
        ("biblioteca", "it-given"),  # biblioteche
        ("passaporto", "it-found"),
        ("Bibliothek", "de-given"),  # Bibliotheken
        ("Reisepass verlängern", "de-found"),  # Reisepässe werden verlängert
        ("Bücher", "de-given"),
        ("kirjoja", "finnish"),
        ("المكتبات", "arabic"),
        ("4711", "numbers"),
        ("図書館", "mixed"),
    ],
)
def test_words_are_found_by_the_stems_of_the_document_s_language(
    shared: OpenSearch, library: Job, words: str, best: str
) -> None:
    assert library.alias
    assert ids(HybridSearcher(shared, library.alias).search(words, mode="bm25"))[0] == best


def test_the_source_s_own_analyzer_would_not_find_them(shared: OpenSearch, library: Job) -> None:
    searcher = HybridSearcher(shared, str(library.alias), mode="bm25")
    assert ids(searcher.search("biblioteca")) == ["it-given"]
    assert ids(searcher.search("biblioteca", fields=("title", "body"))) == []
    assert ids(searcher.search("x", lexical={"term": {"lang": "DE"}})) == ["de-given"]


@pytest.mark.parametrize("strategy", ["pipeline", "client"])
@pytest.mark.parametrize("fusion", ["min_max", "l2", "z_score", "rrf"])
def test_a_language_restricts_both_legs(
    shared: OpenSearch, library: Job, encoder: OnnxEncoder, strategy: Any, fusion: Any
) -> None:
    searcher = HybridSearcher(shared, str(library.alias), encoder, strategy=strategy, fusion=fusion)
    everything = set(ids(searcher.search("biblioteca", top_k=20)))
    assert everything == {doc_id for doc_id, language in LANGUAGES.items() if language}
    for language, wanted in (("it-IT", "it"), ("deu", "de"), ("other", "other")):
        hits = searcher.search("biblioteca", top_k=20, language=language)
        assert set(ids(hits)) == {doc_id for doc_id, own in LANGUAGES.items() if own == wanted}
    assert ids(searcher.search("passaporti rinnovati", language="it", mode="bm25")) == ["it-found"]


def test_several_questions_and_the_async_searcher_agree(
    shared: OpenSearch, library: Job, encoder: OnnxEncoder, endpoints: Any
) -> None:
    asked = [Question("library book"), Question("libro", language="it"), Question("Buch", mode="bm25")]
    several = HybridSearcher(shared, str(library.alias), encoder).search_many(asked)

    async def ask() -> list[Any]:
        async with AsyncOpenSearch(endpoints.opensearch_url) as client:
            return await AsyncHybridSearcher(client, str(library.alias), encoder).search_many(asked)

    assert [ids(one) for one in several] == [ids(one) for one in asyncio.run(ask())]
    assert ids(several[0])[0] in {"en-given", "mixed"}
    assert set(ids(several[1])) == {"it-given", "it-found"}
    assert ids(several[2]) == ["de-given"]


def test_hits_do_not_repeat_the_text_unless_it_is_asked_for(
    shared: OpenSearch, library: Job, encoder: OnnxEncoder
) -> None:
    searcher = HybridSearcher(shared, str(library.alias), encoder, language="it", dense_weight=0)
    assert set(searcher.search("libro")[0].source) == {"title", "body", "lang"}
    named = searcher.search("libro", source=["title", "ce2de_vector_language", "ce2de_vector_text.it"])
    assert language_fields(named[0].source)[0] == "it"
    assert set(language_fields(named[0].source)[1]) == {"it"}
    assert "body" not in named[0].source
    cut = searcher.search("libro", source={"excludes": ["title"]})
    assert set(cut[0].source) == {"body", "lang"}


def test_highlights_in_the_fields_that_the_text_was_made_of(shared: OpenSearch, library: Job) -> None:
    searcher = HybridSearcher(shared, str(library.alias), mode="bm25")
    (hit,) = searcher.search("mese biblioteca", highlight=["body", "ce2de_vector_text.it"])
    assert "<em>mese</em>" in str(hit.highlight["body"])
    assert "<em>biblioteche</em>" in str(hit.highlight["ce2de_vector_text.it"])


def test_a_language_that_the_index_lacks_is_named(shared: OpenSearch, library: Job) -> None:
    searcher = HybridSearcher(shared, str(library.alias), mode="bm25")
    with pytest.raises(IndexSchemaError, match=r"known to be in 'es', only in: en, it, de, other"):
        searcher.search("biblioteca", language="spa")
    with pytest.raises(IndexSchemaError, match=r"known to be in 'it', only in: none"):
        HybridSearcher(shared, library.source, mode="bm25").search("biblioteca", language="it")
    with pytest.raises(ConfigError, match=r"language: got 'klingon', expected a code such as en"):
        searcher.search("biblioteca", language="klingon")


def test_candidates_for_training_are_found_the_same_way(shared: OpenSearch, library: Job) -> None:
    retriever = Bm25Retriever(shared, str(library.alias))
    assert retriever.fields[-1] == "ce2de_vector_text.other"
    found = retriever([Query("1", "biblioteca"), Query("2", "kirjoja")], 5)
    assert [[one.doc_id for one in found[key]] for key in ("1", "2")] == [["it-given"], ["finnish"]]


def test_in_place_documents_change_their_language_and_lose_their_text(
    client: OpenSearch, index_name: str
) -> None:
    fill(client, index_name, **{"index.knn": True})
    encoder = HashEncoder()
    first = reindex(client, index_name, encoder, alias=None)
    assert first.job.mode == "in_place"
    assert first.job.report
    assert first.job.report["languages"] == {"en": 4, "other": 4, "it": 2, "de": 2}
    client.index(index=index_name, id="it-given", body={"title": "Now it is an English text about the sea"})
    client.update(index=index_name, id="en-given", body={"doc": {"lang": "it"}})  # the same text
    client.update(index=index_name, id="de-given", body={"doc": {"title": None, "body": "  "}}, refresh=True)
    second = reindex(client, index_name, encoder, alias=None)
    assert second.job.job_id == first.job.job_id
    expected = {**LANGUAGES, "it-given": "en", "en-given": "it", "de-given": None}
    for doc_id, source in all_documents(client, index_name).items():
        assert_in_its_language(source, expected[doc_id])
        assert (source.get("ce2de_vector") is None) == (expected[doc_id] is None)
    searcher = HybridSearcher(client, index_name, mode="bm25")
    assert "de-given" not in ids(searcher.search("Bücher Bibliotheken"))
    with pytest.raises(ConfigError, match=r"already, in the languages en,it,de, read from lang"):
        reindex(client, index_name, encoder, alias=None, languages=LanguageSpec(("en", "fr")))
    before = client.indices.stats(index=index_name)["_all"]["primaries"]["indexing"]["index_total"]
    reindex(client, index_name, encoder, alias=None)
    after = client.indices.stats(index=index_name)["_all"]["primaries"]["indexing"]["index_total"]
    assert after == before, "nothing is written twice"


def test_a_copy_follows_its_source_and_takes_no_other_languages(client: OpenSearch, index_name: str) -> None:
    fill(client, index_name)
    encoder = HashEncoder()
    first = reindex(client, index_name, encoder)
    in_passages = reindex(
        client,
        index_name,
        encoder,
        text=PASSAGES,
        target=f"{index_name}-passages",
        alias=f"{index_name}-passages-search",
    )
    found = all_documents(client, in_passages.job.target)
    for doc_id, language in LANGUAGES.items():
        assert_in_its_language(found[doc_id], language)
    client.index(index=index_name, id="it-found", body={"title": "Am Hafen liegt ein Schiff aus Holz."})
    client.index(index=index_name, id="finnish", body={"body": ""}, refresh=True)
    second = reindex(client, index_name, encoder)
    assert second.job.job_id == first.job.job_id
    found = all_documents(client, second.job.target)
    for doc_id, language in {**LANGUAGES, "it-found": "de", "finnish": None}.items():
        assert_in_its_language(found[doc_id], language)
    for other in (None, LanguageSpec(("en", "it", "de")), LanguageSpec(("en", "it"), "lang")):
        with pytest.raises(ConfigError, match=r"languages en,it,de, read from lang; choose another `target`"):
            reindex(client, index_name, encoder, languages=other)
    spanish, plain = f"{index_name}-es", f"{index_name}-plain"
    third = reindex(client, index_name, encoder, languages=LanguageSpec(("es",), "lang"), target=spanish)
    assert third.job.job_id != first.job.job_id
    assert all_documents(client, spanish)["not-wanted"]["ce2de_vector_language"] == "es"
    # A copy of the copy leaves the first one's fields behind.
    reindex(client, spanish, HashEncoder("b" * 64), languages=None, target=plain)
    copied = client.indices.get(index=plain)[plain]["mappings"]["properties"]
    ours = {"ce2de_vector", "ce2de_vector_hash", "ce2de_vector_origin"}
    assert copied.keys() == {*MAPPING["properties"], *ours}
    assert all_documents(client, plain)["not-wanted"].keys() == copied.keys() - {"year"}


def test_a_language_field_that_is_not_there_is_named(client: OpenSearch, index_name: str) -> None:
    fill(client, index_name)
    with pytest.raises(DataError, match="has no field 'sprache'"):
        reindex(client, index_name, HashEncoder(), languages=LanguageSpec(("en",), "sprache"))


def test_opensearch_has_every_analyzer(client: OpenSearch, index_name: str) -> None:
    spec = LanguageSpec(CODES)
    client.indices.create(index=index_name, body={"mappings": {"properties": spec.properties("v")}})
    mapped = client.indices.get_mapping(index=index_name)[index_name]["mappings"]["properties"]
    fields = mapped["v_text"]["properties"]
    assert {code: fields[code]["analyzer"] for code in ANALYZERS} == ANALYZERS
    assert set(fields) == {*CODES, "other"}
    long = {"v_text": {code: "x" * 100_000 + " 12 الكتب 図書館 หนังสือ" for code in (*CODES, "other")}}
    answer = client.index(index=index_name, id="1", body=long, params={"refresh": "true"})
    assert answer["result"] == "created"
