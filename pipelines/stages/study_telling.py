"""What is told of the items that a study has drawn, in words and in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipelines.predictions import prompt_key
from pipelines.stages.study_config import StudyConfig
from pipelines.studies.arms import Arm, Joined, Row
from pipelines.studies.artifact import Item
from pipelines.studies.disjoint import Seen, Training
from pipelines.studies.items import STRATA, pattern


def told_of(
    config: StudyConfig,
    arms: Sequence[Arm],
    trainings: Sequence[Training],
    drawn: Sequence[Row],
    attention: int,
) -> list[str]:
    """Remarks on the items that were drawn, with so many attention items beside them."""
    told = []
    if len(drawn) < config.items:
        told.append(
            f"{len(drawn):,} items, where {config.items:,} were asked for: no more are left"
        )
    again = len(drawn) - len({prompt_key(row.example.prompt) for row in drawn})
    if again:
        told.append(f"{again:,} items have a prompt again, with another response")
    patterns = Counter(map(pattern, drawn))
    if config.strata == "equal" and max(patterns.values()) - min(patterns.values()) > 1:
        told.append(f"as even as the rows allow: {_patterns(patterns, arms)}")
    if config.attention_every and attention < config.attention_items:
        told.append(f"{attention} attention items, where {config.attention_items} were asked for")
    for place, (arm, training) in enumerate(zip(arms, trainings, strict=True)):
        taught = sum(prompt_key(row.example.prompt) in training.taught for row in drawn)
        if taught:
            told.append(f"{taught:,} of {len(drawn):,} items have a prompt of {arm.name}'s R-SFT")
        unread = sum(bool(row.verdicts[place].error) for row in drawn)
        if unread:
            told.append(f"{unread:,} verdicts of {arm.name} can't be read and count as wrong")
    return told


def _patterns(patterns: Counter[tuple[bool | None, ...]], arms: Sequence[Arm]) -> str:
    """How many items have which arms right."""

    def words(right: tuple[bool | None, ...]) -> str:
        names = [arm.name for arm, met in zip(arms, right, strict=True) if met]
        return "no arm" if not names else "all arms" if all(right) else " and ".join(names)

    return ", ".join(
        f"{count:,} with {words(right)} right" for right, count in patterns.most_common()
    )


def counts_of(items: Sequence[Item], torn: int, apart: Seen, found: Joined) -> dict[str, int]:
    """Pairs by stratum, ratings that are wanted, and conversations that fell out, by why."""
    strata = Counter(pair.stratum for item in items for pair in item.pairs)
    return {
        "pairs": strata.total(),
        **{f"pairs {name}": strata[name] for name in STRATA if strata[name]},
        "ratings": sum(pair.wanted for item in items for pair in item.pairs),
        "contradicting": torn,
        "trained_on": apart.same,
        "nearly_trained_on": apart.near,
        "missing": found.missing,
        "empty": len(found.empty),
        "identical": len(found.identical),
    }
