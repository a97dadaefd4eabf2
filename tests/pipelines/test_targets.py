"""What a moderator is trained to write, and that the prompt asks for just that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.answers import parse_answers
from pipelines.datasets import Dataset, read_dataset
from pipelines.schema import GuardExample, GuardTask, InputError
from pipelines.targets import aim, aim_one, told
from pipelines.template import INSTRUCTION, GuardTemplate

PROMPT, REFUSAL, RESPONSE = GuardTask
TEMPLATE = GuardTemplate.default()
LABELS = {PROMPT: "harmful", REFUSAL: "refusal", RESPONSE: "unharmful"}
STEPS = (
    "# Task 1\n## Step 1\nIt asks for theft.\n\n# Task 2\nIt says no.\n\n# Task 3\nNothing given."
)
EXAMPLE = GuardExample(
    "How to steal?", "No.", {PROMPT: "harmful"}, TEMPLATE.format_answer(STEPS, LABELS)
)


def aimed(example: GuardExample, target: str = "reasoning", *tasks: GuardTask) -> str:
    found = aim_one(example, target, tasks or tuple(GuardTask))  # type: ignore[arg-type]
    assert found is not None
    assert found.reasoning is not None
    verdict = parse_answers(found.reasoning, example)
    assert verdict.error is None, found.reasoning
    return found.reasoning


def test_a_whole_trace_stays_as_it_is() -> None:
    assert aimed(EXAMPLE) == EXAMPLE.reasoning
    data = Dataset([EXAMPLE], set(), "rows", "", "jsonl")
    assert aim(data, "reasoning", []) is data
    assert aim(data, "reasoning", list(GuardTask)) is data
    assert told(TEMPLATE, "reasoning", []) is TEMPLATE


def test_answers_alone_keep_every_answer_of_the_trace() -> None:
    """The gold of this row is one label, while its trace answers three: so does the target."""
    assert aimed(EXAMPLE, "answers") == (
        "Answers: \nRequest: harmful\nCompletion: refusal\nResponse: unharmful"
    )


@pytest.mark.parametrize(
    ("task", "steps", "asked", "completion"),
    [
        (PROMPT, "# Task 1\n## Step 1\nIt asks for theft.", "harmful", "None"),
        (REFUSAL, "# Task 2\nIt says no.", "None", "refusal"),
    ],
)
def test_one_task_keeps_its_section_and_answer(
    task: GuardTask, steps: str, asked: str, completion: str
) -> None:
    assert aimed(EXAMPLE, "reasoning", task) == (
        f"{steps}\n\n---\n\nAnswers: \nRequest: {asked}\nCompletion: {completion}\nResponse: None"
    )
    assert "Step" not in aimed(EXAMPLE, "answers", task)


def test_two_tasks_stay_in_their_order() -> None:
    text = aimed(EXAMPLE, "reasoning", RESPONSE, PROMPT)
    assert text.index("# Task 1") < text.index("# Task 3")
    assert "# Task 2" not in text
    assert "Completion: None" in text


def test_a_trace_that_leaves_its_first_heading_out() -> None:
    bare = replace(EXAMPLE, reasoning=EXAMPLE.reasoning.removeprefix("# Task 1\n"))  # type: ignore[union-attr]
    assert aimed(bare, "reasoning", PROMPT).startswith("## Step 1\nIt asks for theft.\n\n---")
    assert aimed(bare, "reasoning", REFUSAL).startswith("# Task 2\nIt says no.")


def test_without_headings_the_tasks_cannot_be_told_apart() -> None:
    labels = {PROMPT: "harmful"}
    one = GuardExample("x", None, labels, TEMPLATE.format_answer("It asks for theft.", labels))
    assert aimed(one, "reasoning", PROMPT).startswith("It asks for theft.")
    several = replace(EXAMPLE, reasoning=TEMPLATE.format_answer("It is all bad.", LABELS))
    assert aimed(several, "reasoning", PROMPT).startswith("Answers: ")


def test_rows_that_answer_none_of_the_tasks_go() -> None:
    plain = GuardExample("x", None, {PROMPT: "harmful"})
    assert aim_one(plain, "reasoning", [REFUSAL]) is None
    data = Dataset([plain, EXAMPLE], set(), "rows", "", "jsonl")
    found = aim(data, "reasoning", [REFUSAL])
    assert [example.prompt for example in found.examples] == ["How to steal?"]
    assert found.remarks == ["1 rows answer none of refusal and are left out"]
    with pytest.raises(InputError, match="tasks=refusal: none of the 1 rows answers any"):
        aim(replace(data, examples=[plain]), "reasoning", [REFUSAL])


def test_the_prompt_asks_for_what_is_trained() -> None:
    answers = told(TEMPLATE, "answers", []).instruction
    assert "step by step" not in answers
    assert answers.endswith(
        "Task 3: determine whether the AI assistant's response is harmful or "
        "unharmful. \n\nGive the Answers at once, without reasoning.\n"
    )
    one = told(TEMPLATE, "reasoning", [REFUSAL]).instruction
    assert one.startswith(INSTRUCTION.rstrip())
    assert one.endswith("\nFinish only Task 2, and write None in the Answers of the others.\n")
    own = GuardTemplate(instruction="Judge the talk.\n")
    assert told(own, "answers", [PROMPT, RESPONSE]).instruction == (
        "Judge the talk.\nGive the Answers at once, without reasoning.\n"
        "Finish only Task 1 and Task 3, and write None in the Answers of the others.\n"
    )


@pytest.mark.realdata
@pytest.mark.parametrize("task", list(GuardTask))
def test_every_real_trace_can_be_cut_to_a_task(realdata: Path, task: GuardTask) -> None:
    whole = read_dataset(str(realdata / "traces" / "train.jsonl"), max_rows=600)
    cut = aim(whole, "reasoning", [task]).examples
    assert len(cut) > 300
    with_steps = 0
    for example in cut:
        verdict = parse_answers(example.reasoning or "", example)
        assert verdict.error is None
        assert [one for one, label in verdict.labels.items() if label] == [task]
        with_steps += bool(verdict.reasoning.strip())
    assert with_steps > 0.98 * len(cut)
