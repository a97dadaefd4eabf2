"""The grammar of gates: a line as data, or an error that says what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pipelines.schema import GuardTask, InputError

TASKS = {
    "prompt": GuardTask.PROMPT_HARMFULNESS,
    "response": GuardTask.RESPONSE_HARMFULNESS,
    "refusal": GuardTask.REFUSAL,
}
HARD = "hard_samples"
FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "f1": "f1",
    "precision": "precision",
    "recall": "recall",
    "false_positive_rate": "false_positive_rate",
    "false_negative_rate": "false_negative_rate",
    "parse_failures": "failure_rate",
    "fpr": "false_positive_rate",
    "fnr": "false_negative_rate",
    "failure_rate": "failure_rate",
}
"""What a line may call a figure -> its name among the metrics."""
LOWER_IS_BETTER = ("false_positive_rate", "false_negative_rate", "failure_rate")
OPERATORS = {">=": ">=", "≥": ">=", ">": ">", "<=": "<=", "≤": "<=", "<": "<"}
GRAMMAR = (
    "FIGURE >= 0.60 (also >, <=, <, and 60%), FIGURE +5 points, or FIGURE within 2 points; FIGURE "
    f"is overall, NAME, {' or '.join(f'{task}.NAME' for task in TASKS)}, {HARD}.NAME or "
    f"NAME[BENCHMARK]; NAME is one of {', '.join(FIGURES)}"
)
MOST_LETTERS = 300

_LINE = re.compile(
    r"(?P<figure>[a-z0-9_.]+)\s*(?:\[(?P<benchmark>[^\[\]]*)\])?\s*"
    r"(?:(?P<operator>>=|<=|≥|≤|>|<)\s*(?P<value>[^\s%]+)\s*(?P<percent>%)?"
    r"|(?P<sign>[+\-\u2212])\s*(?P<gain>[^\s]+)\s*(?:points?|pp)"
    r"|within\s+(?P<slack>[^\s]+)\s*(?:points?|pp)(?:\s+of\s+(?:the\s+)?reference)?)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?|\.\d{1,9}")

Kind = Literal["value", "gain", "within"]


@dataclass(frozen=True, slots=True)
class Gate:
    """A line as data. `value` is a fraction; of a `gain` with its sign, of `within` how much
    worse is allowed. `task` and `benchmark` are None for all; `hard` is for the hard samples."""

    text: str
    metric: str
    kind: Kind
    operator: str
    value: float
    task: GuardTask | None = None
    benchmark: str | None = None
    hard: bool = False

    @property
    def compares(self) -> bool:
        """Whether it needs a reference."""
        return self.kind != "value"

    @property
    def lower_is_better(self) -> bool:
        return self.metric in LOWER_IS_BETTER


def parse_gates(lines: str | Iterable[str]) -> list[Gate]:
    """The gates of a text, one a line, or of lines; empty ones are passed over.

    Raises InputError, which names the line and what is allowed.
    """
    found = lines.splitlines() if isinstance(lines, str) else lines
    gates = [parse_gate(line) for line in found if line.strip()]
    texts = [gate.text for gate in gates]
    if twice := next((text for text in texts if texts.count(text) > 1), None):
        raise InputError(f"gate={twice}: is there twice")
    return gates


def parse_gate(line: str) -> Gate:
    """One line as data. Raises InputError."""
    text = " ".join(line.split())
    if len(text) > MOST_LETTERS:
        raise InputError(f"gate={text[:40]}…: must have at most {MOST_LETTERS} letters")
    match = _LINE.fullmatch(text)
    if match is None:
        raise InputError(f"gate={text}: must be {GRAMMAR}")
    metric, task, benchmark, hard = _figure(text, match["figure"].lower(), match["benchmark"])
    lower = metric in LOWER_IS_BETTER
    if match["operator"]:
        value = _number(text, match["value"], bool(match["percent"]))
        operator = OPERATORS[match["operator"]]
        return Gate(text, metric, "value", operator, value, task, benchmark, hard)
    if match["slack"]:
        slack = _points(text, match["slack"])
        operator, value = ("<=", slack) if lower else (">=", -slack)
        return Gate(text, metric, "within", operator, value, task, benchmark, hard)
    if (match["sign"] != "+") != lower:
        better, sign = ("lower", "-") if lower else ("higher", "+")
        raise InputError(
            f"gate={text}: {match['figure']} is better when {better}: must be {sign}N points, or "
            "within N points"
        )
    gain = _points(text, match["gain"])
    operator, value = ("<=", -gain) if lower else (">=", gain)
    return Gate(text, metric, "gain", operator, value, task, benchmark, hard)


def _figure(
    text: str, figure: str, benchmark: str | None
) -> tuple[str, GuardTask | None, str | None, bool]:
    """(metric, task, benchmark, of hard samples) of a line's left side. Raises InputError."""
    scope, _, name = figure.rpartition(".")
    if figure == "overall":
        name = "f1"
    if name not in FIGURES:
        allowed = ", ".join(["overall", *FIGURES])
        raise InputError(f"gate={text}: {name} is no figure (allowed: {allowed})")
    if scope and scope not in (*TASKS, HARD):
        allowed = ", ".join([*TASKS, HARD])
        raise InputError(f"gate={text}: {scope}. is no part (allowed: {allowed})")
    if benchmark is not None and (scope or figure == "overall"):
        raise InputError(f"gate={text}: a benchmark has one task: must be {name}[{benchmark}]")
    if benchmark is not None and not benchmark.strip():
        raise InputError(f"gate={text}: names no benchmark between [ and ]")
    named = benchmark.strip() if benchmark else None
    return FIGURES[name], TASKS.get(scope), named, scope == HARD


def _number(text: str, written: str, percent: bool) -> float:
    """A fraction from 0 to 1, of `0.6` or of `60` percent. Raises InputError."""
    value = float(written) if _NUMBER.fullmatch(written) else None
    if value is not None and percent:
        value /= 100
    if value is None or value > 1:
        raise InputError(
            f"gate={text}: {written}{'%' if percent else ''} must be a number from 0 to 1, or from "
            "0% to 100%"
        )
    return value


def _points(text: str, written: str) -> float:
    """Percentage points as a fraction. Raises InputError."""
    value = float(written) if _NUMBER.fullmatch(written) else None
    if value is None or value > 100:
        raise InputError(f"gate={text}: {written} must be a number of points from 0 to 100")
    return value / 100
