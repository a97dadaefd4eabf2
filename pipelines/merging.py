"""Merging hard samples of several mining runs: each conversation once, weights from before that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.hard_samples import hardness, weigh
from pipelines.pair_weights import Ranges, sample_ranges
from pipelines.schema import HardSample


@dataclass(frozen=True, slots=True)
class Merged:
    """Samples of all sets, each conversation once, with weights from before that.

    `counts` has a row for each (model, source): its hard samples before and after.
    """

    samples: list[HardSample]
    ranges: Ranges
    counts: list[dict[str, Any]]


def merge(
    sets: Sequence[Sequence[HardSample]], gamma: float, known: Iterable[Ranges] = ()
) -> Merged:
    """All samples in the sets' order, one a conversation (prompt and response), the first's.

    A hard sample goes before one without a pair, whichever comes first. Weights are spread over
    the range of each (model, source) in all of its samples, those too that are then left out;
    `known` has the ranges that the sets were written with.
    """
    every = [sample for samples in sets for sample in samples]
    ranges = union([sample_ranges(every), *known])
    weighed = weigh(every, gamma, "paper", ranges)
    kept: dict[tuple[str, str | None], HardSample] = {}
    for hard in (True, False):
        for sample in weighed:
            if (hardness(sample) == "hard") is hard:
                kept.setdefault((sample.example.prompt, sample.example.response), sample)
    chosen = {id(sample) for sample in kept.values()}
    samples = with_own_ids([sample for sample in weighed if id(sample) in chosen])
    return Merged(samples, ranges, count(every, samples))


def with_own_ids(samples: Sequence[HardSample]) -> list[HardSample]:
    """The same samples; a row id that an earlier one of another file has gets a number."""
    seen: set[str] = set()
    found = []
    for sample in samples:
        row_id, number = sample.example.row_id, 1
        while row_id in seen:
            number += 1
            row_id = f"{sample.example.row_id}#{number}"
        seen.add(row_id)
        found.append(replace(sample, example=replace(sample.example, row_id=row_id)))
    return found


def count(before: Sequence[HardSample], after: Sequence[HardSample]) -> list[dict[str, Any]]:
    """{model, source, before, after}: hard samples of each model and source, in their order."""

    def counted(samples: Sequence[HardSample]) -> Counter[tuple[str, str]]:
        return Counter(
            (one.model, one.example.source) for one in samples if hardness(one) == "hard"
        )

    left = counted(after)
    return [
        {"model": model, "source": source, "before": number, "after": left[model, source]}
        for (model, source), number in counted(before).items()
    ]


def union(several: Iterable[Ranges]) -> Ranges:
    """The least and the greatest d of each (model, source) in any of them."""
    found: Ranges = {}
    for ranges in several:
        for group, (low, high) in ranges.items():
            before = found.get(group, (low, high))
            found[group] = (min(low, before[0]), max(high, before[1]))
    return found
