"""Merging by hand-made samples: who stays, and what weight it has."""

import pytest

from pipelines.merging import count, merge, union, with_own_ids
from tests.hard_cases import all_wrong, hard


def told(merged):
    return [(one.example.row_id, one.model) for one in merged.samples]


def test_the_first_set_that_has_a_conversation_keeps_it():
    first = [hard("a", model="one"), hard("b", model="one")]
    second = [hard("b", model="two"), hard("c", model="two")]
    assert told(merge([first, second], 0.2)) == [("a", "one"), ("b", "one"), ("c", "two")]
    assert told(merge([second, first], 0.2)) == [("b", "two"), ("c", "two"), ("a", "one")]


def test_another_response_is_another_conversation():
    first, second = [hard("a")], [hard("a2", prompt="How a?", response="Sure.")]
    assert len(merge([first, second], 0.2).samples) == 2


def test_weights_are_spread_before_anything_is_left_out():
    """Model two's range of [-2, 2] is observed with b, which goes: c is not alone in it."""
    first = [hard("b", 2, 2, model="one")]
    second = [
        hard("b", 1, 3, model="two"),
        hard("c", 2, 2, model="two"),
        hard("d", 3, 1, model="two"),
    ]
    merged = merge([first, second], 0.2)
    weights = {one.example.row_id: one.weight for one in merged.samples}
    assert weights == pytest.approx({"b": 1.0, "c": 1.0, "d": 0.8})
    assert merged.ranges == {("one", "s"): (0, 0), ("two", "s"): (-2, 2)}


def test_a_hard_sample_goes_before_one_without_a_pair():
    merged = merge([[all_wrong("a", model="one")], [hard("a", model="two")]], 0.2)
    assert told(merged) == [("a", "two")]
    assert merged.counts == [{"model": "two", "source": "s", "before": 1, "after": 1}]


def test_samples_without_a_pair_stay_where_nothing_better_is():
    merged = merge([[all_wrong("a", model="one")], [all_wrong("a", model="two")]], 0.2)
    assert told(merged) == [("a", "one")]
    assert merged.counts == []


def test_the_counts_are_by_model_and_source():
    before = [
        hard("a", model="one", source="x"),
        hard("b", model="one", source="y"),
        hard("a", model="two", source="x"),
        hard("c", model="two", source="x"),
    ]
    merged = merge([before[:2], before[2:]], 0.2)
    assert merged.counts == [
        {"model": "one", "source": "x", "before": 1, "after": 1},
        {"model": "one", "source": "y", "before": 1, "after": 1},
        {"model": "two", "source": "x", "before": 2, "after": 1},
    ]
    assert count(before, [])[0]["after"] == 0


def test_row_ids_of_different_files_do_not_clash():
    samples = [hard("1"), hard("1", prompt="Else?"), hard("1", prompt="Third?")]
    assert [one.example.row_id for one in with_own_ids(samples)] == ["1", "1#2", "1#3"]
    assert with_own_ids(samples[:1]) == samples[:1]


def test_ranges_are_joined():
    a, b = ("m", "x"), ("m", "y")
    assert union([{a: (-2, 0)}, {a: (0, 2), b: (0, 0)}]) == {a: (-2, 2), b: (0, 0)}
