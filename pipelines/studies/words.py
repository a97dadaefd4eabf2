"""A study's design and state in sentences, as the page, reports and cards say them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.studies.design import StudyDesign
from pipelines.studies.records import StudyFacts

STRATA = {
    "both": "both right",
    "first": "first right",
    "second": "second right",
    "neither": "both wrong",
    "": "no gold label",
}
"""Whose verdicts were right, by the stratum's key."""

STATES = {
    "draft": "nobody can rate it yet",
    "open": "people rate it",
    "paused": "nobody is given a pair until it goes on",
    "closed": "no rating is taken any more",
}
_TIMES = {1: "once", 2: "twice"}


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def times(count: int) -> str:
    """`once`, `twice`, `3 times`."""
    return _TIMES.get(count, f"{count} times")


def percent(share: float) -> str:
    """A fraction as it was set: `60%`, `62.5%`."""
    return f"{100 * share:g}%"


def counted(count: int, what: str) -> str:
    """`1 pair`, `1,240 pairs`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def people(count: int) -> str:
    """`1 person`, `5 people`."""
    return f"{count:,} {'person' if count == 1 else 'people'}"


def pass_rule(design: StudyDesign, first: str) -> str:
    """When the study passes, decided before the first rating."""
    return (
        f"It passes if {first} wins at least {percent(design.target)}, ties counted as halves, "
        "and the lower end of the 95% interval lies over 50%."
    )


def end_rule(design: StudyDesign) -> str:
    """When it ends, and so when its figures may be looked at."""
    if design.stopping == "sequential":
        return (
            "It ends once every pair is rated as often as wanted or, before, once the e-value has "
            "reached 20 and the study passes or speaks against the first arm. On the way only the "
            "e-value may be looked at."
        )
    return "It ends once every pair is rated as often as wanted; its figures count only then."


CHANGED = (
    "What is stored is not what was frozen: the design, arms, items or traces of this study have "
    "another SHA-256 now than when it was opened. They were changed behind GuardUI's back."
)


def design_words(facts: StudyFacts) -> list[str]:
    """The design, a sentence each."""
    return list(_sentences(facts, facts.design))


def _sentences(facts: StudyFacts, design: StudyDesign) -> Iterator[str]:
    arms = facts.arm_names
    if facts.changed:
        yield CHANGED
    yield f"{listed(arms)} are compared. People are asked: “{design.question}”"
    yield (
        f"{counted(facts.items, 'conversation')}, {counted(facts.pairs, 'pair')} of traces, "
        f"{counted(facts.wanted, 'rating')} wanted: {_how_often(design)}."
    )
    if any(facts.strata):
        parts = [
            f"{words} {facts.strata[stratum]:,}"
            for stratum, words in STRATA.items()
            if stratum in facts.strata
        ]
        yield f"Pairs by whose verdicts were right: {', '.join(parts)}."
    if design.criteria and design.criteria_share:
        yield (
            f"{percent(design.criteria_share)} of the pairs also ask for "
            f"{listed(design.criteria)}, from 1 to 5 for each trace."
        )
    yield "Nobody is told which arm is which; sides alternate for each pair and each person."
    if design.practice and facts.practice:
        yield f"Practice with feedback comes first: {counted(facts.practice, 'item')}."
    if design.attention_every and facts.attention:
        yield (
            f"An item with a known answer comes once in every {design.attention_every} ratings, "
            f"each time at another place, of {counted(facts.attention, 'such item')}."
        )
    if design.reveal_verdicts:
        yield "Verdicts are shown once a pair is rated; a change of mind is kept, but not counted."
    yield pass_rule(design, arms[0])
    yield end_rule(design)
    yield from _about_people(design)


def _how_often(design: StudyDesign) -> str:
    each = f"each pair {times(design.ratings_per_pair)}"
    # A pair gets the larger of the two numbers.
    if not design.overlap_share or design.overlap_ratings <= design.ratings_per_pair:
        return each
    return (
        f"{each}, {percent(design.overlap_share)} of them {times(design.overlap_ratings)} to tell "
        "how far people agree"
    )


def _about_people(design: StudyDesign) -> Iterator[str]:
    yield (
        "Only people with a personal link take part."
        if design.enrolment == "invite"
        else "Anybody who opens the page and gives a name takes part."
    )
    if design.daily_cap:
        yield f"Nobody rates more than {design.daily_cap:,} pairs a day."
    if design.topics:
        yield f"People may leave out: {listed(design.topics)}."
