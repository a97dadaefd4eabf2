"""Stored predictions scored from a file."""

import json

import pytest

from pipelines.schema import DataError, GuardTask
from pipelines.stored_quality import score_file
from pipelines.template import GuardTemplate
from tests.pipelines import traces
from tests.pipelines.traces import TALK


def stored(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def row(predict=traces.GOOD, **changed):
    prompt = GuardTemplate.default().render(TALK)
    return {"prompt": prompt, "predict": predict, "label": "unharmful"} | changed


def test_conversations_are_taken_out_of_the_prompts(tmp_path):
    file = stored(tmp_path / "p.jsonl", row(), row(traces.LOOPING, label="harmless"))
    good, loop = score_file(file, GuardTask.RESPONSE_HARMFULNESS)
    assert (good.example.prompt, good.example.response) == (TALK.prompt, TALK.response)
    assert good.total(0) > 0.95 > 0.3 > loop.total(0)
    assert good.qualities[0].label_correctness == 1.0
    assert loop.qualities[0].label_correctness == 0.0


def test_without_a_task_no_label_is_looked_at(tmp_path):
    (found,) = score_file(stored(tmp_path / "p.jsonl", row(label="what?")))
    assert found.qualities[0].label_correctness is None


def test_all_faults_are_told(tmp_path):
    file = stored(tmp_path / "p.jsonl", row(), row(None), row(label="odd"))
    with pytest.raises(DataError) as caught:
        score_file(file, GuardTask.PROMPT_HARMFULNESS)
    assert caught.value.faults[0] == "p.jsonl:2: predict: must be a text"
    assert caught.value.faults[1].startswith("p.jsonl:3: label: 'odd' is not a label")


def test_an_empty_file_is_a_fault(tmp_path):
    with pytest.raises(DataError, match="has no rows"):
        score_file(stored(tmp_path / "p.jsonl"))
