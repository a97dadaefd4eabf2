"""Two evaluations against each other: their tests, and the rows on which they differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.comparing.pairings import both, count_kinds, pair, rows_of
from pipelines.schema import InputError
from pipelines.scoring.significance import compare_columns, holm, in_words, mcnemar
from tests.evaluation_runs import PROMPT, REFUSAL, RESPONSE, evaluation

AEGIS, HARM, REFUSED = (
    ("AegisSafetyTest", PROMPT),
    ("HarmBenchResponse", RESPONSE),
    ("XSTestResponseRefusal", REFUSAL),
)


def test_each_benchmark_and_all_together(tmp_path: Path) -> None:
    a = evaluation(
        tmp_path / "a", "a", {AEGIS: "TTTTmmmttttfff", HARM: "TTmtf", REFUSED: "TTTTTTtt"}
    )
    b = evaluation(
        tmp_path / "b", "b", {AEGIS: "TTTTTTTttttttt", HARM: "TmTtt", REFUSED: "mTTTTTtt"}
    )
    found = pair(a, b, "f1")
    assert [one.benchmark for one in found.tests] == [name for name, _ in (AEGIS, HARM, REFUSED)]
    first = found.tests[0].paired
    assert first == compare_columns(a.columns()[AEGIS[0]], b.columns()[AEGIS[0]], metric="f1")
    assert (first.only_a_right, first.only_b_right) == (0, 6)
    p_values = [one.paired.p_value for one in found.tests]
    assert [one.adjusted for one in found.tests] == holm(p_values)
    whole = found.overall
    assert whole is not None
    assert (whole.rows, whole.only_a_right, whole.only_b_right) == (27, 2, 8)
    assert whole.p_value == mcnemar(2, 8)
    # The mean of three tasks.
    assert whole.a == pytest.approx((8 / 14 + 4 / 6 + 1) / 3)
    assert whole.difference == pytest.approx((whole.b or 0) - (whole.a or 0))
    assert whole.interval is not None


def test_all_together_looks_at_the_rows_that_its_parts_do(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a", "a", {AEGIS: "TTmt", HARM: "TTfff"})
    b = evaluation(tmp_path / "b", "b", {AEGIS: "TTmf", HARM: "TTttt"})
    whole = pair(a, b, "recall").overall
    assert whole is not None
    assert (whole.rows, whole.looked_at) == (9, 5)
    assert in_words(whole, "a", "b").startswith("Of the 5 positive rows a and b get the same ones")


def test_samples_weigh_as_their_whole_benchmarks(tmp_path: Path) -> None:
    simple, whole = (
        ("SimpleSafetyTests", PROMPT),
        {"AegisSafetyTest": 900, "SimpleSafetyTests": 100},
    )
    a = evaluation(tmp_path / "a", "a", {AEGIS: "TTmm", simple: "TTTT"}, of_rows=whole)
    b = evaluation(tmp_path / "b", "b", {AEGIS: "TTTT", simple: "TTmm"}, of_rows=whole)
    told = pair(a, b, "recall").overall
    assert told is not None
    assert (told.a, told.b) == (pytest.approx(0.55), pytest.approx(0.95))
    assert told.difference == pytest.approx(0.4)


def test_what_only_one_has_is_told_and_not_tested(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a", "a", {AEGIS: "TTmt", HARM: "Tt"})
    b = evaluation(tmp_path / "b", "b", {AEGIS: "TmTt"})
    found = pair(a, b, "f1")
    assert found.apart == (HARM[0],)
    assert len(found.tests) == 1
    assert found.overall is None


def test_other_gold_labels_or_other_rows_are_a_fault(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a", "a", {AEGIS: "TTmt", HARM: "Tt"})
    other = evaluation(tmp_path / "b", "b", {AEGIS: "ttmt", HARM: "Tt"})
    found = pair(a, other, "f1")
    assert [one.benchmark for one in found.tests] == [HARM[0]]
    assert "different gold labels" in found.faults[0]
    apart = evaluation(tmp_path / "c", "c", {AEGIS: "TTmt"}, start=50)
    assert "none" in pair(a, apart, "f1").faults[0]


def test_rows_of_each_kind(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a", "a", {AEGIS: "TTm?tf!", HARM: "Tf"})
    b = evaluation(tmp_path / "b", "b", {AEGIS: "TmTmttf", HARM: "mf"})
    assert count_kinds(a, b) == {"a_right": 2, "b_right": 2, "both_wrong": 3, "failures": 2}
    assert rows_of(a, b, "a_right") == [(AEGIS[0], 1), (HARM[0], 0)]
    assert rows_of(a, b, "a_right", HARM[0]) == [(HARM[0], 0)]
    assert rows_of(a, b, "failures") == [(AEGIS[0], 3), (AEGIS[0], 6)]
    row = both(a, b, AEGIS[0], 3)
    assert (row.row_id, row.gold, row.said_a, row.said_b) == ("AegisSafetyTest:3", True, -1, 0)
    assert row.category == "fraud"
    assert a.rows([row.place_a])[0].prompt == b.rows([row.place_b])[0].prompt
    with pytest.raises(InputError, match="kind=odd: must be one of a_right"):
        rows_of(a, b, "odd")
    with pytest.raises(InputError, match="row=AegisSafetyTest:99"):
        both(a, b, AEGIS[0], 99)


def test_a_sample_is_paired_by_row_not_by_place(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a", "a", {HARM: "TTTTTtttt"})
    b = evaluation(tmp_path / "b", "b", {HARM: "mmtt"}, start=3)
    assert pair(a, b, "f1").tests[0].paired.rows == 4
    row = both(a, b, HARM[0], 1)
    assert (row.row_id, row.place_a, row.place_b) == ("HarmBenchResponse:4", 4, 1)
