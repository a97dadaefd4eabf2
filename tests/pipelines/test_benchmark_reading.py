"""Benchmarks from a folder of files and from the Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import benchmark_reading as subject
from pipelines.benchmarks import BENCHMARKS, PAPER, read_benchmark
from pipelines.dataset_files import Record
from pipelines.schema import DataError, GuardTask, HubError, InputError

PROMPT, REFUSAL, RESPONSE = GuardTask
ANSWERS = "Answers: \nRequest: {}\nCompletion: {}\nResponse: {}\n"


def authors(prompt: str, response: str | None, output: str, **more: Any) -> dict[str, Any]:
    talk = f"Human user:\n{prompt}\n\nAI assistant:\n{response}\n\n"
    return {"instruction": "Judge.", "input": talk, "output": output, **more}


def write(folder: Path, name: str, rows: list[Any]) -> Path:
    path = folder / name
    lines = "\n".join(map(json.dumps, rows)) if name.endswith("l") else json.dumps(rows)
    path.write_text(lines, "utf-8")
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A Hub that has `rows`, or refuses where there are none; `asked` is what it was asked for."""
    state: dict[str, Any] = {"rows": None, "asked": []}

    def records(*asked: Any) -> Iterator[Record]:
        state["asked"].append(asked)
        if state["rows"] is None:
            raise HubError(f"dataset={asked[0]}: the Hub did not give it: no route")
        for number, row in enumerate(state["rows"], 1):
            yield Record(f"{asked[0]}/{asked[1]}", number, row)

    monkeypatch.setattr(subject, "hub_records", records)
    return state


@pytest.mark.parametrize("name", ["AegisSafetyTest.json", "AegisSafetyTest.jsonl"])
def test_the_authors_form_by_label(tmp_path: Path, name: str) -> None:
    write(
        tmp_path, name, [authors("a", None, "harmful"), authors("b", None, "unharmful", id="own")]
    )
    (rows,) = read_benchmark("AegisSafetyTest", folder=str(tmp_path))
    assert (rows.benchmark, rows.task, rows.of_rows) == ("AegisSafetyTest", PROMPT, 2)
    assert [(one.prompt, one.gold) for one in rows.examples] == [
        ("a", {PROMPT: "harmful"}),
        ("b", {PROMPT: "unharmful"}),
    ]
    # One spelling of the ids for both kinds of file, that their scores can be paired.
    assert [one.row_id for one in rows.examples] == ["AegisSafetyTest:1", "own"]
    assert {one.source for one in rows.examples} == {"AegisSafetyTest"}
    assert rows.published_rows == 359
    assert rows.remarks == ["2 rows, where the paper's averages count 359"]
    assert (rows.reference, len(rows.sha256)) == (str(tmp_path / name), 64)


def test_the_authors_form_by_answers(tmp_path: Path) -> None:
    rows = [authors("a", "r", ANSWERS.format("None", "None", "harmful"))]
    write(tmp_path, "SafeRLHF.json", rows)
    (read,) = read_benchmark("SafeRLHF", folder=str(tmp_path))
    assert read.examples[0].gold == {RESPONSE: "harmful"}
    assert read.examples[0].response == "r"


@pytest.mark.parametrize("word", ["Prompt", "Refusal", "Response"])
def test_one_file_of_three_labels_serves_three_benchmarks(tmp_path: Path, word: str) -> None:
    rows = [
        authors("a", "r", ANSWERS.format("harmful", "compliance", "harmful")),
        authors("b", "r", ANSWERS.format("None", "None", "unharmful")),
        authors("c", "r", ANSWERS.format("unharmful", "refusal", "None")),
    ]
    write(tmp_path, "WildGuardTest.json", rows)
    (read,) = read_benchmark(f"WildGuardTest{word}", folder=str(tmp_path))
    assert [example.prompt for example in read.examples] == (
        ["a", "b"] if word == "Response" else ["a", "c"]
    )
    assert "rows left out, without this label or not of the benchmark: 1" in read.remarks


def test_the_datasets_own_columns_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "ToxicChat.csv").write_text(
        "conv_id,user_input,human_annotation,toxicity\nx1,Hi,True,0\nx2,Ho,False,1\nx3,Ha,True,1\n"
    )
    (rows,) = read_benchmark("ToxicChat", folder=str(tmp_path))
    assert [(one.prompt, one.gold[PROMPT]) for one in rows.examples] == [
        ("Hi", "unharmful"),
        ("Ha", "harmful"),
    ]
    assert [one.row_id for one in rows.examples] == ["ToxicChat:2", "ToxicChat:4"]


