"""The items of a study: which conversations are compared, by which arms, and how often.

Everything here is drawn from one seed: the same rows give the same study.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

from pipelines.predictions import prompt_key
from pipelines.stratified import stratified
from pipelines.studies.arms import Row
from pipelines.studies.artifact import Item, Pair
from pipelines.studies.design import DesignFields
from pipelines.studies.known import conversation, trace

MANY_TOPICS = 40
STRATA = ("both", "first", "second", "neither")
"""Whose verdicts are right, of the two arms of a pair."""

Strata = Literal["equal", "as drawn"]


def stratum(first: bool | None, second: bool | None) -> str:
    """Whose verdict is right: both, first, second or neither; empty where that isn't known."""
    if first is None or second is None:
        return ""
    return {(True, True): "both", (True, False): "first", (False, True): "second"}.get(
        (first, second), "neither"
    )


def pattern(row: Row) -> tuple[bool | None, ...]:
    """Which arms' verdicts are right."""
    return tuple(row.right(arm) for arm in range(len(row.verdicts)))


def draw(rows: Sequence[Row], count: int, strata: Strata, seed: int) -> list[Row]:
    """So many of the rows, or all where there are no more, in an order of chance.

    `equal` takes as many of each pattern of right and wrong arms as there are, `as drawn` their
    shares; within a pattern each category and source gets its share. A prompt comes twice, with
    another response, only where there are too few of them. Seeded.
    """
    lot = random.Random(seed)
    alone, again = _one_a_prompt(rows, strata, lot)
    drawn = _stratified(alone, count, strata, seed)
    drawn += _stratified(again, count - len(drawn), strata, seed)
    lot.shuffle(drawn)
    return drawn


def _one_a_prompt(
    rows: Sequence[Row], strata: Strata, lot: random.Random
) -> tuple[list[Row], list[Row]]:
    """(a row of each prompt, the others): by lot, or for equal strata the rarest pattern's."""
    common = Counter(map(pattern, rows))
    ordered = lot.sample(list(rows), len(rows))
    if strata == "equal":
        ordered.sort(key=lambda row: common[pattern(row)])
    first: dict[int, Row] = {}
    for row in ordered:
        first.setdefault(prompt_key(row.example.prompt), row)
    taken = {id(row) for row in first.values()}
    return list(first.values()), [row for row in ordered if id(row) not in taken]


def _stratified(rows: Sequence[Row], count: int, strata: Strata, seed: int) -> list[Row]:
    if strata == "as drawn":
        return _kinds(rows, [pattern(row) for row in rows], min(count, len(rows)), seed)
    groups: dict[tuple[bool | None, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[pattern(row)].append(row)
    shares = evenly({key: len(members) for key, members in groups.items()}, count)
    return [
        row
        for key, members in sorted(groups.items(), key=str)
        for row in _kinds(members, ["" for _ in members], shares[key], seed)
    ]


def _kinds(rows: Sequence[Row], labels: Sequence[Any], count: int, seed: int) -> list[Row]:
    if not count:
        return []
    by_example = {id(row.example): row for row in rows}
    examples = stratified([row.example for row in rows], list(labels), count, seed)
    return [by_example[id(example)] for example in examples]


def evenly(sizes: Mapping[Any, int], count: int) -> dict[Any, int]:
    """`count` shared out as evenly as the sizes allow; all of it where there is room."""
    left, shares = min(count, sum(sizes.values())), dict.fromkeys(sizes, 0)
    open_ = sorted(sizes, key=lambda key: (sizes[key], str(key)))
    for place, key in enumerate(open_):
        # The small ones first: what they lack goes to the others.
        shares[key] = min(sizes[key], left // (len(open_) - place))
        left -= shares[key]
    return shares


def main_items(
    rows: Sequence[Row], design: DesignFields, pairs_per_item: int, seed: int
) -> list[Item]:
    """An item a row, with its pairs of arms; each pair is wanted as often as the design says."""
    used: Counter[tuple[int, int]] = Counter()
    chosen: list[list[tuple[int, int]]] = []
    for row in rows:
        ways = [
            pair
            for pair in combinations(range(len(row.verdicts)), 2)
            if not row.same(*pair)  # identical traces can't be told apart
        ]
        ways.sort(key=lambda pair: (used[pair], pair))
        taken = sorted(ways[: pairs_per_item or len(ways)])
        used.update(taken)
        chosen.append(taken)
    wanted = iter(wanted_ratings(sum(map(len, chosen)), design, seed))
    return [
        _item(row, [(first, second, next(wanted)) for first, second in pairs])
        for row, pairs in zip(rows, chosen, strict=True)
    ]


def wanted_ratings(pairs: int, design: DesignFields, seed: int) -> list[int]:
    """How often each of so many pairs is rated: a seeded share of them by more people."""
    many = max(design.overlap_ratings, design.ratings_per_pair)
    overlap = round(design.overlap_share * pairs)
    if design.overlap_share and pairs and many > 1:
        overlap = max(overlap, 1)
    shared = set(random.Random(f"{seed}:overlap").sample(range(pairs), overlap))
    return [many if place in shared else design.ratings_per_pair for place in range(pairs)]


def _item(row: Row, pairs: Sequence[tuple[int, int, int]]) -> Item:
    example = row.example
    return Item(
        **conversation(example),
        gold={task.value: label for task, label in example.gold.items()},
        traces=[
            trace(arm, verdict, example, row.right(arm)) for arm, verdict in enumerate(row.verdicts)
        ],
        pairs=[
            Pair(
                first_arm=first,
                second_arm=second,
                stratum=stratum(row.right(first), row.right(second)),
                wanted=wanted,
            )
            for first, second, wanted in pairs
        ],
    )


def topics_of(items: Sequence[Item], chosen: Sequence[str]) -> tuple[list[str], list[str]]:
    """(topics that people may leave out, remarks): the chosen ones that there are, else all that
    the items have, the most frequent where they are many. What all items share can't be left out.
    """
    found = Counter(item.topic for item in items if item.topic)
    if chosen:
        unknown = [topic for topic in chosen if topic not in found]
        told = [f"no item is about {', '.join(unknown)}"] if unknown else []
        return [topic for topic in chosen if topic in found], told
    if len(found) < 2:
        return [], []
    return sorted(topic for topic, _ in found.most_common(MANY_TOPICS)), []
