"""What R-SFT trains a moderator to write: all of a trace, its answers alone, or some tasks of it.

The ablations of GuardReasoner (arXiv 2501.18492) and of Llama Guard's line of models differ in
nothing else. The prompt says what is wanted, so that a moderator is never asked for steps that it
was trained not to write; it is saved beside the adapter and is what serving asks.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from pipelines.answers import TASK_HEADING, last_block, parse_answers, without_rule
from pipelines.datasets import Dataset
from pipelines.schema import GuardExample, GuardTask, InputError
from pipelines.template import GuardTemplate

logger = logging.getLogger(__name__)

Target = Literal["reasoning", "answers"]
ALL = tuple(GuardTask)

# The sentences by which GuardReasonerTrain's instruction asks for steps.
_ASKS_FOR_STEPS = re.compile(
    r"[ \t]*You must think step by step\.(?:[ \t]*Keep consistency between the reasoning and the "
    r"Answers\.)?[ \t]*"
)
NO_STEPS = "Give the Answers at once, without reasoning."
ONLY = "Finish only {tasks}, and write None in the Answers of the others."


def told(template: GuardTemplate, target: Target, tasks: Collection[GuardTask]) -> GuardTemplate:
    """The template whose instruction asks for this target; the same one for a whole trace."""
    lines = [template.instruction]
    if target == "answers":
        changed, found = _ASKS_FOR_STEPS.subn(NO_STEPS, template.instruction)
        lines = [changed] if found else [changed, NO_STEPS]
    if wanted := _wanted(tasks):
        names = [f"Task {ALL.index(task) + 1}" for task in wanted]
        lines.append(ONLY.format(tasks=" and ".join(names)))
    if lines == [template.instruction]:
        return template
    instruction = "\n".join(line.strip("\n") for line in lines) + "\n"
    return template.model_copy(update={"instruction": instruction})


def aim(dataset: Dataset, target: Target, tasks: Collection[GuardTask]) -> Dataset:
    """The rows with such targets as their `reasoning`; those that answer none of the tasks go.

    Raises InputError where none is left.
    """
    wanted = _wanted(tasks)
    if target == "reasoning" and not wanted:
        return dataset
    aimed = [aim_one(example, target, wanted or ALL) for example in dataset.examples]
    kept = [example for example in aimed if example is not None]
    names = ", ".join(tasks)
    if not kept:
        raise InputError(f"tasks={names}: none of the {len(aimed):,} rows answers any of them")
    remarks = list(dataset.remarks)
    if len(kept) < len(aimed):
        remarks.append(f"{len(aimed) - len(kept):,} rows answer none of {names} and are left out")
    return replace(dataset, examples=kept, remarks=remarks)


def _wanted(tasks: Collection[GuardTask]) -> list[GuardTask]:
    """The tasks in their own order; empty where all are wanted."""
    found = [task for task in ALL if task in tasks]
    return [] if len(found) == len(ALL) else found


def aim_one(
    example: GuardExample, target: Target, tasks: Sequence[GuardTask]
) -> GuardExample | None:
    """The row with the target text for these tasks, or None where it answers none of them.

    The answers block always has its three lines; those of other tasks say None, as they do where
    a task isn't applicable, so that every output can be read.
    """
    told_of = dict(example.gold)
    if example.reasoning:
        written = parse_answers(example.reasoning, example).labels
        told_of = {task: label for task, label in written.items() if label} | told_of
    labels = {task: label for task, label in told_of.items() if task in tasks}
    if not labels:
        return None
    whole = set(told_of) <= set(tasks)
    steps = ""
    if target == "reasoning" and example.reasoning:
        steps = steps_of(example.reasoning, tasks, whole)
    text = GuardTemplate.default().format_answer(steps, labels)
    gold = {task: label for task, label in example.gold.items() if task in tasks}
    return replace(example, reasoning=text, gold=gold)


def steps_of(text: str, tasks: Collection[GuardTask], whole: bool) -> str:
    """The sections of these tasks, as they are written; the answers are left out.

    What stands before the first heading is the first task's where the heading was left out. Where
    no heading tells the tasks apart, it is all of the text if `whole`, else nothing.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    block = last_block(lines)
    sections: dict[int, list[str]] = {}
    number = 0
    for line in lines[: block.start] if block else lines:
        if match := TASK_HEADING.match(line):
            number = int(match["number"][:4])
        sections.setdefault(number, []).append(line)
    if set(sections) <= {0}:
        return without_rule(sections.get(0, [])) if whole else ""
    if 1 not in sections and 0 in sections:
        sections[1] = sections.pop(0)
    wanted = (sections.get(ALL.index(task) + 1, []) for task in ALL if task in tasks)
    return "\n\n".join(filter(None, map(without_rule, wanted)))
