"""A rating told by arm, as all statistics of preference studies take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's first opinion of one pair of traces.

    `score` runs from 1 (the second arm much better) over 3 (a tie) to 5 (the first arm much
    better); "both bad" is a tie with `both_bad` set. `left_arm` is the arm that stood left.
    `criteria` has each criterion's 1 to 5 for (first arm, second arm), `words` and `quality`
    (automatic reasoning score, 0 to 1) are those of the two traces in the same order.
    `stratum` tells which arms' verdicts were right: both, first, second, neither, or "" without
    gold. `kind` is main, practice or attention; for the latter two `expected_arm` is the better
    arm. `last_score` is the score after a change of mind, which is kept but not counted.
    `revealed`: the conversation was opened before it was rated.
    `why_not` says why a vote isn't counted; empty for one that is.
    """

    study: int
    item: int
    pair: int
    annotator: str
    first_arm: int
    second_arm: int
    score: int
    left_arm: int
    both_bad: bool = False
    criteria: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    note: str = ""
    marks: tuple[Mapping[str, object], ...] = ()  # {arm, step, mark} each
    seconds: float = 0.0
    stratum: str = ""
    kind: str = "main"
    expected_arm: int | None = None
    words: tuple[int, int] = (0, 0)
    quality: tuple[float | None, float | None] = (None, None)
    last_score: int | None = None
    late: bool = False
    revealed: bool = True
    why_not: str = ""
    created_at: datetime | None = None
