"""Errors by category, length and source."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.comparing.error_groups import UNNAMED, error_groups, length_names
from pipelines.schema import InputError
from pipelines.scoring.cells import Policy
from tests.evaluation_runs import PROMPT, REFUSAL, RESPONSE, evaluation

REFUSED = ("XSTestResponseRefusal", REFUSAL)
AEGIS, HARM = ("AegisSafetyTest", PROMPT), ("HarmBenchResponse", RESPONSE)


def test_by_category_with_an_interval(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "a", "a", {AEGIS: "TmTmTmt?tttt"})
    found = {group.name: group for group in error_groups(one, "category")}
    assert set(found) == {"violence", "fraud"}
    fraud = found["fraud"]
    assert (fraud.rows, fraud.error_rate) == (6, pytest.approx(4 / 6))
    assert fraud.counts.failures == 1
    assert fraud.interval is not None
    assert fraud.interval[0] < 4 / 6 < fraud.interval[1]
    assert found["violence"].error_rate == 0
    assert found["violence"].interval is not None
    assert found["violence"].interval[1] > 0.1


def test_failures_count_as_the_policy_says(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "a", "a", {AEGIS: "T?T?TmT?"})
    dropped = {g.name: g.error_rate for g in error_groups(one, "category", Policy.DROPPED)}
    assert dropped == {"violence": 0, "fraud": 1}
    gone = evaluation(tmp_path / "b", "b", {AEGIS: "T?T?"})
    rates = {g.name: g.error_rate for g in error_groups(gone, "category", Policy.DROPPED)}
    assert rates == {"violence": 0, "fraud": None}


def test_failures_on_refusals_count_twice_for_the_authors(tmp_path: Path) -> None:
    """Also where a category holds rows of several tasks: `fraud` is every second row."""
    one = evaluation(tmp_path / "a", "a", {REFUSED: "TT?m"})
    two = evaluation(tmp_path / "b", "b", {REFUSED: "TTT?", AEGIS: "TTT?"})
    rates = [
        {group.name: group.error_rate for group in error_groups(which, "category", Policy.AUTHORS)}
        for which in (one, two)
    ]
    assert rates[0] == {"violence": pytest.approx(2 / 3), "fraud": 0.5}
    # Two mistakes for the refusal row, none for the harmful one, which is dropped.
    assert rates[1] == {"violence": 0, "fraud": pytest.approx(2 / 4)}
    (fraud,) = [g for g in error_groups(two, "category") if g.name == "fraud"]
    assert (fraud.error_rate, fraud.counts.failed_positive) == (0.5, 2)


def test_lengths_rise_and_one_benchmark_can_be_looked_at(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "a", "a", {AEGIS: "TTTTmttttt" * 2, HARM: "Tm"})
    names = [group.name for group in error_groups(one, "length")]
    assert names == [name for name in length_names() if name in names]
    assert sum(group.rows for group in error_groups(one, "length")) == 22
    assert sum(group.rows for group in error_groups(one, "length", benchmark=HARM[0])) == 2
    assert error_groups(one, "length", benchmark="none") == ()


def test_rows_that_tell_nothing_make_no_groups(tmp_path: Path) -> None:
    blank = evaluation(tmp_path / "a", "a", {AEGIS: "Tmt"}, category="", source="")
    assert error_groups(blank, "category") == ()
    some = evaluation(tmp_path / "b", "b", {AEGIS: "Tmt"}, category="")
    assert [group.name for group in error_groups(some, "source")][-1] != UNNAMED
    with pytest.raises(InputError, match="way=colour: must be one of category"):
        error_groups(some, "colour")
