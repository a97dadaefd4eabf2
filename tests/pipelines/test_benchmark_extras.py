"""XSTest joined, over-refusal, the quick test, and one's own files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.benchmark_extras import WORDS
from pipelines.benchmarks import BENCHMARKS, PAPER, in_folder, read_benchmark
from pipelines.schema import DataError, GuardTask, HubError, InputError
from tests.pipelines.test_benchmark_reading import ANSWERS, authors, hub, write

PROMPT, REFUSAL, RESPONSE = GuardTask
__all__ = ["hub"]
PROMPTS = (
    "id,prompt,type,label\n1,safe one,homonyms,safe\n2,bad one,contrast,unsafe\n3,both,x,safe\n"
)


@pytest.fixture
def xstest(tmp_path: Path) -> Path:
    """Responses to three prompts; `both` has no harmfulness, and one conversation no refusal."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    refusals = [
        authors("safe one", "sure", "compliance"),
        authors("safe one", "sorry", "refusal"),
        authors("bad one", "sorry", "refusal"),
        authors("both", "sure", "compliance"),
    ]
    harms = [
        authors("safe one", "sure", "unharmful"),
        authors("safe one", "sorry", "unharmful"),
        authors("bad one", "sorry", "unharmful"),
        authors("bad one", "sure", "harmful"),
    ]
    write(folder, "XSTestResponseRefusal.json", refusals)
    write(folder, "XSTestResponseHarmful.jsonl", harms)
    return folder


def labels(rows: Any) -> list[tuple[str, str | None, str]]:
    return [(one.prompt, one.response, one.gold[rows.task]) for one in rows.examples]


@pytest.mark.parametrize("place", [".", "annotations", "../annotations"])
def test_three_labels_of_the_same_conversations(xstest: Path, place: str) -> None:
    (xstest / place).mkdir(exist_ok=True)
    (xstest / place / "xstest_prompts.csv").write_text(PROMPTS)
    prompt, refusal, response = read_benchmark("XSTestThreeLabels", folder=str(xstest))
    assert [rows.benchmark for rows in (prompt, refusal, response)] == [
        "XSTestThreeLabels/prompt",
        "XSTestThreeLabels/refusal",
        "XSTestThreeLabels/response",
    ]
    assert prompt.examples == refusal.examples == response.examples
    assert labels(prompt) == [
        ("safe one", "sure", "unharmful"),
        ("safe one", "sorry", "unharmful"),
        ("bad one", "sorry", "harmful"),
    ]
    assert [one.gold[REFUSAL] for one in refusal.examples] == ["compliance", "refusal", "refusal"]
    assert {one.gold[RESPONSE] for one in response.examples} == {"unharmful"}
    assert [one.category for one in prompt.examples] == ["homonyms", "homonyms", "contrast"]
    assert prompt.remarks == ["without one of the 3 labels: 2 conversations"]
    assert [one.row_id for one in prompt.examples] == [
        f"XSTestResponseRefusal:{number}" for number in (1, 2, 3)
    ]


def test_three_labels_without_the_prompts_are_two(xstest: Path) -> None:
    refusal, response = read_benchmark("XSTestThreeLabels", folder=str(xstest))
    assert (refusal.task, response.task) == (REFUSAL, RESPONSE)
    assert f"no list of XSTest's prompts in {xstest}: their own labels are unknown" in (
        refusal.remarks
    )


def test_three_labels_are_sampled_as_one(xstest: Path) -> None:
    (xstest / "xstest_prompts.csv").write_text(PROMPTS)
    read = read_benchmark("XSTestThreeLabels", folder=str(xstest), max_rows=2)
    assert [len(rows.examples) for rows in read] == [2, 2, 2]
    assert read[0].examples == read[1].examples == read[2].examples
    assert {rows.of_rows for rows in read} == {3}


def test_over_refusal_has_only_what_should_raise_no_alarm(xstest: Path) -> None:
    (xstest / "xstest_prompts.csv").write_text(PROMPTS)
    prompt, refusal, response = read_benchmark("OverRefusal", folder=str(xstest))
    assert labels(prompt) == [("safe one", None, "unharmful"), ("both", None, "unharmful")]
    assert labels(refusal) == [("safe one", "sure", "compliance"), ("both", "sure", "compliance")]
    assert labels(response) == [
        ("safe one", "sure", "unharmful"),
        ("safe one", "sorry", "unharmful"),
    ]
    assert "no row is of the positive class: each such verdict is a false alarm" in prompt.remarks
    assert [one.category for one in refusal.examples] == ["homonyms", "x"]


def test_over_refusal_of_prompts_alone(tmp_path: Path) -> None:
    (tmp_path / "xstest_prompts.csv").write_text(PROMPTS)
    (prompt,) = read_benchmark("OverRefusal", folder=str(tmp_path))
    assert prompt.benchmark == "OverRefusal/prompt"
    assert f"{tmp_path} holds no XSTestResponseRefusal" in prompt.remarks
    (tmp_path / "xstest_prompts.csv").write_text("id,prompt,type,label\n1,bad,x,unsafe\n")
    with pytest.raises(DataError, match=r"benchmark=OverRefusal/prompt: .* holds no row"):
        read_benchmark("OverRefusal", folder=str(tmp_path))


def test_over_refusal_needs_the_prompts(xstest: Path, hub: dict[str, Any]) -> None:
    with pytest.raises(HubError, match="benchmark=OverRefusal: Paul/XSTest/train can't be read"):
        read_benchmark("OverRefusal", folder=str(xstest))


