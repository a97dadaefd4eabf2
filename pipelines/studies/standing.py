"""How a study stands against the rule by which it ends, and what may be said of it by now."""

from __future__ import annotations

from pipelines.preferences.results import Comparison, StudyReport
from pipelines.studies.figures import NOBODY, shown, span
from pipelines.studies.records import StudyFacts
from pipelines.studies.words import counted, end_rule, people

SHORT = "Closed short of its plan"
"""Of a study that was closed before its rule, or that people left who had rated in it."""
ONLY_E_VALUE = "Only the e-value may be looked at any time."


def unfinished(facts: StudyFacts) -> bool:
    """Whether fewer ratings are in than the design asks for, in whatever state the study is."""
    return facts.rated < facts.wanted


def not_last(facts: StudyFacts, report: StudyReport) -> str:
    """Why a result isn't the last word: `So far`, or SHORT against the study's own rule; empty
    where it is."""
    if not unfinished(facts):
        return ""
    if facts.state != "closed":
        return "So far"
    return "" if report.stopping.enough else SHORT


def early_warning(facts: StudyFacts, report: StudyReport) -> str:
    """Why the figures of a study that goes on, or was ended against its own rule, aren't to be
    acted upon as they are; empty where they may."""
    if not unfinished(facts) or report.stopping.enough:
        return ""
    rated, wanted = f"{facts.rated:,}", f"{facts.wanted:,}"
    if facts.state == "closed":
        return (
            f"Closed at {rated} of {counted(facts.wanted, 'rating')}, reason: "
            f"{facts.close_reason or 'none given'}. The rule, set before the first rating: "
            f"{end_rule(facts.design)} Figures of a study that is ended for what they say are "
            "right less often than they claim."
        )
    if facts.design.stopping == "sequential":
        return (
            f"{rated} of {wanted} ratings are in, and the rule of this study does not let it end "
            f"yet. {ONLY_E_VALUE}"
        )
    return (
        f"{rated} of {wanted} ratings are in, and this study has a fixed design: a figure that is "
        "looked at early and acted upon is right less often than it says. Stop for how many "
        f"ratings there are, not for what they say. {ONLY_E_VALUE}"
    )


def headlines(facts: StudyFacts, report: StudyReport) -> list[str]:
    """The result of each comparison in a sentence, which says so where it isn't the last word."""
    if not report.counted:
        return [NOBODY]
    word = not_last(facts, report)
    return [
        f"{word}: {one.verdict.sentence}" if word and one.votes else one.verdict.sentence
        for one in report.comparisons
    ]


def ending_words(facts: StudyFacts) -> list[str]:
    """When and why the study was closed, where it was."""
    if facts.state != "closed":
        return []
    when = f" on {facts.closed_at:%Y-%m-%d}" if facts.closed_at else ""
    return [
        f"Closed{when} at {facts.rated:,} of {counted(facts.wanted, 'rating')}, reason: "
        f"{facts.close_reason or 'none given'}"
    ]


def citations(facts: StudyFacts, report: StudyReport) -> list[str]:
    """For each comparison a sentence that says what was found and how, for a paper."""
    rated = [one for one in report.comparisons if one.votes]
    so_far = "So far, " if not_last(facts, report) == "So far" else ""
    return [so_far + _citation(one, facts) for one in rated] or [NOBODY]


def _citation(one: Comparison, facts: StudyFacts) -> str:
    ending = ""
    if unfinished(facts) and facts.state == "closed":
        ending = f"; closed at {facts.rated:,} of {counted(facts.wanted, 'rating')}"
    return (
        f"{one.first} was preferred over {one.second} in "
        f"{shown(one.rate.value)} of {counted(one.votes, 'blinded pairwise rating')} of "
        f"{counted(one.rate.items, 'conversation')} by {people(one.rate.annotators)} "
        f"(95% interval {span(one.rate)}, {one.rate.method}; ties as halves, "
        f"{shown(one.tie_rate.value)} ties; design {(facts.design_hash or 'draft')[:12]}{ending})."
    )
