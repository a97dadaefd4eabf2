"""Two arms against each other: everything that a report says of one pair of arms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import fmean

from pipelines.preferences.clustered import (
    TIE,
    clustered_mean,
    clustered_rate,
    independent_rate,
    single_pass,
    two_way,
)
from pipelines.preferences.correlations import correlations
from pipelines.preferences.results import (
    Comparison,
    CriterionScores,
    Estimate,
    Sensitivity,
    Stratum,
    Verdict,
)
from pipelines.preferences.sequential import evidence
from pipelines.preferences.sides import left_rate, length_controlled
from pipelines.preferences.votes import Vote

WIDEST = 4.0  # the most that two scores from 1 to 5 lie apart
SWAPPED = {"first": "second", "second": "first"}
TITLES: dict[str, str] = {
    "both": "Both arms right",
    "first": "Only {first} right",
    "second": "Only {second} right",
    "neither": "Both arms wrong",
    "": "No gold labels",
}


def oriented(vote: Vote) -> Vote:
    """The vote with the arm of the lower number first, so that wins are always its wins."""
    if vote.first_arm < vote.second_arm:
        return vote
    return replace(
        vote,
        first_arm=vote.second_arm,
        second_arm=vote.first_arm,
        score=6 - vote.score,
        criteria={name: (b, a) for name, (a, b) in vote.criteria.items()},
        stratum=SWAPPED.get(vote.stratum, vote.stratum),
        words=(vote.words[1], vote.words[0]),
        quality=(vote.quality[1], vote.quality[0]),
        last_score=None if vote.last_score is None else 6 - vote.last_score,
    )


def compared(
    votes: Sequence[Vote],
    pair: tuple[int, int],
    arms: Sequence[str],
    target: float,
    unattentive: frozenset[str] = frozenset(),
) -> Comparison:
    """Counted, oriented votes of one pair of arms -> their comparison."""
    first, second = (arms[arm] for arm in pair)
    decisive = [vote for vote in votes if vote.score != TIE]
    rate = two_way(votes)
    wins = sum(vote.score > TIE for vote in votes)
    counts = [sum(vote.score == score for vote in votes) for score in range(1, 6)]
    return Comparison(
        first_arm=pair[0],
        second_arm=pair[1],
        first=first,
        second=second,
        votes=len(votes),
        wins=wins,
        ties=len(votes) - len(decisive),
        losses=len(decisive) - wins,
        both_bad=sum(vote.both_bad for vote in votes),
        scores=(counts[0], counts[1], counts[2], counts[3], counts[4]),
        rate=rate,
        decisive_rate=two_way(decisive),
        tie_rate=clustered_rate([float(vote.score == TIE) for vote in votes], votes),
        simple_rate=independent_rate(votes) if votes and single_pass(votes) else None,
        verdict=verdict(rate, first, second, target if pair[0] == 0 else None),
        evidence=evidence(votes),
        left_rate=left_rate(votes),
        length=length_controlled(votes),
        strata=_strata(votes, first, second),
        criteria=_criteria(votes),
        correlations=correlations(votes),
        sensitivity=_sensitivity(votes, unattentive),
    )


def verdict(rate: Estimate, first: str, second: str, target: float | None) -> Verdict:
    """The pass rule in words: the rate at or over the target, and its lower bound over 50%.

    Without a target (a pair that the study sets none for) nothing can be passed.
    """
    if rate.value is None or rate.low is None or rate.high is None:
        return Verdict(None, f"No rating of {first} against {second} is counted yet.")
    told = (
        f"{first} wins {rate.value:.1%} of {rate.n:,} ratings against {second}, ties as halves "
        f"(95% interval {rate.low:.1%} to {rate.high:.1%})"
    )
    if target is None:
        return Verdict(None, f"{told}. The study sets no target for this pair.")
    reached, above = rate.value >= target, rate.low > 0.5
    aim = f"{100 * target:g}%"
    first_half = f"the rate is {'at or over' if reached else 'under'} the target of {aim}"
    second_half = f"the lower bound is {'over' if above else 'not over'} 50%"
    joint = "and" if reached == above else "but"
    word = f"{'Passed' if reached and above else 'Not passed'}{_for_whom(rate)}"
    return Verdict(reached and above, f"{word}: {told}; {first_half}, {joint} {second_half}.")


def _for_whom(rate: Estimate) -> str:
    """What a single person or item leaves open: the interval then holds for no other."""
    only = [
        f"this one {what}"
        for what, count in (("person", rate.annotators), ("item", rate.items))
        if count == 1
    ]
    return f" for {' and '.join(only)}" if only else ""


def _strata(votes: Sequence[Vote], first: str, second: str) -> tuple[Stratum, ...]:
    found = []
    for name, title in TITLES.items():
        these = [vote for vote in votes if vote.stratum == name]
        if these:
            wins = sum(vote.score > TIE for vote in these)
            losses = sum(vote.score < TIE for vote in these)
            told = title.format(first=first, second=second)
            ties = len(these) - wins - losses
            found.append(Stratum(name, told, wins, ties, losses, two_way(these)))
    return tuple(found)


def _criteria(votes: Sequence[Vote]) -> tuple[CriterionScores, ...]:
    names = dict.fromkeys(name for vote in votes for name in vote.criteria)
    found = []
    for name in names:
        asked = [vote for vote in votes if name in vote.criteria]
        given = [vote.criteria[name] for vote in asked]
        difference = clustered_mean([float(a - b) for a, b in given], asked, farthest=WIDEST)
        first, second = (fmean(scores) for scores in zip(*given, strict=True))
        found.append(CriterionScores(name, first, second, difference))
    return tuple(found)


def _sensitivity(votes: Sequence[Vote], unattentive: Iterable[str]) -> tuple[Sensitivity, ...]:
    """Other ways of counting, where they count otherwise."""
    unfit = set(unattentive)
    changed = [
        vote if vote.last_score is None else replace(vote, score=vote.last_score) for vote in votes
    ]
    once: dict[int, Vote] = {}
    for vote in votes:
        once.setdefault(vote.pair, vote)

    def kept(wanted: Callable[[Vote], bool]) -> list[Vote]:
        return [vote for vote in votes if wanted(vote)]

    others = {
        "With people's last word instead of their first": changed,
        "Without late ratings": kept(lambda vote: not vote.late),
        "Without people who missed attention items": kept(lambda v: v.annotator not in unfit),
        "The first rating of each pair only": list(once.values()),
    }
    same = [vote.score for vote in votes]
    return tuple(
        Sensitivity(title, two_way(these))
        for title, these in others.items()
        if these and [vote.score for vote in these] != same
    )
