"""Which of several evaluations a card's metadata takes, and rows that nobody asked."""

from dataclasses import replace

from pipelines.hub_results import eval_results, parse_failures, read_results, results_section
from tests.evaluation_runs import evaluated

A = {"XSTest": ("refusal", "1100", "1100")}
BOTH = {**A, "HarmBench": ("prompt", "1100", "1000")}


def _f1(results):
    return {
        (one.dataset_name, one.dataset_config): one.metric_value
        for one in results
        if one.metric_type == "f1"
    }


def test_of_a_benchmark_asked_twice_the_newest_figure_counts(tmp_path):
    both = evaluated(tmp_path / "1", BOTH).folder
    alone = evaluated(tmp_path / "2", {"XSTest": ("refusal", "1100", "0000")}).folder
    fast = evaluated(tmp_path / "3", A, mode="fast").folder
    again = evaluated(tmp_path / "4", BOTH).folder
    results = read_results([both, alone, fast])
    found = list(eval_results(results))
    assert _f1(found)["XSTest", "reason"] == 0.0
    assert _f1(found)["XSTest", "fast"] == 1.0
    places = [(one.dataset_name, one.dataset_config, one.metric_type) for one in found]
    assert len(places) == len(set(places))
    # What was asked again last stands last, though it was the first kind to be asked.
    assert _f1(eval_results(read_results([both, alone, again])))["XSTest", "reason"] == 1.0


def test_a_benchmark_without_rows_has_no_figures(tmp_path):
    [shown] = read_results([evaluated(tmp_path / "1", BOTH).folder])
    del shown.scored.benchmarks["XSTest"]
    assert set(_f1(eval_results([shown]))) == {("HarmBench", "reason")}
    counts = shown.scored.benchmarks["HarmBench"].counts
    empty = replace(counts, **dict.fromkeys(_numbers(counts), 0))
    shown.scored.benchmarks["HarmBench"] = replace(
        shown.scored.benchmarks["HarmBench"], counts=empty
    )
    assert list(eval_results([shown])) == []
    assert "of 0 answers" in parse_failures(shown)
    assert results_section([shown])


def _numbers(counts):
    return [name for name in counts.__slots__ if isinstance(getattr(counts, name), int)]
