"""How a report says things: percentages, intervals, p-values, settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.evaluations import EvaluationInfo
from pipelines.scoring.cells import Policy
from pipelines.scoring.resampling import Interval

POLICY_TITLES = {
    Policy.WRONG_ONCE: "wrong once",
    Policy.AUTHORS: "authors' rule",
    Policy.DROPPED: "dropped",
}
POLICY_SENTENCES = {
    Policy.WRONG_ONCE: "A row without a verdict counts as one wrong verdict.",
    Policy.AUTHORS: "As in GuardReasoner's script: a row without a verdict is left out where its "
    "label is harmful, and counts as two wrong verdicts elsewhere.",
    Policy.DROPPED: "A row without a verdict is left out, which flatters whoever gives none.",
}
MODES = {
    "reason": "reasons, then answers",
    "fast": "labels weighed, no trace",
    "stored": "stored answers",
    "computed": "computed from the rows",
}
KINDS = {
    "adapter": "moderator",
    "base": "base model",
    "predictions": "stored answers",
    "baseline": "baseline",
}
NONE = "n/a"


def percent(value: float | None, signed: bool = False) -> str:
    """`71.2`; `n/a` without a value."""
    if value is None:
        return NONE
    return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"


def between(interval: Interval | None, signed: bool = False) -> tuple[str, ...]:
    """`[68.0, 74.1]` as the small line of a cell; none without an interval."""
    if interval is None:
        return ()
    return (f"[{percent(interval[0], signed)}, {percent(interval[1], signed)}]",)


def counted(rows: int) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def chance(p: float) -> str:
    """`0.031`, `<0.001`."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def said_of(values: Mapping[str, Any]) -> str:
    """`epochs 3, rows 4,003, dataset train.jsonl`: a path by its last part, lists by commas."""
    return ", ".join(
        f"{name.replace('_', ' ')} {_value(value)}"
        for name, value in values.items()
        if value not in (None, "", [], {})
    )


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    text = str(value)
    return text.rstrip("/").rpartition("/")[2] if text.startswith(("/", "~")) else text


def info_line(info: EvaluationInfo) -> str:
    """One line on an evaluation, for lists: `moderator, reasons, then answers, 651 rows`."""
    return f"{KINDS[info.kind]}, {MODES[info.mode]}, {info.rows:,} rows"
