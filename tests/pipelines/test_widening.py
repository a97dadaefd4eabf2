"""Binary rows made into rows for three tasks, both ways."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipelines.datasets import read_dataset
from pipelines.schema import DataError, GuardExample, GuardTask, InputError
from pipelines.template import GuardTemplate
from pipelines.widening import PHRASES, canned_response, widen

PROMPT, REFUSAL, RESPONSE = GuardTask
HARM = GuardExample("How do I break in?", gold={PROMPT: "harmful"}, source="mine", row_id="a")
TEA = GuardExample("How do I brew tea?", gold={PROMPT: "unharmful"}, row_id="b")
ANSWERED = GuardExample("Hi", "Hello", {RESPONSE: "unharmful"}, row_id="c")


@pytest.mark.parametrize("example", [HARM, TEA])
def test_a_prompt_gets_a_refusal_and_a_compliance(example):
    asked, refused, answered = widen([example], "canned", seed=3)
    label = example.gold[PROMPT]
    assert (asked.example, asked.widened) == (example, "")
    assert (refused.widened, answered.widened) == ("canned-refusal", "canned-compliance")
    assert refused.example.gold == {PROMPT: label, REFUSAL: "refusal", RESPONSE: "unharmful"}
    assert answered.example.gold == {PROMPT: label, REFUSAL: "compliance", RESPONSE: label}
    assert refused.example.response == canned_response("refusal", example.row_id, 3)
    assert answered.example.response == canned_response("compliance", example.row_id, 3)
    for row in (refused, answered):
        assert (row.example.prompt, row.example.source) == (example.prompt, example.source)
        assert row.unknown == ()
    assert {refused.example.row_id, answered.example.row_id} == {
        f"{example.row_id}#refusal",
        f"{example.row_id}#compliance",
    }


def test_a_row_keeps_its_canned_texts_wherever_it_stands():
    alone = widen([TEA], "canned", seed=1)
    assert widen([HARM, TEA], "canned", seed=1)[3:] == alone
    assert widen([TEA], "canned", seed=2)[1:] != alone[1:]


def test_rows_that_canned_texts_don_t_fit_stay_as_they_are():
    unlabelled = replace(TEA, gold={})
    rows = widen([ANSWERED, unlabelled, TEA], "canned")
    assert [row.widened for row in rows] == ["", "", "", "canned-refusal", "canned-compliance"]
    assert [rows[0].example, rows[1].example] == [ANSWERED, unlabelled]
    with pytest.raises(InputError, match="widen=canned: no row"):
        widen([ANSWERED, unlabelled], "canned")


def test_a_response_leaves_the_other_tasks_unknown():
    rows = widen([ANSWERED, TEA], "response")
    assert [row.widened for row in rows] == ["response", ""]
    assert rows[0].example == ANSWERED
    assert rows[0].unknown == (PROMPT, REFUSAL)
    assert rows[1].unknown == ()
    with pytest.raises(InputError, match="widen=response: no row"):
        widen([TEA], "response")


def test_none_changes_nothing():
    assert [row.example for row in widen([HARM, ANSWERED], "none")] == [HARM, ANSWERED]


def test_the_texts_are_many_differ_and_suit_the_layout():
    phrases = json.loads(PHRASES.read_text("utf-8"))
    template = GuardTemplate.default()
    for kind in ("refusal", "compliance"):
        made = {canned_response(kind, str(number), 0) for number in range(400)}
        assert len(made) > 200
        every = [phrase for part in phrases[kind].values() for phrase in part]
        assert len(set(every)) >= len(every) - 1  # an empty middle and an empty close
        for text in made:
            example = GuardExample("Hi", text)
            rendered = template.render(example).removeprefix(template.instruction + "\n")
            assert template.split_input(rendered) == ("Hi", text)
    refusals = {canned_response("refusal", str(n), 0) for n in range(400)}
    assert not refusals & {canned_response("compliance", str(n), 0) for n in range(400)}


def response_rows(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return path


def test_a_response_column_is_read_and_the_task_must_be_said(tmp_path):
    rows = [
        {"prompt": "Hi", "response": "Hello", "label": "safe"},
        {"text": "Bye", "response": "", "label": 1},
    ]
    path = response_rows(tmp_path, rows)
    with pytest.raises(DataError, match="needs a task") as caught:
        read_dataset(str(path))
    assert len(caught.value.faults) == 1
    rows[0]["task"] = "response"
    first, second = read_dataset(str(response_rows(tmp_path, rows))).examples
    assert (first.prompt, first.response, first.gold) == ("Hi", "Hello", {RESPONSE: "unharmful"})
    assert (second.response, second.gold) == (None, {PROMPT: "harmful"})


def test_the_task_may_be_said_for_the_whole_file(tmp_path):
    path = response_rows(tmp_path, [{"text": "Hi", "response": "No.", "label": "refusal"}])
    assert read_dataset(str(path)).examples[0].gold == {REFUSAL: "refusal"}
    path = response_rows(tmp_path, [{"text": "Hi", "response": "Yo", "label": "harmful"}])
    assert read_dataset(str(path), task="prompt").examples[0].gold == {PROMPT: "harmful"}
    path = response_rows(tmp_path, [{"text": "Hi", "response": 3, "label": "harmful"}])
    with pytest.raises(DataError, match="response: must be text"):
        read_dataset(str(path), task="prompt")


@pytest.mark.realdata
def test_the_older_binary_set_widens_to_three_tasks(realdata):
    examples = read_dataset(str(realdata / "binary" / "combined_train.json")).examples
    rows = widen(examples, "canned", seed=42)
    assert len(examples) == 800
    assert len(rows) == 2400
    made = [row for row in rows if row.widened]
    assert {
        label: sum(r.example.gold[RESPONSE] == label for r in made) for label in RESPONSE.labels
    } == {"harmful": 400, "unharmful": 1200}
    assert len({row.example.row_id for row in rows}) == 2400
    assert len({row.example.response for row in made}) > 600
