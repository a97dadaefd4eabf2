"""A seeded sample that keeps the shares of labels, and within each label of kinds."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from typing import Any

from pipelines.schema import GuardExample, InputError


def stratified(
    examples: list[GuardExample], labels: list[Any], rows: int, seed: int
) -> list[GuardExample]:
    """Exactly so many of the examples in their order (all where there are no more, or for 0).

    First each label gets its share, and at least one row where there is room; then each category
    and source its share of the label's. Seeded.
    """
    if rows < 0:
        raise InputError(f"max_rows={rows}: must be at least 0")
    if not rows or rows >= len(examples):
        return examples
    strata: dict[Any, dict[Hashable, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (example, label) in enumerate(zip(examples, labels, strict=True)):
        strata[label][(example.category, example.source)].append(index)
    chance = random.Random(seed)
    least = 1 if rows >= len(strata) else 0
    shares = _allot(dict(sorted(Counter(labels).items())), rows, least)
    kept: list[int] = []
    for label, share in shares.items():
        kinds = sorted(strata[label].items(), key=lambda kind: str(kind[0]))
        # Kinds too small for a row of their own take turns by chance, not by the alphabet.
        chance.shuffle(kinds)
        parts = _allot({kind: len(members) for kind, members in kinds}, share)
        for kind, members in kinds:
            kept += chance.sample(members, parts[kind])
    return [examples[index] for index in sorted(kept)]


def _allot(sizes: Mapping[Any, int], rows: int, least: int = 0) -> dict[Any, int]:
    """`rows` shared out by size, by largest remainder; none gets more than its size, and none
    fewer than `least`, which must leave enough for all."""
    whole = sum(sizes.values())
    exact = {key: size * rows / whole for key, size in sizes.items()}
    taken = {key: max(int(number), least) for key, number in exact.items()}
    short = rows - sum(taken.values())
    by_remainder = sorted(sizes, key=lambda key: taken[key] - exact[key])
    for key in by_remainder[: max(short, 0)]:
        taken[key] += 1
    for _ in range(-short):  # the small ones were lifted to `least`: the large ones pay for it
        spare = [key for key in sizes if taken[key] > least]
        taken[max(spare, key=lambda key: taken[key] - exact[key])] -= 1
    return taken