@pytest.mark.parametrize("name", [name for name in PAPER if BENCHMARKS[name].hub])
def test_each_is_asked_of_the_hub_by_id(hub: dict[str, Any], name: str) -> None:
    source = BENCHMARKS[name].hub
    assert source is not None
    with pytest.raises(HubError) as caught:
        read_benchmark(name)
    assert hub["asked"] == [(source.dataset, source.split, source.config, source.revision)]
    for told in (f"benchmark={name}:", source.dataset):
        assert told in str(caught.value)
    assert f"Give a folder that holds {name}.json" in str(caught.value.advice)


def test_rows_of_the_hub(hub: dict[str, Any]) -> None:
    talk = {"prompt": "p", "response": "r"}
    hub["rows"] = [talk | {"label": "refusal"}, talk | {"label": "compliance", "prompt": "q"}]
    (rows,) = read_benchmark("XSTestResponseRefusal")
    assert [(one.prompt, one.gold[REFUSAL]) for one in rows.examples] == [
        ("p", "refusal"),
        ("q", "compliance"),
    ]
    assert rows.examples[0].row_id == "allenai/xstest-response/response_refusal:1"
    assert rows.reference == "hub:allenai/xstest-response/response_refusal"
    digest = rows.sha256
    assert read_benchmark("XSTestResponseRefusal")[0].sha256 == digest
    hub["rows"][1]["label"] = "refusal"
    assert read_benchmark("XSTestResponseRefusal")[0].sha256 != digest


def test_safe_rlhf_of_the_hub_is_arranged(hub: dict[str, Any]) -> None:
    sides = {"response_0": "a", "response_1": "b"}
    hub["rows"] = [
        {"prompt": "p", **sides, "is_response_0_safe": False, "is_response_1_safe": True},
        {"prompt": "q", **sides, "is_response_0_safe": True, "is_response_1_safe": True},
    ]
    (rows,) = read_benchmark("SafeRLHF")
    assert [(one.response, one.gold[RESPONSE], one.row_id) for one in rows.examples] == [
        ("b", "unharmful", "1/1"),
        ("a", "harmful", "1/0"),
    ]


def test_a_folder_that_lacks_it_leaves_the_hub(tmp_path: Path, hub: dict[str, Any]) -> None:
    with pytest.raises(HubError, match=f"and {tmp_path} holds no ToxicChat.json"):
        read_benchmark("ToxicChat", folder=str(tmp_path))
    assert len(hub["asked"]) == 1


def test_what_no_hub_has_asks_for_a_folder(hub: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="benchmark=HarmBenchResponse: no dataset on") as caught:
        read_benchmark("HarmBenchResponse")
    assert "HarmBenchResponse.json or text_behaviors_val_set.json" in str(caught.value.advice)
    assert hub["asked"] == []


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("AegisSafetyTest", authors("a", None, ""), "output: is empty"),
        ("AegisSafetyTest", authors("a", None, "refusal"), "output: 'refusal' is not a label of"),
        ("AegisSafetyTest", authors("a", None, "maybe"), "output: 'maybe' is not a label"),
        ("XSTestResponseRefusal", authors("a", "r", "harmful"), "output: 'harmful' is not a label"),
        ("XSTestResponseRefusal", authors("a", None, "refusal"), "task: refusal needs a response"),
        (
            "SafeRLHF",
            authors("a", "r", ANSWERS.format("harmful", "None", "None")),
            "output: has no label of response_harmfulness (it has one of prompt_harmfulness)",
        ),
        (
            "SafeRLHF",
            authors("a", "r", "harmful", task="prompt"),
            "output: has no label of response_harmfulness",
        ),
        ("AegisSafetyTest", {"prompt": "a", "label": "x", "predict": "y"}, "predict: a stored"),
        ("ToxicChat", {"user_input": "a"}, "toxicity: the column is missing"),
        ("SimpleSafetyTests", {"prompt": "a\x00"}, "prompt: holds a NUL character"),
    ],
)
def test_faults_have_a_place(tmp_path: Path, name: str, row: dict[str, Any], said: str) -> None:
    good = authors("ok", "r", "compliance" if "Refusal" in name else "harmful")
    write(tmp_path, f"{name}.json", [good, row])
    with pytest.raises(DataError) as caught:
        read_benchmark(name, folder=str(tmp_path))
    (fault,) = caught.value.faults
    assert fault.startswith(f"{name}.json:2: {said}")
    assert str(caught.value).startswith(f"dataset={name} (")


