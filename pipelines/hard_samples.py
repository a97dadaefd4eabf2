"""From k generations a conversation to hard samples, preference pairs and their weights.

The rule is the authors' (GuardReasoner, arXiv 2501.18492, and their published mining script);
`docs/method.md` puts the two side by side.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

from pipelines.schema import Generation, GuardExample, GuardTask, HardSample, Label, Verdict

# Request, response, completion: the order in which the authors look for a mixed result.
TASK_ORDER = (GuardTask.PROMPT_HARMFULNESS, GuardTask.RESPONSE_HARMFULNESS, GuardTask.REFUSAL)

Pairing = Literal["longest", "random"]
"""Which right and which wrong answer make the pair: the longest of each (the authors'), or one of
each by lot, seeded for each row."""

Weighting = Literal["paper", "pooled", "uniform", "stored"]
"""How alpha is spread: over the range within each (model, source), as the authors do; over the
range of the whole set; not at all (1); or as the set has it."""

Group = TypeVar("Group", bound=Hashable)
Hardness = Literal["hard", "all_wrong", "settled"]
Range = tuple[int, int]
"""The least and the greatest d = wrong - right."""


def judge(verdict: Verdict, gold: Mapping[GuardTask, Label], task: GuardTask) -> bool | None:
    """Whether the verdict is right on a task; None where it has no gold or can't be judged.

    A generation with any unparsed field judges nothing.
    """
    if verdict.error or task not in gold:
        return None
    return verdict.label(task) == gold[task]


def find_hard_sample(
    example: GuardExample,
    verdicts: Sequence[Verdict],
    pairing: Pairing = "longest",
    seed: int = 0,
    model: str = "",
    sampling: Mapping[str, Any] | None = None,
) -> HardSample | None:
    """The hard sample in k verdicts on one conversation, or None where there is none.

    The first task with both right and wrong generations makes it. `model` names the moderator,
    `sampling` how the verdicts were drawn; `seed` is for the `random` pairing.
    """
    generations = [Generation(verdict.raw, verdict) for verdict in verdicts]
    found = _mixed(example, generations, pairing, seed)
    return found and replace(found, model=model, sampling=dict(sampling or {}))


def find_all_wrong(
    example: GuardExample,
    verdicts: Sequence[Verdict],
    model: str = "",
    sampling: Mapping[str, Any] | None = None,
) -> HardSample | None:
    """The conversation as a sample without a pair, where its gold label may be an error.

    That is on the first task on which two or more answers were parsed and all of them give one
    and the same label, another than the gold one; None where there is no such task.
    """
    generations = [Generation(verdict.raw, verdict) for verdict in verdicts]
    found = _all_wrong(example, generations)
    return found and replace(found, model=model, sampling=dict(sampling or {}))


def rejudge(
    sample: HardSample,
    gold: Mapping[GuardTask, Label],
    pairing: Pairing = "longest",
    seed: int = 0,
) -> HardSample:
    """The same answers held to other gold labels: task, correctness, k, chosen and rejected anew.

    Where nothing is mixed and the answers don't agree against the gold either, the sample is
    settled: it keeps its task and has no pair. Weight, model and sampling stay.
    """
    example = replace(sample.example, gold=dict(gold))
    found = (
        _mixed(example, sample.generations, pairing, seed)
        or _all_wrong(example, sample.generations)
        or _sample(example, sample.task, sample.generations)
    )
    return replace(found, weight=sample.weight, model=sample.model, sampling=sample.sampling)


def hardness(sample: HardSample) -> Hardness:
    """`hard`: right and wrong answers; `all_wrong`: no right one; `settled`: no wrong one."""
    if not sample.k_incorrect:
        return "settled"
    return "hard" if sample.k_correct else "all_wrong"


def choose_pair(
    generations: Sequence[Generation], pairing: Pairing = "longest", seed: int = 0
) -> tuple[int, int]:
    """(chosen, rejected): the indices of a right and of a wrong generation.

    `longest` goes by characters, the first of equals. Raises ValueError where one side is empty.
    """
    right = [i for i, one in enumerate(generations) if one.correct is True]
    wrong = [i for i, one in enumerate(generations) if one.correct is False]
    if not right or not wrong:
        raise ValueError("a pair needs a right and a wrong generation")
    if pairing == "random":
        chance = random.Random(seed)
        return chance.choice(right), chance.choice(wrong)

    def length(index: int) -> int:
        return len(generations[index].text)

    return max(right, key=length), max(wrong, key=length)


def row_seed(seed: int, example: GuardExample) -> int:
    """A seed of the row's own, so that a draw doesn't depend on which other rows there are."""
    words = f"{seed}\0{example.prompt}\0{example.response}"
    return int.from_bytes(hashlib.sha256(words.encode("utf-8", "replace")).digest()[:8], "big")


def _sample(
    example: GuardExample, task: GuardTask, generations: Iterable[Generation]
) -> HardSample:
    judged = tuple(
        replace(one, correct=judge(one.verdict, example.gold, task)) for one in generations
    )
    right = sum(one.correct is True for one in judged)
    wrong = sum(one.correct is False for one in judged)
    return HardSample(example, task, judged, right, wrong, None, None)


def _by_task(example: GuardExample, generations: Sequence[Generation]) -> Iterable[HardSample]:
    for task in TASK_ORDER:
        if task in example.gold and example.applicable(task):
            yield _sample(example, task, generations)


def _mixed(
    example: GuardExample, generations: Sequence[Generation], pairing: Pairing, seed: int
) -> HardSample | None:
    for sample in _by_task(example, generations):
        if hardness(sample) == "hard":
            pair = choose_pair(sample.generations, pairing, row_seed(seed, example))
            return replace(sample, chosen=pair[0], rejected=pair[1])
    return None


def _all_wrong(example: GuardExample, generations: Sequence[Generation]) -> HardSample | None:
    for sample in _by_task(example, generations):
        given = {g.verdict.label(sample.task) for g in sample.generations if g.correct is False}
        # One answer agrees with nothing, and None is no label that the gold one might be instead.
        if (
            not sample.k_correct
            and sample.k_incorrect > 1
            and len(given) == 1
            and None not in given
        ):
            return sample
    return None


def spread(differences: Sequence[int], gamma: float, over: Range | None = None) -> list[float]:
    """d = wrong - right of each sample -> alpha = 1 - gamma + 2 gamma (d - min) / (max - min).

    The range is `over`, else the observed one; where its ends are equal, every alpha is 1 (the
    published script divides by nought there).
    """
    low, high = over or (min(differences, default=0), max(differences, default=0))
    if low == high:
        return [1.0] * len(differences)
    return [1 - gamma + 2 * gamma * (d - low) / (high - low) for d in differences]


def ranges_of(differences: Sequence[int], groups: Sequence[Group]) -> dict[Group, Range]:
    """group -> the range of d that is observed in it."""
    found: dict[Group, Range] = {}
    for d, group in zip(differences, groups, strict=True):
        low, high = found.get(group, (d, d))
        found[group] = (min(low, d), max(high, d))
    return found


def spread_by_group(
    differences: Sequence[int],
    groups: Sequence[Group],
    gamma: float,
    known: Mapping[Group, Range] | None = None,
) -> list[float]:
    """`spread` within each group, over the range `known` of it where one is given."""
    ranges = {**ranges_of(differences, groups), **(known or {})}
    return [
        spread([d], gamma, ranges[group])[0] for d, group in zip(differences, groups, strict=True)
    ]


def difference(sample: HardSample) -> int:
    """d of the paper: wrong less right answers."""
    return sample.k_incorrect - sample.k_correct


def weigh(
    samples: Sequence[HardSample],
    gamma: float,
    weighting: Weighting = "paper",
    known: Mapping[tuple[str, str], Range] | None = None,
) -> list[HardSample]:
    """The same samples with their weights set; those without a pair weigh 1 and count in no range.

    `known` gives ranges of (model, source) in place of those observed here.
    """
    if weighting == "stored":
        return list(samples)
    hard = [sample for sample in samples if hardness(sample) == "hard"]
    differences = [difference(sample) for sample in hard]
    if weighting == "uniform":
        weights = [1.0] * len(hard)
    elif weighting == "pooled":
        weights = spread(differences, gamma)
    else:
        groups = [(sample.model, sample.example.source) for sample in hard]
        weights = spread_by_group(differences, groups, gamma, known)
    given = iter(weights)
    return [
        replace(sample, weight=next(given) if hardness(sample) == "hard" else 1.0)
        for sample in samples
    ]
