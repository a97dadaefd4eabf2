"""What people preferred, as preference pairs to train on: the same form as mined ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.hub import clean
from pipelines.pair_rows import Row
from pipelines.pair_writing import freeze
from pipelines.schema import DataError, GuardTask
from pipelines.studies.records import Rated, StudyFacts, StudyRecords
from pipelines.template import FILE_NAME, GuardTemplate

GAMMA = 0.2
TIE = 3


@dataclass(frozen=True, slots=True)
class Preferred:
    """Pairs to learn from, and how many are left out by reason: `tie`, `both_bad` (half of the
    ratings or more say so), `wrong` (the preferred trace misses a gold label)."""

    rows: tuple[Row, ...]
    left_out: Mapping[str, int]


def preferred_pairs(
    records: StudyRecords, gamma: float = GAMMA, *, keep_wrong: bool = False
) -> Preferred:
    """A row for each pair that people preferred one trace of, and that it is good to learn from.

    A pair's counted ratings are averaged. How far the mean lies from a tie is the strength, from
    0 to 1, and the weight is 1 - gamma + 2 * gamma * strength: the range that mined pairs have.
    `keep_wrong` keeps pairs whose preferred trace misses a gold label: people judge the reasoning
    without seeing the verdicts, so a moderator would be taught wrong ones.
    """
    by_pair: dict[int, list[Rated]] = defaultdict(list)
    for one in records.rated:
        if not one.vote.why_not:
            by_pair[one.vote.pair].append(one)
    names = records.facts.arm_names
    rows, left_out = [], dict.fromkeys(("tie", "both_bad", "wrong"), 0)
    for found in by_pair.values():
        why = _why_not(found, keep_wrong)
        if why:
            left_out[why] += 1
        else:
            rows.append(_row(found, names, gamma))
    return Preferred(tuple(rows), left_out)


def _why_not(found: Sequence[Rated], keep_wrong: bool) -> str:
    """Why nothing is to be learnt from a pair with these ratings; empty where something is."""
    lead = _lead(found)
    if 2 * sum(one.vote.both_bad for one in found) >= len(found):
        return "both_bad"
    if lead == 0:
        return "tie"
    one = found[0]
    known = bool(one.gold) or one.right != (None, None)
    right = one.right[0 if lead > 0 else 1]
    return "wrong" if known and not right and not keep_wrong else ""


def _lead(found: Sequence[Rated]) -> int:
    """By how many points the ratings lean to the first trace; negative, to the second."""
    return sum(one.vote.score - TIE for one in found)


def _row(found: Sequence[Rated], names: Sequence[str], gamma: float) -> Row:
    """The pair as a row; its ratings must lean to one side."""
    scores, lead = [one.vote.score for one in found], _lead(found)
    one, (chosen, rejected) = found[0], (0, 1) if lead > 0 else (1, 0)
    arms = (one.vote.first_arm, one.vote.second_arm)
    strength = abs(lead) / (2 * len(scores))
    wins = sum(score > TIE if lead > 0 else score < TIE for score in scores)
    losses = sum(score < TIE if lead > 0 else score > TIE for score in scores)
    tasks = [task.value for task in GuardTask if task.value in one.gold]
    return {
        "row_id": one.row_id or f"item:{one.vote.item}",
        "source": one.source,
        "model": " > ".join(names[arms[side]] for side in (chosen, rejected)),
        "task": tasks[0] if tasks else GuardTask.PROMPT_HARMFULNESS.value,
        "prompt": one.prompt,
        "response": one.response,
        "gold": dict(one.gold),
        "chosen": one.traces[chosen],
        "rejected": one.traces[rejected],
        "chosen_index": arms[chosen],
        "rejected_index": arms[rejected],
        # Alike in every row, so that weighing by how often a model was right leaves all at 1.
        "k_correct": 1,
        "k_incorrect": 1,
        "weight": 1 - gamma + 2 * gamma * strength,
        "sampling": {"ratings": len(scores), "for": wins, "against": losses},
        "human_edited": False,
    }


def write_preferred_pairs(
    records: StudyRecords,
    folder: Path,
    gamma: float = GAMMA,
    template: GuardTemplate | None = None,
    *,
    keep_wrong: bool = False,
) -> dict[str, Any]:
    """Freezes the preferred pairs as a set that HS-DPO takes; returns its pair_set.json, whose
    record counts what is left out.

    Raises DataError where nobody preferred anything, InputError where the folder holds a set.
    """
    found, facts = preferred_pairs(records, gamma, keep_wrong=keep_wrong), records.facts
    if not found.rows:
        why = ", ".join(f"{reason} {count:,}" for reason, count in found.left_out.items() if count)
        raise DataError(
            f"study={facts.id}: no pair has a preference to learn from"
            + (f" (left out: {why})" if why else "")
        )
    record: Mapping[str, Any] = {
        "study": facts.name,
        "design_hash": facts.design_hash,
        "arms": clean(list(facts.arms)),
        "meaning": "chosen is the trace that people preferred, `sampling` counts their ratings, "
        "and the stored weight grows with how clearly they preferred it; `left_out` counts pairs "
        "by why nothing is to be learnt from them",
        "left_out": dict(found.left_out),
        "keep_wrong": keep_wrong,
        "ratings_withdrawn": len(records.rated) - len(records.shared),
    }
    about = {
        "weighting": "stored",
        "gamma": gamma,
        "pairing": None,
        "name": None,
        "version": None,
        "parent": None,
        "ranges": [],
        "record": dict(record),
    }
    return freeze(folder, found.rows, template or template_of(facts), about)


def template_of(facts: StudyFacts) -> GuardTemplate:
    """The template of the arms that are adapters on this machine, where they have one in common;
    else the default."""
    found = []
    for arm in facts.arms:
        place = Path(str(arm.get("reference", "")))
        if place.is_absolute() and (place / FILE_NAME).is_file():
            found.append(GuardTemplate.load(place))
    same = found and all(one == found[0] for one in found)
    return found[0] if same else GuardTemplate.default()
