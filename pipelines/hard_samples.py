"""From k generations a conversation to hard samples, preference pairs and their weights.

The rule is the authors' (GuardReasoner, arXiv 2501.18492, and their published mining script).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipelines.schema import Generation, GuardExample, GuardTask, HardSample, Label, Verdict

# Request, response, completion: the order in which the authors look for a mixed result.
TASK_ORDER = (GuardTask.PROMPT_HARMFULNESS, GuardTask.RESPONSE_HARMFULNESS, GuardTask.REFUSAL)


def judge(verdict: Verdict, gold: Mapping[GuardTask, Label], task: GuardTask) -> bool | None:
    """Whether the verdict is right on a task; None where it has no gold or can't be judged.

    A generation with any unparsed field judges nothing.
    """
    if verdict.error or task not in gold:
        return None
    return verdict.label(task) == gold[task]


def find_hard_sample(example: GuardExample, verdicts: Sequence[Verdict]) -> HardSample | None:
    """The hard sample in k verdicts on one conversation, or None where there is none.

    The first task with both right and wrong generations makes it: the longest right generation is
    chosen, the longest wrong one rejected (by characters; the first of equals).
    """
    for task in TASK_ORDER:
        if task not in example.gold or not example.applicable(task):
            continue
        generations = tuple(
            Generation(verdict.raw, verdict, judge(verdict, example.gold, task))
            for verdict in verdicts
        )
        right = [i for i, one in enumerate(generations) if one.correct is True]
        wrong = [i for i, one in enumerate(generations) if one.correct is False]
        if right and wrong:
            return HardSample(
                example=example,
                task=task,
                generations=generations,
                k_correct=len(right),
                k_incorrect=len(wrong),
                chosen=max(right, key=lambda i: len(generations[i].text)),
                rejected=max(wrong, key=lambda i: len(generations[i].text)),
            )
    return None


def spread(differences: Sequence[int], gamma: float) -> list[float]:
    """d = wrong - right of each sample -> alpha = 1 - gamma + 2 gamma (d - min) / (max - min).

    The range is the observed one; where all d are equal, every alpha is 1.
    """
    low, high = min(differences, default=0), max(differences, default=0)
    if low == high:
        return [1.0] * len(differences)
    return [1 - gamma + 2 * gamma * (d - low) / (high - low) for d in differences]


def weigh(samples: Sequence[HardSample], gamma: float) -> list[HardSample]:
    """The same samples with their weights set."""
    weights = spread([sample.k_incorrect - sample.k_correct for sample in samples], gamma)
    return [replace(sample, weight=weight) for sample, weight in zip(samples, weights, strict=True)]