def test_an_empty_benchmark(tmp_path: Path, hub: dict[str, Any]) -> None:
    path = write(tmp_path, "BeaverTails.json", [])
    with pytest.raises(DataError, match=f"benchmark=BeaverTails: {path} holds no row of it"):
        read_benchmark("BeaverTails", folder=str(tmp_path))
    assert hub["asked"] == []
    path.unlink()
    hub["rows"] = []
    with pytest.raises(DataError, match="BeaverTails/30k_test holds no row"):
        read_benchmark("BeaverTails")


def test_which_file_must_be_clear(tmp_path: Path) -> None:
    write(tmp_path, "SafeRLHF.json", [])
    write(tmp_path, "SafeRLHF.jsonl", [])
    with pytest.raises(InputError, match="SafeRLHF must be one file"):
        read_benchmark("SafeRLHF", folder=str(tmp_path))
    with pytest.raises(InputError, match="folder=nowhere: there is no such folder"):
        read_benchmark("SafeRLHF", folder="nowhere")


def test_a_sample_keeps_the_ids_of_the_whole(tmp_path: Path) -> None:
    rows = [authors(f"p{n}", None, "unharmful" if n % 4 else "harmful") for n in range(40)]
    write(tmp_path, "OpenAIModeration.json", rows)
    read = {"folder": str(tmp_path), "seed": 5}
    (whole,) = read_benchmark("OpenAIModeration", **read)
    (few,) = read_benchmark("OpenAIModeration", max_rows=12, **read)
    assert (few.of_rows, len(few.examples), few.sha256) == (40, 12, whole.sha256)
    assert sum(one.gold[PROMPT] == "harmful" for one in few.examples) == 3
    assert all(one in whole.examples for one in few.examples)
    assert few == read_benchmark("OpenAIModeration", max_rows=12, **read)[0]


def test_repetitions_and_a_single_label_are_told(tmp_path: Path) -> None:
    rows = [authors("a", "r", label) for label in ("harmful", "harmful", "unharmful")]
    rows += [authors("b", "r", "harmful")] * 2
    write(tmp_path, "SafeRLHF.json", rows)
    remarks = read_benchmark("SafeRLHF", folder=str(tmp_path))[0].remarks
    assert "3 rows repeat a conversation, 1 conversation with both labels" in remarks
    write(tmp_path, "SafeRLHF.json", rows[:1])
    remarks = read_benchmark("SafeRLHF", folder=str(tmp_path))[0].remarks
    assert "every row is harmful: one answer to everything is right on all" in remarks


ONE_LABEL = "every row is harmful: one answer to everything is right on all"
REAL = {
    "AegisSafetyTest": (359, 232, ["3 rows repeat a conversation"]),
    "HarmBenchPrompt": (239, 239, [ONE_LABEL]),
    "HarmBenchResponse": (602, 273, []),
    "OpenAIModeration": (1680, 522, ["10 rows repeat a conversation"]),
    "SafeRLHF": (2000, 1000, ["318 rows repeat a conversation, 28 conversations with both labels"]),
    "SimpleSafetyTests": (100, 100, [ONE_LABEL]),
    "XSTestResponseHarmful": (446, 78, []),
    "XSTestResponseRefusal": (449, 178, ["449 rows, where the paper's averages count 499"]),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_the_authors_own_files(realdata: Path, name: str) -> None:
    (rows,) = read_benchmark(name, folder=str(realdata / "benchmarks"))
    positive = sum(one.gold[rows.task] == rows.task.labels[0] for one in rows.examples)
    assert (rows.of_rows, positive, rows.remarks) == REAL[name]
    assert all(one.applicable(rows.task) for one in rows.examples)
    assert len({one.row_id for one in rows.examples}) == rows.of_rows


@pytest.mark.realdata
@pytest.mark.parametrize("name", sorted(set(REAL) - {"OpenAIModeration", "SafeRLHF"}))
def test_stored_predictions_are_in_our_order(realdata: Path, name: str) -> None:
    """Row `NAME:n` is line n of the authors' predictions, so that the two can be matched."""
    (rows,) = read_benchmark(name, folder=str(realdata / "benchmarks"))
    stored = realdata / "predictions" / "GuardReasoner-8B" / f"{name}.jsonl"
    lines = stored.read_text("utf-8").strip("\n").split("\n")
    for number, (one, line) in enumerate(zip(rows.examples, lines, strict=True), 1):
        row = json.loads(line)
        assert one.row_id == f"{name}:{number}"
        assert one.prompt in row["prompt"]
        assert row["label"] == one.gold[rows.task]
