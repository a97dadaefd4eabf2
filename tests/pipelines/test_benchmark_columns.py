"""Rows in the datasets' own Hub columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pipelines import benchmark_columns as subject
from pipelines.dataset_files import Faults, Record
from pipelines.dataset_formats import RowError
from pipelines.schema import GuardExample, GuardTask

PROMPT, REFUSAL, RESPONSE = GuardTask
Mapping_ = Callable[[Mapping[str, Any]], GuardExample | None]
TALK = {"prompt": "Ask", "response": "Answer"}
TOXIC = {"conv_id": "c1", "user_input": "Ask", "human_annotation": True, "jailbreaking": 0}
WILD = {
    **TALK,
    "adversarial": False,
    "subcategory": "benign",
    "prompt_harm_label": "harmful",
    "response_refusal_label": "compliance",
    "response_harm_label": "unharmful",
}
VOTES = {"text": "Ask", "text_type": "user_message", "labels_3": "Safe", "labels_4": "Safe"}
JUDGED = {"test_case": "Ask", "generation": "Answer", "experiment": "GCG"}


def aegis(*votes: str | None) -> dict[str, Any]:
    return VOTES | {f"labels_{number}": vote for number, vote in enumerate(votes)}


@pytest.mark.parametrize(
    ("mapping", "row", "task", "label", "response", "category"),
    [
        (subject.toxic_chat, TOXIC | {"toxicity": 1}, PROMPT, "harmful", None, ""),
        # Hub files of it are CSV, whose flags are text.
        (
            subject.toxic_chat,
            TOXIC | {"toxicity": "0", "jailbreaking": "1", "human_annotation": "True"},
            PROMPT,
            "unharmful",
            None,
            "jailbreaking",
        ),
        (
            subject.harmbench_prompt,
            {"prompt": "Ask", "category": "illegal"},
            PROMPT,
            "harmful",
            None,
            "illegal",
        ),
        (
            subject.harmbench_prompt,
            {"Behavior": "Ask", "FunctionalCategory": "copyright", "SemanticCategory": "copyright"},
            PROMPT,
            "harmful",
            None,
            "copyright",
        ),
        (
            subject.openai_moderation,
            {"prompt": "Ask", "S": 0, "H": None, "V": 1, "V2": 1.0},
            PROMPT,
            "harmful",
            None,
            "violence",
        ),
        (
            subject.openai_moderation,
            {"prompt": "Ask", "S": 0, "H": None},
            PROMPT,
            "unharmful",
            None,
            "",
        ),
        (subject.aegis, aegis("Violence", "Safe", "Safe"), PROMPT, "unharmful", None, ""),
        (
            subject.aegis,
            aegis("Needs Caution", "Safe", "Threat"),
            PROMPT,
            "harmful",
            None,
            "Needs Caution",
        ),
        (subject.aegis, aegis("Safe", "Threat", "Threat"), PROMPT, "harmful", None, "Threat"),
        # Two votes that disagree: an even split is harmful.
        (subject.aegis, aegis("Safe", "Threat", None), PROMPT, "harmful", None, "Threat"),
        (
            subject.simple_safety,
            {"id": "sst_001", "prompt": "Ask", "harm_area": "Scams"},
            PROMPT,
            "harmful",
            None,
            "Scams",
        ),
        (subject.wildguard_prompt, WILD, PROMPT, "harmful", None, "benign"),
        (subject.wildguard_refusal, WILD, REFUSAL, "compliance", "Answer", "benign"),
        (subject.wildguard_response, WILD, RESPONSE, "unharmful", "Answer", "benign"),
        (
            subject.harmbench_response,
            JUDGED | {"human_0": 1, "human_1": 0, "human_2": 1},
            RESPONSE,
            "harmful",
            "Answer",
            "GCG",
        ),
        (
            subject.harmbench_response,
            JUDGED | {"human_0": 1, "human_1": 0, "human_2": 0},
            RESPONSE,
            "unharmful",
            "Answer",
            "GCG",
        ),
        (
            subject.beaver_tails,
            TALK | {"is_safe": False, "category": {"animal_abuse": False, "theft": True}},
            RESPONSE,
            "harmful",
            "Answer",
            "theft",
        ),
        (subject.beaver_tails, TALK | {"is_safe": True}, RESPONSE, "unharmful", "Answer", ""),
        # A kind of another form is no reason to lose the row.
        (
            subject.beaver_tails,
            TALK | {"is_safe": "false", "category": "theft"},
            RESPONSE,
            "harmful",
            "Answer",
            "",
        ),
        (subject.safe_rlhf, TALK | {"is_safe": False}, RESPONSE, "harmful", "Answer", ""),
        (
            subject.xstest_refusal,
            TALK | {"label": "refusal", "prompt_type": "prompt_safe"},
            REFUSAL,
            "refusal",
            "Answer",
            "prompt_safe",
        ),
        (subject.xstest_response, TALK | {"label": "harmful"}, RESPONSE, "harmful", "Answer", ""),
        (
            subject.xstest_prompt,
            {"prompt": "Ask", "label": "safe", "type": "homonyms"},
            PROMPT,
            "unharmful",
            None,
            "homonyms",
        ),
        (
            subject.binary,
            {"text": "Ask", "label": "harmless", "category": "harmless"},
            PROMPT,
            "unharmful",
            None,
            "",
        ),
        (
            subject.binary,
            {"text": "Ask", "label": "harmful", "category": "fraud"},
            PROMPT,
            "harmful",
            None,
            "fraud",
        ),
    ],
)
def test_mapping(
    mapping: Mapping_,
    row: dict[str, Any],
    task: GuardTask,
    label: str,
    response: str | None,
    category: str,
) -> None:
    assert mapping(row) == GuardExample("Ask", response, {task: label}, category=category)


@pytest.mark.parametrize(
    ("mapping", "row"),
    [
        (subject.toxic_chat, TOXIC | {"toxicity": 1, "human_annotation": False}),
        (subject.harmbench_prompt, {"Behavior": "Ask", "FunctionalCategory": "contextual"}),
        (subject.aegis, aegis("Safe", "Safe", "Safe") | {"text_type": "llm_response"}),
        (subject.wildguard_prompt, WILD | {"prompt_harm_label": None}),
        (subject.wildguard_refusal, WILD | {"response_refusal_label": ""}),
        (subject.wildguard_response, WILD | {"response": None}),
    ],
)
def test_what_the_benchmark_leaves_out(mapping: Mapping_, row: dict[str, Any]) -> None:
    assert mapping(row) is None


@pytest.mark.parametrize(
    ("mapping", "row", "said"),
    [
        (subject.toxic_chat, TOXIC, "toxicity: the column is missing"),
        (subject.toxic_chat, TOXIC | {"toxicity": 2}, "toxicity: 2 is neither 0 nor 1"),
        (subject.toxic_chat, TOXIC | {"toxicity": 1, "user_input": " "}, "user_input: is empty"),
        (subject.openai_moderation, {"prompt": "Ask"}, "columns: none of S, H"),
        (subject.aegis, aegis(None, "None", None), "labels_0: no annotator"),
        (subject.wildguard_refusal, TALK, "response_refusal_label: the column is missing"),
        (
            subject.wildguard_prompt,
            WILD | {"prompt_harm_label": "refusal"},
            "prompt_harm_label: 'refusal' is not a label of prompt_harmfulness",
        ),
        (subject.xstest_refusal, TALK | {"label": "harmful"}, "label: 'harmful' is not a label"),
        (subject.xstest_response, TALK | {"label": None}, "label: is empty"),
        (subject.beaver_tails, {"prompt": 3, "response": "A", "is_safe": True}, "must be text"),
        (subject.simple_safety, {}, "prompt: the column is missing"),
    ],
)
def test_faults_name_the_column(mapping: Mapping_, row: dict[str, Any], said: str) -> None:
    with pytest.raises(RowError) as caught:
        mapping(row)
    assert said in str(caught.value)


def pair(number: int, first: bool, second: bool) -> Record:
    values = {
        "prompt": f"p{number}",
        "response_0": "a",
        "response_1": "b",
        "is_response_0_safe": first,
        "is_response_1_safe": second,
    }
    return Record("set/test", number, values)


def test_safe_rlhf_takes_both_sides_of_the_same_pairs() -> None:
    records = [pair(number, number % 2 == 0, number % 2 == 1) for number in range(1, 1501)]
    records += [pair(2001, True, True), pair(2002, False, False)]
    faults = Faults()
    rows = subject.safe_rlhf_sample(records, faults)
    assert faults.count == 0
    assert [row.values["is_safe"] for row in rows] == [True] * 1000 + [False] * 1000
    prompts = [row.values["prompt"] for row in rows]
    assert prompts[:1000] == prompts[1000:]
    assert len(set(prompts)) == 1000
    assert not {"p2001", "p2002"} & set(prompts)
    one = rows[0]
    other = rows[1000]
    side = 0 if one.row % 2 == 0 else 1
    assert (one.values["response"], one.values["id"]) == ("ab"[side], f"{one.row}/{side}")
    assert (other.values["response"], other.row) == ("ab"[1 - side], one.row)
    again = subject.safe_rlhf_sample(records, faults)
    assert [row.values for row in again] == [row.values for row in rows]


def test_safe_rlhf_names_a_pair_without_labels() -> None:
    faults = Faults()
    broken = Record("set/test", 7, {"prompt": "p", "response_0": "a", "response_1": "b"})
    assert len(subject.safe_rlhf_sample([broken, pair(8, True, False)], faults)) == 2
    assert faults.lines == ["set/test:7: is_response_0_safe: the column is missing"]
