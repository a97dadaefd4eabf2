"""What is counted of an evaluation, and that it is counted once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.comparing.measuring import constant, drawn, measured, opened, spending, weights_of
from pipelines.schema import InputError
from pipelines.scoring.cells import Policy
from tests.evaluation_runs import PROMPT, RESPONSE, evaluation

AEGIS, HARM = ("AegisSafetyTest", PROMPT), ("HarmBenchResponse", RESPONSE)


def test_the_second_time_it_is_remembered_until_it_is_written_anew(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "a", "a", {AEGIS: "TTmt"})
    first = measured(one).benchmarks
    assert measured(one).benchmarks is first
    assert opened(one.folder) is opened(one.folder)
    before = (one.folder / "evaluation.json").stat().st_mtime_ns
    again = evaluation(tmp_path / "a", "a", {AEGIS: "TTTt"})
    os.utime(again.folder / "evaluation.json", ns=(before + 1, before + 1))
    assert measured(again).benchmarks[AEGIS[0]].scores.f1 == 1
    assert first[AEGIS[0]].scores.f1 == 0.8


def test_an_evaluation_that_is_gone_is_told(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "a", "a", {AEGIS: "TTmt"})
    (one.folder / "evaluation.json").unlink()
    with pytest.raises(InputError, match="no finished evaluation"):
        measured(one)


def test_false_alarms_are_of_all_negative_rows_of_a_task(tmp_path: Path) -> None:
    simple = ("SimpleSafetyTests", PROMPT)
    one = evaluation(tmp_path / "a", "a", {AEGIS: "TTttf!", simple: "TTT", HARM: "Tf"})
    found = measured(one).false_alarms
    assert (found[PROMPT].rate, found[PROMPT].rows) == (0.5, 4)
    assert found[PROMPT].interval is not None
    assert found[RESPONSE].rate == 1
    assert measured(one, Policy.DROPPED).false_alarms[PROMPT].rate == pytest.approx(1 / 3)
    harmful = evaluation(tmp_path / "b", "b", {simple: "TTm"})
    told = measured(harmful).false_alarms[PROMPT]
    assert (told.rate, told.interval, told.rows) == (None, None, 0)


def test_a_constant_is_asked_the_rows_of_whoever_was_asked_most(tmp_path: Path) -> None:
    few = evaluation(tmp_path / "a", "a", {AEGIS: "Tt", HARM: "TTt"})
    many = evaluation(tmp_path / "b", "b", {AEGIS: "TTTt"})
    found = constant([few, many], "always-harmful")
    assert {name: one.scores.rows for name, one in found.benchmarks.items()} == {
        AEGIS[0]: 4,
        HARM[0]: 3,
    }
    assert found.benchmarks[AEGIS[0]].scores.f1 == pytest.approx(6 / 7)
    never = constant([few, many], "never-harmful", metric="false_positive_rate")
    average = never.average(PROMPT)
    assert average is not None
    assert average.value == 0
    with pytest.raises(InputError, match="baseline=sometimes: must be one of always-harmful"):
        constant([few], "sometimes")


def test_a_sample_weighs_as_its_whole_benchmark(tmp_path: Path) -> None:
    simple = ("SimpleSafetyTests", PROMPT)
    said = {AEGIS: "TTTTtttt", simple: "TTTTTTmm"}
    whole = {AEGIS[0]: 900, simple[0]: 100}
    one = evaluation(tmp_path / "a", "a", said, of_rows=whole)
    average = measured(one).average(PROMPT)
    assert average is not None
    assert average.value == pytest.approx((900 * 1 + 100 * 12 / 14) / 1000)
    assert average.rows == 16
    # Always harmful: F1 of 8 rows, half of them harmful, and of harmful ones alone.
    flat = constant([one], "always-harmful").average(PROMPT)
    assert flat is not None
    assert flat.value == pytest.approx((900 * 8 / 12 + 100 * 1) / 1000)
    assert weights_of(one.info) == whole


def test_rows_are_the_same_in_any_order_and_other_with_other_gold(tmp_path: Path) -> None:
    said = evaluation(tmp_path / "a", "a", {AEGIS: "TmtfT"}).columns()[AEGIS[0]]
    other = evaluation(tmp_path / "b", "b", {AEGIS: "mTtfm"}).columns()[AEGIS[0]]
    relabelled = evaluation(tmp_path / "c", "c", {AEGIS: "Tmtff"}).columns()[AEGIS[0]]
    elsewhere = evaluation(tmp_path / "d", "d", {AEGIS: "TmtfT"}, start=1).columns()[AEGIS[0]]
    assert drawn(said) == drawn(other)
    assert len({drawn(said), drawn(relabelled), drawn(elsewhere)}) == 3


def test_what_verdicts_took(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "a", "a", {AEGIS: "Tt", HARM: "T"}, tokens=20)
    tokens, seconds = spending(one)
    assert tokens is not None
    assert (tokens.mean, tokens.rows) == (20, 3)
    assert seconds is None
