"""From scored answers to (better, worse) pairs, and the scores as lines of a file.

The better answer is the best of those whose verdict is right on every known task; a trace that
argues well for a wrong verdict is nothing to learn. The worse one is the lowest of all others,
right or wrong, parsed or not: a bad trace is bad wherever it ends. The two differ by `min_gap` at
least; where no two do, the conversation makes no pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.hard_samples import TASK_ORDER, judge, spread
from pipelines.quality_checks import Check
from pipelines.reasoning_quality import WEIGHTS, Quality, right
from pipelines.schema import Generation, GuardExample, GuardTask, HardSample, Verdict

GapWeighting = Literal["uniform", "gap"]
"""uniform: every pair weighs 1; gap: 1 - gamma for the least gap up to 1 + gamma for the widest."""
_FINE = 10_000


@dataclass(frozen=True, slots=True)
class Scored:
    """A conversation with its k answers and their scores, None where the judge failed."""

    example: GuardExample
    verdicts: Sequence[Verdict]
    qualities: Sequence[Quality | None]

    def total(self, index: int) -> float:
        quality = self.qualities[index]
        return -1.0 if quality is None else quality.total


def best_and_worst(scored: Scored, min_gap: float) -> tuple[int, int] | None:
    """(better, worse) as indices, the first of equals; None where there is no such pair.

    An answer without text or without a score is in no pair.
    """
    usable = [
        index
        for index, verdict in enumerate(scored.verdicts)
        if verdict.raw.strip() and scored.qualities[index] is not None
    ]
    good = [index for index in usable if right(scored.verdicts[index], scored.example)]
    if not good:
        return None
    better, worse = max(good, key=scored.total), min(usable, key=scored.total)
    gap = scored.total(better) - scored.total(worse)
    # Not `>=` alone: 0.4 - 0.3 is a little less than 0.1.
    return (better, worse) if gap > 0 and gap + 1e-9 >= min_gap else None


def to_sample(
    scored: Scored, min_gap: float, model: str, sampling: Mapping[str, Any]
) -> HardSample | None:
    """The pair with all k answers. Right and wrong are counted on the first task on which the
    two differ, else on the first with a gold label; `sampling` gets the k scores."""
    pair = best_and_worst(scored, min_gap)
    if pair is None:
        return None
    example = scored.example
    task = _task(example, scored.verdicts[pair[0]], scored.verdicts[pair[1]])
    generations = tuple(
        Generation(one.raw, one, judge(one, example.gold, task)) for one in scored.verdicts
    )
    scores = [None if one is None else round(one.total, 4) for one in scored.qualities]
    return HardSample(
        example=example,
        task=task,
        generations=generations,
        k_correct=sum(one.correct is True for one in generations),
        k_incorrect=sum(one.correct is False for one in generations),
        chosen=pair[0],
        rejected=pair[1],
        model=model,
        sampling={**sampling, "scores": scores},
    )


def _task(example: GuardExample, better: Verdict, worse: Verdict) -> GuardTask:
    known = [task for task in TASK_ORDER if task in example.gold and example.applicable(task)]
    differing = (task for task in known if better.label(task) != worse.label(task))
    return next(differing, known[0])


def gap_of(sample: HardSample) -> float:
    """How much better the chosen answer of a sample scored than the rejected one."""
    scores = sample.sampling["scores"]
    if sample.chosen is None or sample.rejected is None:
        raise ValueError(f"row_id={sample.example.row_id}: the sample has no pair")
    return float(scores[sample.chosen] - scores[sample.rejected])


def weigh_gaps(
    samples: Sequence[HardSample], weighting: GapWeighting, gamma: float
) -> list[HardSample]:
    """The same samples with their weights set; where all gaps are equal, every weight is 1."""
    if weighting == "uniform":
        return [replace(sample, weight=1.0) for sample in samples]
    weights = spread([round(gap_of(sample) * _FINE) for sample in samples], gamma)
    return [replace(sample, weight=weight) for sample, weight in zip(samples, weights, strict=True)]


def score_row(scored: Scored) -> dict[str, Any]:
    """The scores of a conversation's answers as a line of `scores.jsonl`, with the evidence."""
    return {
        "row_id": scored.example.row_id,
        "answers": [None if one is None else _quality_row(one) for one in scored.qualities],
    }


def _quality_row(quality: Quality) -> dict[str, Any]:
    parts = {name: getattr(quality, name) for name in WEIGHTS}
    checks = [[one.dimension, one.name, one.value, one.text] for one in quality.checks]
    return {"total": quality.total, **parts, "checks": checks}


def qualities_from(row: Mapping[str, Any]) -> list[Quality | None]:
    """What `score_row` wrote."""
    return [one and _quality_from(one) for one in row["answers"]]


def _quality_from(row: Mapping[str, Any]) -> Quality:
    checks = tuple(Check(*found) for found in row["checks"])
    return Quality(**{name: row[name] for name in WEIGHTS}, checks=checks)
