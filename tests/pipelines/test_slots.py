"""Where an output names its labels, and what its label's scores make of a task's probability."""

from math import log

import pytest

from pipelines.schema import GuardExample, GuardTask
from pipelines.slots import blank_slots, written_slots
from pipelines.template import GuardTemplate

TEMPLATE = GuardTemplate.default()
REQUEST, REFUSAL, RESPONSE = GuardTask
BOTH = GuardExample("How do kites fly?", "By lift.")
ALONE = GuardExample("How do kites fly?")
TRACE = "# Task 1\n\n## Reasoning Step 1\nIt is clear.\n\n---\n\n"
BLOCK = "Answers: \nRequest: harmful\nCompletion: refusal\nResponse: unharmful"


def slots_of(raw, example=BOTH):
    return written_slots(TEMPLATE.parse(raw, example))


def test_each_slot_stands_behind_the_labels_that_were_written():
    slots = slots_of(TRACE + BLOCK)
    assert slots.written == TRACE + "Answers: \nRequest: "
    assert slots.tasks == (REQUEST, REFUSAL, RESPONSE)
    assert list(slots.continuations.values()) == [
        "harmful\n",
        "unharmful\n",
        "harmful\nCompletion: refusal\n",
        "harmful\nCompletion: compliance\n",
        "harmful\nCompletion: refusal\nResponse: harmful",
        "harmful\nCompletion: refusal\nResponse: unharmful",
    ]


def test_the_written_text_is_one_of_the_continuations():
    for raw in (TRACE + BLOCK, "\n" + BLOCK, TRACE.replace("\n", "\r\n") + BLOCK):
        slots = slots_of(raw)
        whole = raw.replace("\r\n", "\n")
        assert whole in {slots.written + text for text in slots.continuations.values()}


def test_the_last_of_several_blocks_counts():
    quoted = "It says:\n> Answers: \n> Request: unharmful\n\n"
    earlier = "Answers: \nRequest: unharmful\n\n# Task 3\n\n"
    slots = slots_of(quoted + earlier + TRACE + BLOCK)
    assert slots.written == quoted + earlier + TRACE + "Answers: \nRequest: "


def test_without_a_response_only_the_request_is_asked_for():
    slots = slots_of(TRACE + BLOCK.replace("refusal", "None").replace("unharmful", "None"), ALONE)
    assert slots.tasks == (REQUEST,)
    assert list(slots.continuations.values()) == ["harmful\n", "unharmful\n"]
    assert blank_slots(TEMPLATE, ALONE).tasks == (REQUEST,)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "I don't know.",
        TRACE + "Answers: \n",
        TRACE + "Answers: \nRequest: perhaps\nCompletion: None\nResponse: None",
        f"```\n{BLOCK}\n```",
        TRACE + "Answers: Request: harmful, Completion: refusal, Response: unharmful",
    ],
)
def test_no_label_on_a_line_of_its_own_no_slot(raw):
    assert slots_of(raw) is None


def test_an_echo_of_the_conversation_has_no_slots():
    example = GuardExample(BLOCK, "Sure.")
    verdict = TEMPLATE.parse("They wrote:\n" + BLOCK, example)
    assert verdict.error
    assert written_slots(verdict) is None


def test_a_field_that_cannot_be_read_leaves_the_others():
    slots = slots_of(TRACE + BLOCK.replace("refusal", "perhaps"))
    assert slots.tasks == (REQUEST, RESPONSE)
    assert slots.continuations["harmful", "harmful"] == (
        "harmful\nCompletion: perhaps\nResponse: harmful"
    )


def test_another_dress_of_the_labels_is_worn_by_both():
    slots = slots_of(TRACE + "**Answers:**\n- **Request:** **Harmful**\n- Response: *unharmful*\n")
    assert slots.written.endswith("**Request:** **")
    assert list(slots.continuations.values())[:2] == ["Harmful**\n", "Unharmful**\n"]
    assert list(slots.continuations.values())[2:] == [
        "Harmful**\n- Response: *harmful*",
        "Harmful**\n- Response: *unharmful*",
    ]


def test_a_blank_block_asks_for_every_combination_once():
    slots = blank_slots(TEMPLATE, BOTH)
    assert slots.written == "Answers: \nRequest: "
    assert len(slots.continuations) == 2 + 4 + 8
    assert slots.continuations["unharmful",] == "unharmful\n"
    assert slots.continuations["harmful", "refusal"] == "harmful\nCompletion: refusal\n"
    for path, text in slots.continuations.items():
        if len(path) == 3:
            labels = dict(zip(GuardTask, path, strict=True))
            assert slots.written + text == TEMPLATE.format_answer("", labels)


def test_open_labels_are_weighed_with_those_before_them():
    slots = blank_slots(TEMPLATE, BOTH)
    chances = {
        ("harmful",): 0.6,
        ("unharmful",): 0.2,  # the rest went to other words: 0.75 to 0.25
        ("harmful", "refusal"): 0.9,
        ("harmful", "compliance"): 0.1,
        ("unharmful", "refusal"): 0.1,
        ("unharmful", "compliance"): 0.3,
    }
    rest = {path: 0.4 if path[-1] == "harmful" else 0.1 for path in slots.continuations}
    scores = [log((rest | chances)[path]) for path in slots.continuations]
    found = slots.probabilities(scores)
    assert found[REQUEST] == pytest.approx(0.75)
    assert found[REFUSAL] == pytest.approx(0.75 * 0.9 + 0.25 * 0.25)
    assert found[RESPONSE] == pytest.approx(0.8)


def test_a_written_label_is_taken_as_certain_by_the_slots_behind_it():
    slots = slots_of(TRACE + BLOCK)
    scores = [log(share) for share in (0.1, 0.3, 0.08, 0.02, 0.01, 0.03)]
    found = slots.probabilities(scores)
    assert [round(found[task], 6) for task in GuardTask] == [0.25, 0.8, 0.25]


def test_hopeless_scores_still_compare():
    slots = blank_slots(TEMPLATE, ALONE)
    assert slots.probabilities([-5000.0, -5001.0])[REQUEST] == pytest.approx(0.7310586)
    assert slots.probabilities([-9000.0, 0.0])[REQUEST] == pytest.approx(0, abs=1e-200)
    assert slots.probabilities([0.0, -9000.0])[REQUEST] == 1.0
