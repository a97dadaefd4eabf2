"""The benchmarks by name, and telling their rows by their names."""

import json

import pytest

from pipelines.benchmarks import BENCHMARKS, PAPER, benchmark_rows, benchmark_warning
from pipelines.schema import GuardTask


def test_the_papers_thirteen_stand_first():
    assert len(PAPER) == 13
    assert tuple(BENCHMARKS)[:13] == PAPER
    assert {name: one.name for name, one in BENCHMARKS.items()} == {
        name: name for name in BENCHMARKS
    }


def test_each_task_has_its_benchmarks():
    tasks = {task: [name for name in PAPER if BENCHMARKS[name].task is task] for task in GuardTask}
    assert [len(names) for names in tasks.values()] == [6, 2, 5]
    wild = {BENCHMARKS[f"WildGuardTest{word}"].task for word in ("Prompt", "Refusal", "Response")}
    assert wild == set(GuardTask)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_says_where_it_is_from(name):
    one = BENCHMARKS[name]
    assert all((one.title, one.paper, one.licence))
    assert len(one.about) > 60
    assert one.hub or one.files
    assert one.published_rows or name not in PAPER


@pytest.mark.parametrize("name", PAPER)
def test_each_is_known_as_a_source_and_as_a_file(name):
    assert benchmark_rows("rows.jsonl", "", ["mine", name]) == [name]
    assert benchmark_rows(f"some/folder/{name}.json", "", ["rows"]) == [name]


@pytest.mark.realdata
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
