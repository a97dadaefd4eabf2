"""Telling rows of a benchmark by their names."""

import json

import pytest

from pipelines.benchmarks import BENCHMARKS, benchmark_rows, benchmark_warning


def test_there_are_thirteen():
    assert len(BENCHMARKS) == 13


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_is_known_as_a_source_and_as_a_file(name):
    assert benchmark_rows("rows.jsonl", "", ["mine", name]) == [name]
    assert benchmark_rows(f"some/folder/{name}.json", "", ["rows"]) == [name]


def test_all_published_names_are_known(realdata):
    """The keys of the published scores, such as WildGuardTest/prompt."""
    scores = json.loads((realdata / "expected_scores.json").read_text())["published"]["1B"]
    names = [name for name in scores if not name.startswith("avg/")]
    assert len(names) == 13
    assert benchmark_rows("rows.jsonl", "", names) == sorted(names)


@pytest.mark.parametrize(
    ("dataset", "split", "told"),
    [
        ("combined_test.json", "", ["combined_test"]),
        ("traces/heldout.jsonl", "", ["heldout"]),
        ("held-out.csv", "", ["held-out"]),
        ("owner/rows", "test", ["test"]),
        ("owner/rows", "validation", ["validation"]),
        ("allenai/xstest-response", "", ["xstest-response"]),
    ],
)
def test_a_test_split_is_known_by_its_name(dataset, split, told):
    assert benchmark_rows(dataset, split, ["rows"]) == told


@pytest.mark.parametrize(
    ("dataset", "sources"),
    [
        ("yueliu1999/GuardReasonerTrain", ["BeaverTailsTrainR", "ToxicChatTrainR", "AegisTrainR"]),
        ("/tmp/test/benchmarks/rows.jsonl", ["rows"]),
        ("starter", ["starter/everyday"]),
        ("latest.jsonl", ["contest", "attestation"]),
        ("toxicchat_train.parquet", ["toxicchat_train"]),
    ],
)
def test_training_rows_are_not_taken_for_one(dataset, sources):
    assert benchmark_rows(dataset, "train", sources) == []


def test_the_warning_names_them_and_what_follows():
    text = benchmark_warning(["AegisSafetyTest", "SafeRLHF"])
    assert text.startswith("AegisSafetyTest, SafeRLHF: ")
    assert "scores there count for nothing" in text
