"""`guardui score`: three policies side by side, as a table and as JSON."""

import json

import pytest
from typer.testing import CliRunner

from guardui.cli import app
from pipelines.schema import GuardExample
from pipelines.template import GuardTemplate

TEMPLATE = GuardTemplate.default()
PREDICTED = {
    "a": ("harmful", "Answers: \nRequest: harmful", "arms"),
    "b": ("harmful", "no verdict", "arms"),
    "c": ("unharmful", "no verdict either", ""),
    "d": ("unharmful", "Answers: \nRequest: unharmful", ""),
}


@pytest.fixture
def file(tmp_path):
    def row(prompt, label, predict, category):
        asked = TEMPLATE.render(GuardExample(prompt))
        return {"prompt": asked, "label": label, "predict": predict, "category": category}

    path = tmp_path / "GuardReasoner-1B" / "AegisSafetyTest.jsonl"
    path.parent.mkdir()
    lines = [json.dumps(row(prompt, *rest)) + "\n" for prompt, rest in PREDICTED.items()]
    path.write_text("".join(lines), "utf-8")
    return path


def call(*words):
    return CliRunner().invoke(app, ["score", *map(str, words)])


def test_json_has_the_three_policies(file, home):
    done = call(file, "--task", "prompt", "--resamples", 200, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert (found["task"], found["reading"]) == ("prompt_harmfulness", "authors")
    (one,) = found["files"]
    assert (one["rows"], one["prompts"], one["failures"], one["failure_rate"]) == (4, 4, 2, 0.5)
    assert {policy: scores["f1"] for policy, scores in one["policies"].items()} == {
        "wrong_once": 0.5,
        "authors": 0.5,
        "dropped": 1.0,
    }
    wrong_once = one["policies"]["wrong_once"]
    assert wrong_once["label_f1"] == {"harmful": 0.5, "unharmful": 0.5}
    assert len(wrong_once["intervals"]["accuracy"]) == 2
    assert one["published"] == {"GuardReasoner-1B": pytest.approx(0.8934)}
    assert one["counts"]["failed_negative"] == 1
    assert "categories" not in one
    assert "averages" not in found


def test_a_table_for_people(file, home):
    done = call(file, "--task", "prompt", "--by-category", "--resamples", 200)
    assert done.exit_code == 0
    assert "4 rows of 4 prompts; 2 without a verdict (50.00%)" in done.stdout
    assert "published F1 of GuardReasoner-1B: 89.34" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["arms", "2", "1", "66.67", "50.00", "n/a"] in lines
    assert ["none", "named", "2", "1", "n/a", "n/a", "50.00"] in lines
    assert next(line for line in lines if line[:1] == ["F1"])[1] == "50.00"


def test_without_intervals(file, home):
    done = call(file, "--task", "prompt", "--no-intervals")
    assert ["F1", "50.00", "50.00", "100.00"] in [s.split() for s in done.stdout.splitlines()]
    done = call(file, "--task", "prompt", "--no-intervals", "--json")
    assert json.loads(done.stdout)["files"][0]["policies"]["dropped"]["intervals"] is None


def test_our_parser_says_how_many_rows_differ(file, home):
    done = call(file, "--task", "prompt", "--reading", "template", "--no-intervals")
    assert done.exit_code == 0
    assert "0 rows are read otherwise by the authors' rule" in done.stdout


def test_several_files_have_an_average(file, home, tmp_path):
    other = tmp_path / "mine.jsonl"
    other.write_text(file.read_text("utf-8").splitlines()[0] + "\n", "utf-8")
    done = call(file, other, "--task", "prompt", "--resamples", 200, "--json")
    found = json.loads(done.stdout)
    assert [one["benchmark"] for one in found["files"]] == ["AegisSafetyTest", None]
    assert found["files"][1]["published"] == {}
    assert found["averages"]["wrong_once"]["f1"] == pytest.approx((4 * 0.5 + 1) / 5)
    assert "Row-weighted mean" in call(file, other, "--task", "prompt", "--resamples", 200).stdout


def test_a_file_of_one_label_says_so(file, home, tmp_path):
    other = tmp_path / "mine.jsonl"
    other.write_text(file.read_text("utf-8").splitlines()[0] + "\n", "utf-8")
    done = call(other, "--task", "prompt", "--no-intervals")
    assert "every row is harmful: a constant verdict gets them all right" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "mood"), "'mood' is not a task"),
        (("--task", "response"), "by its name the benchmark AegisSafetyTest"),
        (("--task", "prompt", "--reading", "mine"), "reading=mine"),
        ((), "--task"),
    ],
)
def test_wrong_input_is_one_message(file, home, words, said):
    done = call(file, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_a_broken_file_scores_nothing(file, home):
    with file.open("a", encoding="utf-8") as lines:
        lines.write("{\n")
    done = call(file, "--task", "prompt", "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "AegisSafetyTest.jsonl:5: line: not JSON" in done.stderr
