from __future__ import annotations

import pytest

from ce2de_os.index.carried import carried_over, count_fields, held_back_settings, left_behind, restorable

NONE = {"index.default_pipeline": "_none", "index.final_pipeline": "_none"}


@pytest.mark.parametrize(
    "key",
    [
        "analysis.analyzer.mine.type",
        "similarity.default.type",
        "sort.field",
        "number_of_shards",
        "routing_partition_size",
        "codec",
        "mapping.nested_fields.limit",
        "query.default_field",
        "knn.advanced.approximate_threshold",
        "routing.allocation.require.tier",
    ],
)
def test_what_is_about_documents_and_searches_is_carried_over(key):
    assert carried_over({key: "7"}) == {f"index.{key}": "7"} | NONE


@pytest.mark.parametrize(
    "key",
    [
        "uuid",
        "version.created",
        "blocks.write",
        "archived.index.merge.enabled",
        "remote_store.enabled",
        "store.type",
        "routing.allocation.require._name",
        "plugins.index_state_management.rollover_alias",
        "write.wait_for_active_shards",
        "translog.durability",
        "never_heard_of",
    ],
)
def test_what_belongs_to_one_index_or_is_not_known_stays_behind(key):
    assert carried_over({key: "7"}) == NONE


def test_a_copy_has_no_pipelines_of_its_own():
    assert carried_over({"default_pipeline": "enrich", "final_pipeline": "count"}) == NONE


def test_a_result_window_is_carried_over_only_if_it_is_larger_than_usual():
    assert carried_over({"max_result_window": "50"})["index.max_result_window"] == "50"
    assert carried_over({"max_result_window": "50000"})["index.max_result_window"] == "50000"


def test_the_limit_of_fields_grows_by_what_is_added():
    assert carried_over({}, 4)["index.mapping.total_fields.limit"] == "1004"
    assert carried_over({"mapping.total_fields.limit": "2"}, 4)["index.mapping.total_fields.limit"] == "6"


def test_objects_and_multi_fields_count_as_fields():
    properties = {
        "name": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "origin": {"properties": {"shard": {"type": "integer"}, "seq_no": {"type": "long"}}},
    }
    assert count_fields(properties) == 5


def test_what_is_held_back_comes_back_or_to_its_default():
    restored = held_back_settings(
        {"number_of_replicas": "2", "default_pipeline": "enrich", "write.wait_for_active_shards": "2"}
    )
    assert restored["index.number_of_replicas"] == "2"
    assert restored["index.default_pipeline"] == "enrich"
    assert restored["index.write.wait_for_active_shards"] == "2"
    assert restored["index.refresh_interval"] is None


def test_a_record_may_restore_nothing_else():
    assert restorable({"index.blocks.read_only": True, "index.refresh_interval": "1s"}) == {
        "index.refresh_interval": "1s"
    }


def test_settings_of_a_person_that_stay_behind_are_named():
    source = {"uuid": "u", "version.created": "1", "codec": "zstd", "lifecycle.name": "x", "hidden": "true"}
    assert left_behind(source) == ["hidden", "lifecycle.name"]
