"""Each person's progress and habits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import fmean, median

from pipelines.preferences.clustered import TIE, points
from pipelines.preferences.results import Person
from pipelines.preferences.sides import left_rate
from pipelines.preferences.votes import Vote

HASTE = 5.0
ATTENTIVE = 0.8
FEWEST = 5


def people_of(
    stored: Sequence[Vote], counted: Sequence[Vote], states: Mapping[str, str], two_arms: bool
) -> tuple[Person, ...]:
    """Everybody who voted or is named in `states`, by name. Habits are those of counted votes."""
    names = sorted({vote.annotator for vote in stored} | set(states))
    all_of, counted_of = _by_person(stored), _by_person(counted)
    agreed = agreement_with_others(counted)
    return tuple(
        _person(
            name,
            states.get(name, ""),
            all_of.get(name, []),
            counted_of.get(name, []),
            agreed.get(name, (0, 0)),
            two_arms,
        )
        for name in names
    )


def attention(votes: Iterable[Vote]) -> tuple[int, int]:
    """(right, seen) attention items: right is a decisive vote for the better arm."""
    asked = [vote for vote in votes if vote.kind == "attention" and vote.expected_arm is not None]
    right = sum(
        vote.score > TIE if vote.expected_arm == vote.first_arm else vote.score < TIE
        for vote in asked
    )
    return right, len(asked)


def unattentive(votes: Sequence[Vote]) -> frozenset[str]:
    """Those who got fewer than four in five of their attention items right."""
    results = {name: attention(theirs) for name, theirs in _by_person(votes).items()}
    return frozenset(name for name, (right, seen) in results.items() if right < ATTENTIVE * seen)


def agreement_with_others(votes: Iterable[Vote]) -> dict[str, tuple[int, int]]:
    """person -> (agreed, compared): each other vote on the same pair is a comparison."""
    by_pair: dict[int, list[Vote]] = {}
    for vote in votes:
        by_pair.setdefault(vote.pair, []).append(vote)
    found: dict[str, tuple[int, int]] = {}
    for same in by_pair.values():
        for vote in same:
            others = [other for other in same if other.annotator != vote.annotator]
            alike = sum(points(other) == points(vote) for other in others)
            agreed, compared = found.get(vote.annotator, (0, 0))
            found[vote.annotator] = agreed + alike, compared + len(others)
    return found


def _person(
    name: str,
    state: str,
    stored: Sequence[Vote],
    counted: Sequence[Vote],
    agreed: tuple[int, int],
    two_arms: bool,
) -> Person:
    right, seen = attention(stored)
    seconds = [vote.seconds for vote in stored if vote.seconds > 0]
    moments = [vote.created_at for vote in stored if vote.created_at is not None]
    n = len(counted)
    middle = median(seconds) if seconds else None
    left = left_rate(counted)
    same = n >= FEWEST and len({vote.score for vote in counted}) == 1
    remarks = [
        f"Attention items right: {right} of {seen}." if seen and right < ATTENTIVE * seen else "",
        f"Takes {middle:.1f} s a rating." if middle is not None and middle < HASTE else "",
        _habit(left.low, left.high, left.value) if n >= FEWEST else "",
        "Gave the same rating every time." if same else "",
    ]
    return Person(
        annotator=name,
        state=state,
        stored=len(stored),
        counted=n,
        practised=sum(vote.kind == "practice" for vote in stored),
        attention_right=right,
        attention_seen=seen,
        median_seconds=middle,
        total_seconds=sum(seconds),
        first_at=_told(min(moments, default=None)),
        last_at=_told(max(moments, default=None)),
        left_rate=left,
        tie_rate=sum(vote.score == TIE for vote in counted) / n if n else None,
        win_rate=fmean(points(vote) for vote in counted) if n and two_arms else None,
        agreement=agreed[0] / agreed[1] if agreed[1] else None,
        compared=agreed[1],
        changed=sum(vote.last_score not in (None, vote.score) for vote in stored),
        remarks=tuple(filter(None, remarks)),
    )


def _habit(low: float | None, high: float | None, value: float | None) -> str:
    if low is None or high is None or value is None or low <= 0.5 <= high:
        return ""
    return f"Prefers the {'left' if value > 0.5 else 'right'} side ({max(value, 1 - value):.0%})."


def _by_person(votes: Iterable[Vote]) -> dict[str, list[Vote]]:
    found: dict[str, list[Vote]] = {}
    for vote in votes:
        found.setdefault(vote.annotator, []).append(vote)
    return found


def _told(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
