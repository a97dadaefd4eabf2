"""A study's report from its votes: what is counted, and everything that follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from pipelines.preferences.agreement import agreement
from pipelines.preferences.clustered import TIE
from pipelines.preferences.comparison import compared, oriented
from pipelines.preferences.ladder import bradley_terry
from pipelines.preferences.people import people_of, unattentive
from pipelines.preferences.power import (
    decisive_needed,
    pass_chance,
    rate_that_passes,
    ratings_needed,
)
from pipelines.preferences.results import Comparison, Needed, Stopping, StudyReport
from pipelines.preferences.sides import FEWEST_VOTES
from pipelines.preferences.votes import Vote
from pipelines.studies.design import StudyDesign
from pipelines.studies.records import WHY_NOT

POWERS = (0.8, 0.9)
FEW_PEOPLE = 5
KINDS = {"practice": "practice", "attention": "attention item"}
TWICE = "the same person had rated the pair before"


def report(
    votes: Sequence[Vote],
    arms: Sequence[str],
    design: StudyDesign,
    people: Mapping[str, str] | None = None,
) -> StudyReport:
    """All stored votes (whatever their kind or `why_not`) -> what they say.

    `arms` are the names, by number; wins are of the first of two arms, and the target is that of
    arm 0. `people` has the state (invited, active, stopped, withdrawn) of every annotator, so that
    those without a vote are listed too.
    """
    judged = why_not_counted(votes)
    counted = [vote for vote in judged if not vote.why_not]
    left_out = Counter(vote.why_not for vote in judged if vote.why_not)
    withdrawn = sum(vote.kind == "main" and vote.why_not == WHY_NOT["withdrawn"] for vote in judged)
    comparisons = _comparisons(counted, votes, arms, design)
    return StudyReport(
        arms=tuple(arms),
        target=design.target,
        stored=len(votes),
        counted=len(counted),
        left_out=tuple(left_out.most_common()),
        late=sum(vote.late for vote in counted),
        changed=sum(vote.last_score not in (None, vote.score) for vote in counted),
        items=len({vote.item for vote in counted}),
        annotators=len({vote.annotator for vote in counted}),
        comparisons=tuple(comparisons),
        ladder=tuple(bradley_terry(counted, arms)) if len(arms) > 2 else (),
        agreement=agreement(counted),
        people=people_of(judged, counted, people or {}, two_arms=len(arms) == 2),
        needed=_needed(counted, design) if len(arms) == 2 else (),
        remarks=_remarks(counted, comparisons, design, withdrawn),
        stopping=_stopping(comparisons, design),
    )


def why_not_counted(votes: Sequence[Vote]) -> list[Vote]:
    """The votes, oriented to the lower arm first, with `why_not` set where one isn't counted.

    A reason that is there already stays. Attention items tell of a person, not of the arms; no
    rule drops the votes of those who miss them, for none was set before the study opened.
    """
    seen: set[tuple[int, str]] = set()
    judged = []
    for vote in votes:
        why = vote.why_not or KINDS.get(vote.kind, "")
        if not why and (vote.pair, vote.annotator) in seen:
            why = TWICE
        if not why:
            seen.add((vote.pair, vote.annotator))
        judged.append(oriented(vote if why == vote.why_not else replace(vote, why_not=why)))
    return judged


def _comparisons(
    counted: Sequence[Vote], stored: Sequence[Vote], arms: Sequence[str], design: StudyDesign
) -> list[Comparison]:
    by_arms: dict[tuple[int, int], list[Vote]] = {}
    for vote in counted:
        by_arms.setdefault((vote.first_arm, vote.second_arm), []).append(vote)
    unfit = unattentive(stored)
    # A study compares all its arms: what nobody has rated yet is open, not left out.
    return [
        compared(by_arms.get(pair, []), pair, arms, design.target, unfit)
        for pair in combinations(range(len(arms)), 2)
    ]


def _needed(votes: Sequence[Vote], design: StudyDesign) -> tuple[Needed, ...]:
    ties = sum(vote.score == TIE for vote in votes)
    decisive, target = len(votes) - ties, design.target
    share = ties / len(votes) if decisive else 0.0
    found = []
    for power in POWERS:
        needed = decisive_needed(target, power)
        ratings = ratings_needed(needed, share)
        found.append(
            Needed(
                rate=target,
                power=power,
                decisive=needed,
                ratings=ratings if decisive else None,
                reached=decisive >= needed,
                # So many ties that the target is out of reach leave no truth to be at it.
                passes=pass_chance(ratings, target, target, share)
                if target <= 1 - share / 2
                else None,
                passing_rate=rate_that_passes(ratings, target, share),
            )
        )
    return tuple(found)


def _stopping(comparisons: Sequence[Comparison], design: StudyDesign) -> Stopping:
    """A sequential study may end once each comparison with a target has reached the stop line,
    and passes or speaks against the first arm.

    The line alone would end most studies while their interval is still too wide to pass, and so
    throw away what they were about to show.
    """
    if design.stopping == "fixed":
        return Stopping(False, "The study ends once every pair has its ratings, not before.")
    asked = [one for one in comparisons if one.first_arm == 0]
    if not asked or any(one.evidence.crossed_at is None for one in asked):
        return Stopping(False, "Not enough to end early: the e-value has not reached its line.")
    if all(one.verdict.passed or one.evidence.losses > one.evidence.wins for one in asked):
        return Stopping(
            True,
            "Enough to end: the e-value has reached its line, and the study passes or speaks "
            "against the first arm.",
        )
    return Stopping(
        False,
        "Not enough to end early: the e-value has reached its line, which holds for these people, "
        "but the interval, which holds for others too, is not clear of 50% or the rate is under "
        "the target.",
    )


def _remarks(
    votes: Sequence[Vote],
    comparisons: Sequence[Comparison],
    design: StudyDesign,
    withdrawn: int,
) -> tuple[str, ...]:
    people = len({vote.annotator for vote in votes})
    early = design.stopping == "sequential" and any(
        one.evidence.crossed_at is not None for one in comparisons
    )
    remarks = [
        f"{people} {'person' if people == 1 else 'people'} rated: what they think of reasoning "
        "may not be what others do, and intervals are as wide as that makes them."
        if 0 < people < FEW_PEOPLE
        else "",
        "The study may end early, once the e-value has reached 20 and it passes or speaks against "
        "the first arm, which favours large rates: the interval doesn't allow for that."
        if early
        else "",
        f"{withdrawn:,} {'rating was' if withdrawn == 1 else 'ratings were'} withdrawn: the "
        "e-value is that of the ratings still counted, in their order, so where it reached its "
        "line may differ from what was seen before."
        if withdrawn
        else "",
        *(
            f"No win rate at equal length for {one.first} against {one.second}: {one.length.note}"
            for one in comparisons
            if one.votes >= FEWEST_VOTES and one.length.rate.value is None
        ),
        f"{len(comparisons)} pairs of arms are compared, each at 95% of its own; the chance that "
        "one of them misleads is larger."
        if len(comparisons) > 1
        else "",
    ]
    return (*filter(None, remarks), *design.remarks)
