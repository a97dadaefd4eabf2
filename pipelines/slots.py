"""Answer slots: where a guard's output names its labels, and how probable each label is there.

A slot is the place of one label in the answers block. The probability of a task is that of its
positive class between the task's two labels at its slot: P(positive) / (P(positive) + P(negative)),
each with all its tokens and what ends it, so that a label of more tokens isn't at a disadvantage
for being spelt in full.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from pipelines.answers import FIELDS, last_block
from pipelines.schema import GuardExample, GuardTask, Label, Verdict
from pipelines.template import GuardTemplate

Path = tuple[Label, ...]
"""Labels of the slots so far, in the order of the block."""
_DECORATION = r"[*_`\"' \t]*"


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of one output: what is written before the first, and what may follow.

    `tasks` stand in the order of the block. `continuations` maps the labels up to and with a slot
    to the text from the first slot to that label's end.
    """

    written: str
    tasks: tuple[GuardTask, ...]
    continuations: Mapping[Path, str]

    def probabilities(self, scores: Sequence[float]) -> dict[GuardTask, float]:
        """Log-probabilities of the continuations, in their order -> P(positive) of each task.

        Where the earlier labels were left open, the later slots are weighed with them:
        P(refusal) = sum over r of P(Request: r) P(refusal | Request: r).
        """
        given = dict(zip(self.continuations, scores, strict=True))
        reached: dict[Path, float] = {(): 1.0}
        found = {}
        for depth, task in enumerate(self.tasks):
            after: dict[Path, float] = {}
            for path, weight in reached.items():
                if (*path, task.labels[0]) not in given:
                    continue  # an output that was written has one path alone
                positive = _share(*(given[*path, label] for label in task.labels))
                after[*path, task.labels[0]] = weight * positive
                after[*path, task.labels[1]] = weight * (1 - positive)
            total = sum(after.values())
            found[task] = (
                sum(share for path, share in after.items() if path[depth] == task.labels[0]) / total
            )
            reached = after
        return found


def _share(positive: float, negative: float) -> float:
    """exp(p) / (exp(p) + exp(n)), safe where both are far below what exp can tell from 0."""
    return 1 / (1 + math.exp(min(negative - positive, 700.0)))


def blank_slots(template: GuardTemplate, example: GuardExample) -> Slots:
    """The slots of an answers block without any reasoning, all labels open."""
    tasks = tuple(task for task in FIELDS.values() if example.applicable(task))
    continuations: dict[Path, str] = {}
    start = template.format_answer("", {}).index("None")
    for depth in range(1, len(tasks) + 1):
        for path in product(*(task.labels for task in tasks[:depth])):
            block = template.format_answer("", dict(zip(tasks, path, strict=False)))
            lines = block.split("\n")
            kept = "\n".join(lines[: depth + 1])
            continuations[path] = kept[start:] + ("\n" if depth + 1 < len(lines) else "")
    return Slots(template.format_answer("", {})[:start], tasks, continuations)


def written_slots(verdict: Verdict) -> Slots | None:
    """The slots of an output that was parsed: those that hold a label on a line of their own.

    None where there are none, as after a failed parse. A slot is weighed under the labels that
    the model itself wrote before it.
    """
    text = verdict.raw.replace("\r\n", "\n")
    lines = text.split("\n")
    block = last_block(lines)
    if block is None or not verdict.labels:
        return None
    offset = len("\n".join(lines[: block.start])) + (block.start > 0)
    places = []
    for name, task in FIELDS.items():
        label = verdict.label(task)
        found = _place(text, offset, name) if label and name in block.values else None
        if found and label:
            places.append((found, task, label))
    places.sort(key=lambda place: place[0].start("label"))
    if not places:
        return None
    first = places[0][0].start("label")
    continuations: dict[Path, str] = {}
    path: Path = ()
    for found, task, label in places:
        between = text[first : found.start("label")]
        close = found["rest"].strip() + ("\n" if text[found.end() :].strip() else "")
        upper = found["label"][0].isupper()
        for one in task.labels:
            continuations[*path, one] = between + (one.capitalize() if upper else one) + close
        path = (*path, label)
    return Slots(text[:first], tuple(task for _, task, _ in places), continuations)


def _place(text: str, offset: int, name: str) -> re.Match[str] | None:
    """A field's label in the block that begins at `offset`, None in an unusual layout."""
    labels = "|".join(FIELDS[name].labels[::-1])
    sign = rf"{name}{_DECORATION}[:=]{_DECORATION}"
    line = rf"(?im)^[^\w\n]*(?:answers?\W*)?{sign}(?P<label>{labels})(?P<rest>[*_`\"'. \t]*)$"
    return re.compile(line).search(text, offset)
