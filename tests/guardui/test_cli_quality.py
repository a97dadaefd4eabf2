"""`guardui quality`: a table, JSON, and faults in words."""

import json

import pytest
from typer.testing import CliRunner

from guardui.cli import app
from pipelines.template import GuardTemplate
from tests.pipelines import traces
from tests.pipelines.traces import TALK


@pytest.fixture
def file(tmp_path):
    prompt = GuardTemplate.default().render(TALK)
    rows = [{"prompt": prompt, "predict": t, "label": "harmful"} for t in (traces.GOOD, "Hm.")]
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def call(*words):
    return CliRunner().invoke(app, ["quality", *map(str, words)])


def test_json_has_the_means_and_the_failed_checks(file, home):
    done = call(file, "--task", "prompt", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert (found["rows"], found["parse_failure_rate"]) == (2, 0.5)
    assert (found["label_correctness"], found["coherence"]) == (0.5, 0.5)
    assert {"part": "coherence", "check": "answers", "rows": 1} in found["failed_checks"]


def test_a_table_for_people(file, home):
    done = call(file)
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["label", "correctness", "n/a"] in lines
    assert ["coherence", "0.500"] in lines
    assert "2 predictions, 50.0% not parsed" in done.stdout
    assert "coherence, answers: 50.0% failed" in done.stdout


def test_faults_are_one_message(file, home, tmp_path):
    done = call(file, "--task", "mood")
    assert done.exit_code == 2
    assert "'mood' is not a task" in done.stderr
    done = call(tmp_path / "none.jsonl")
    assert (done.exit_code, "there is no such file" in done.stderr) == (2, True)
