"""What the report of a preference study says: plain values, ready for JSON by `asdict`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95% interval; all three are None where nothing can be said.

    Of a rate, all lie in [0, 1]. `n` counts the votes behind it, `items` and `annotators` the
    clusters these fall into, `method` says in words how the interval was made.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str = ""
    standard_error: float | None = None
    freedom: float | None = None
    items: int = 0
    annotators: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the study shows what it was to show, in words. `passed` is None without votes."""

    passed: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The e-value against 50%, looked at after every decisive vote that enters it.

    `path` has (votes that entered so far, e-value) in order of time, thinned to 200 points;
    `crossed_at` is the number of votes at which it first reached `stop_at`, or None.
    """

    e_value: float
    highest: float
    stop_at: float
    crossed_at: int | None
    wins: int
    losses: int
    path: tuple[tuple[int, float], ...]
    note: str


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """The win rate at equal length and no side, and what the two do to the odds of winning.

    `rate` is all None where no model could be fitted, or where one arm is longer by always the same
    factor, so that nothing tells of equal length; `note` then says why. Odds ratios are of
    standing left rather than right, and of twice as many words as the other trace.
    """

    rate: Estimate
    left_odds: Estimate
    double_length_odds: Estimate
    longer_wins: Estimate
    note: str


@dataclass(frozen=True, slots=True)
class Stratum:
    """The comparison within the items where certain arms' verdicts were right."""

    name: str  # both, first, second, neither, or "" without gold
    title: str
    wins: int
    ties: int
    losses: int
    rate: Estimate


@dataclass(frozen=True, slots=True)
class CriterionScores:
    """Mean scores (1 to 5) of the two arms and their mean difference (first less second)."""

    name: str
    first: float | None
    second: float | None
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Correlation:
    """A rank correlation (-1 to 1) of the automatic reasoning score with what people said.

    `of` is "scores" (each trace's score with its mean over criteria and people) or "preference"
    (the difference between two traces with the mean vote); `points` are (automatic, human).
    """

    of: str
    title: str
    spearman: Estimate
    kendall: Estimate
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The win rate under another rule of counting; the pre-set rule stays the one that decides."""

    title: str
    rate: Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two arms against each other; wins are the first's."""

    first_arm: int
    second_arm: int
    first: str
    second: str
    votes: int
    wins: int
    ties: int
    losses: int
    both_bad: int
    scores: tuple[int, int, int, int, int]  # how many votes of score 1, 2, 3, 4, 5
    rate: Estimate
    decisive_rate: Estimate
    tie_rate: Estimate
    simple_rate: Estimate | None  # votes as independent; for single-pass toys only
    verdict: Verdict
    evidence: Evidence
    left_rate: Estimate
    length: LengthControlled
    strata: tuple[Stratum, ...]
    criteria: tuple[CriterionScores, ...]
    correlations: tuple[Correlation, ...]
    sensitivity: tuple[Sensitivity, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far people say the same of the same pair; over pairs with two votes or more."""

    scale: str  # "win, tie, loss" or "five points"
    pairs: int
    votes: int
    annotators: int
    raw: Estimate
    alpha_nominal: Estimate
    alpha_ordinal: Estimate
    ac1: Estimate
    note: str


@dataclass(frozen=True, slots=True)
class Person:
    """One annotator's progress and habits. Times are seconds, moments ISO 8601 in UTC."""

    annotator: str
    state: str
    stored: int
    counted: int
    practised: int
    attention_right: int
    attention_seen: int
    median_seconds: float | None
    total_seconds: float
    first_at: str | None
    last_at: str | None
    left_rate: Estimate
    tie_rate: float | None
    win_rate: float | None  # of the first arm, ties as halves; None with more than two arms
    agreement: float | None  # share of comparisons with others' votes on the same pair
    compared: int
    changed: int  # votes whose second revision differs
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Strength:
    """An arm's Bradley-Terry strength: log odds against the average arm, so they sum to zero."""

    arm: int
    name: str
    strength: float
    low: float
    high: float
    rank: int
    rank_low: int  # the best and the worst rank within the interval
    rank_high: int


@dataclass(frozen=True, slots=True)
class Needed:
    """Decisive votes that tell a true rate from 50%, and ratings once ties are added.

    That is less than to pass: with so many ratings, `passes` is the chance of the pass rule if the
    truth is `rate`, the target, and `passing_rate` the truth that passes four times in five; None
    where ties leave no such rate.
    """

    rate: float
    power: float
    decisive: int
    ratings: int | None
    reached: bool
    passes: float | None = None
    passing_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Stopping:
    """Whether the study may end now by its own rule, in words; a fixed one never says so early."""

    enough: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class StudyReport:
    """All that a study says. `left_out` has (reason, how many) for what was stored, not counted."""

    arms: tuple[str, ...]
    target: float
    stored: int
    counted: int
    left_out: tuple[tuple[str, int], ...]
    late: int  # of the counted
    changed: int  # counted votes whose second revision differs; the first counts
    items: int
    annotators: int
    comparisons: tuple[Comparison, ...]
    ladder: tuple[Strength, ...]  # empty for two arms
    agreement: tuple[Agreement, ...]
    people: tuple[Person, ...]
    needed: tuple[Needed, ...]
    remarks: tuple[str, ...]
    stopping: Stopping = Stopping(False, "")