def test_the_quick_test_is_found_beside_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks"
    (tmp_path / "binary").mkdir()
    folder.mkdir()
    rows = [{"text": "t", "label": "harmless"}, {"text": "u", "label": "harmful"}]
    write(tmp_path / "binary", "combined_test.json", rows)
    (read,) = read_benchmark("BinaryQuickTest", folder=str(folder))
    assert labels(read) == [("t", None, "unharmful"), ("u", None, "harmful")]
    assert read.remarks == ["2 rows, where there should be 200"]
    assert read.examples[1].row_id == "BinaryQuickTest:2"
    with pytest.raises(InputError, match="benchmark=BinaryQuickTest: no dataset on the Hub"):
        read_benchmark("BinaryQuickTest")


def test_ones_own_file_of_one_kind(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "label": "unsafe", "category": "fraud"}, {"prompt": "q", "label": 0}]
    path = write(tmp_path, "mine.jsonl", rows)
    (read,) = read_benchmark(str(path))
    assert (read.benchmark, read.task, read.published_rows) == ("mine", PROMPT, None)
    assert labels(read) == [("p", None, "harmful"), ("q", None, "unharmful")]
    assert read.examples[0].category == "fraud"
    assert [one.row_id for one in read.examples] == ["mine.jsonl:1", "mine.jsonl:2"]


def test_ones_own_file_of_several_tasks_and_sources(tmp_path: Path) -> None:
    rows = [
        authors("a", "r", ANSWERS.format("harmful", "refusal", "None"), source="one"),
        authors("b", None, "harmful", source="two"),
    ]
    read = read_benchmark(str(write(tmp_path, "mine.json", rows)))
    assert [(one.benchmark, one.task) for one in read] == [
        ("mine/one/prompt", PROMPT),
        ("mine/one/refusal", REFUSAL),
        ("mine/two", PROMPT),
    ]
    (tmp_path / "mine.json").write_text(json.dumps(rows[:1]))
    names = [one.benchmark for one in read_benchmark(str(tmp_path / "mine.json"))]
    assert names == ["mine/prompt", "mine/refusal"]


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    write(tmp_path, "mine.json", [{"prompt": "p", "label": 1}])
    # By itself this row does not say its task; its file's name does.
    write(tmp_path, "XSTestResponseHarmful.json", [authors("a", "r", "harmful")])
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", "mine.json", [{"prompt": "q", "label": 0}])
    read = read_benchmark(str(tmp_path))
    assert [(one.benchmark, one.task) for one in read] == [
        ("XSTestResponseHarmful", RESPONSE),
        ("below/mine", PROMPT),
        ("mine", PROMPT),
    ]
    write(tmp_path, "mine.jsonl", [{"prompt": "q", "label": 0}])
    with pytest.raises(InputError, match="mine comes of more than one file"):
        read_benchmark(str(tmp_path))


def test_what_is_no_benchmark() -> None:
    with pytest.raises(InputError, match=r"benchmark=Agis: neither .*known: ToxicChat, "):
        read_benchmark("Agis")
    with pytest.raises(DataError, match="there is no such file"):
        read_benchmark("nowhere/mine.jsonl")


def test_what_a_folder_holds(xstest: Path) -> None:
    held = [name for name in BENCHMARKS if in_folder(name, str(xstest))]
    assert held == ["XSTestResponseHarmful", "XSTestResponseRefusal", "XSTestThreeLabels"]
    (xstest / "xstest_prompts.csv").write_text(PROMPTS)
    assert in_folder("OverRefusal", str(xstest))


@pytest.mark.realdata
def test_heldout_rows_by_benchmark(realdata: Path) -> None:
    read = read_benchmark(str(realdata / "traces" / "heldout.jsonl"))
    assert {rows.benchmark: rows.of_rows for rows in read} == {
        "heldout/AegisSafetyTest": 100,
        "heldout/HarmBenchPrompt": 74,
        "heldout/SimpleSafetyTests": 100,
        "heldout/HarmBenchResponse": 138,
        "heldout/XSTestResponseHarmful": 119,
        "heldout/XSTestResponseRefusal": 120,
    }
    for rows in read:
        name = rows.benchmark.split("/")[1]
        assert name in PAPER
        assert rows.task is BENCHMARKS[name].task


@pytest.mark.realdata
def test_real_extras(realdata: Path) -> None:
    folder = str(realdata / "benchmarks")
    three = read_benchmark("XSTestThreeLabels", folder=folder)
    assert [rows.of_rows for rows in three] == [445, 445, 445]
    assert three[0].remarks == ["without one of the 3 labels: 5 conversations"]
    together = Counter(tuple(one.gold[task] for task in GuardTask) for one in three[0].examples)
    assert together["unharmful", "refusal", "unharmful"] == 80
    assert together["unharmful", "compliance", "harmful"] == 2
    over = read_benchmark("OverRefusal", folder=folder)
    assert {rows.benchmark: rows.of_rows for rows in over} == {
        f"OverRefusal/{WORDS[task]}": number
        for task, number in zip(GuardTask, (250, 168, 247), strict=True)
    }
    (quick,) = read_benchmark("BinaryQuickTest", folder=folder, max_rows=50)
    assert Counter(one.gold[PROMPT] for one in quick.examples) == {"harmful": 25, "unharmful": 25}
    assert (quick.of_rows, quick.remarks) == (200, [])
