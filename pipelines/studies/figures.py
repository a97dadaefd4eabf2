"""The figures of a study's report in the order and the words in which every form shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.preferences.results import (
    Agreement,
    Comparison,
    Correlation,
    Estimate,
    Evidence,
    StudyReport,
)
from pipelines.studies.design import StudyDesign

Kind = Literal["rate", "number", "odds"]
DASH = "\N{EN DASH}"
NOBODY = "Nobody has rated a pair yet, so there is nothing to report."


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a table: what it is, the estimate, and how it was made. `aimed`: it is a win
    rate, which the target is about."""

    title: str
    estimate: Estimate
    kind: Kind = "rate"
    hint: str = ""
    aimed: bool = False


def shown(value: float | None, kind: Kind = "rate") -> str:
    """`62.5%` of a rate, `0.41` of a number, `x1.30` of odds; an en dash where unknown."""
    if value is None:
        return DASH
    if kind == "rate":
        return f"{100 * value:.1f}%"
    return f"×{value:.2f}" if kind == "odds" else f"{value:.2f}"  # noqa: RUF001


def span(one: Estimate, kind: Kind = "rate") -> str:
    """`54.2% to 70.1%`; empty where there is no interval."""
    if one.low is None or one.high is None:
        return ""
    return f"{shown(one.low, kind)} to {shown(one.high, kind)}"


def main_figures(one: Comparison) -> list[Figure]:
    """The win rate under its rules, and what might explain it away."""
    found = [
        Figure(f"{one.first} wins, ties as halves", one.rate, hint="decides", aimed=True),
        Figure("Without ties", one.decisive_rate, aimed=True),
        Figure("Ties", one.tie_rate, hint=f"of them {one.both_bad:,} because both were bad"),
        Figure("The left one wins", one.left_rate, hint="50% without a habit"),
        Figure(
            f"{one.first} wins at equal length", one.length.rate, hint=one.length.note, aimed=True
        ),
        Figure("The longer one wins", one.length.longer_wins),
        Figure("Odds of standing left", one.length.left_odds, "odds"),
        Figure("Odds of twice the words", one.length.double_length_odds, "odds"),
    ]
    if one.simple_rate is not None:
        hint = "as if ratings were independent: for single passes only"
        found.append(
            Figure("By itself, ratings as independent", one.simple_rate, hint=hint, aimed=True)
        )
    found += [
        Figure(each.title, each.rate, hint="another rule", aimed=True) for each in one.sensitivity
    ]
    return [each for each in found if each.estimate.value is not None]


def agreement_figures(one: Agreement) -> list[Figure]:
    """How far people agree, on one scale."""
    found = [
        Figure("Same answer", one.raw),
        Figure("Krippendorff's alpha, nominal", one.alpha_nominal, "number"),
        Figure("Krippendorff's alpha, ordinal", one.alpha_ordinal, "number"),
        Figure("Gwet's AC1", one.ac1, "number"),
    ]
    return [each for each in found if each.estimate.value is not None]


def correlation_figures(one: Correlation) -> list[Figure]:
    """The automatic reasoning score against what people said."""
    found = [
        Figure(f"{one.title}, Spearman", one.spearman, "number"),
        Figure(f"{one.title}, Kendall", one.kendall, "number"),
    ]
    return [each for each in found if each.estimate.value is not None]


def evidence_words(one: Evidence) -> str:
    """The e-value and what it says, which is about these people and no others."""
    reached = (
        f"It reached {one.stop_at:g} after {one.crossed_at:,} of these: among these people the "
        "arms differ."
        if one.crossed_at is not None
        else f"It has not reached {one.stop_at:g}, before which no study may end early."
    )
    return (
        f"The e-value against “no difference” is {one.e_value:,.2f} "
        f"(the first decisive rating of each conversation: {one.wins:,} for, {one.losses:,} "
        f"against; highest {one.highest:,.2f}). {reached}"
    )


def counted_words(report: StudyReport, design: StudyDesign) -> list[str]:
    """Ratings stored against ratings counted, and why any isn't."""
    out = sum(count for _, count in report.left_out)
    words = [f"{report.stored:,} stored, {report.counted:,} counted, {out:,} not."]
    words += [f"Not counted, {why}: {count:,}" for why, count in report.left_out]
    if report.late:
        words.append(f"Counted though they came late: {report.late:,}")
    if report.changed:
        when = "once the verdicts were shown" if design.reveal_verdicts else "afterwards"
        words.append(f"Changed {when}: {report.changed:,}; the first answer counts")
    return words
