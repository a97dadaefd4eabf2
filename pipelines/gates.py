"""Success criteria that are written before a run, and whether it met them.

A gate is a line: a figure, and what it must come to.

    accuracy >= 0.60                    f1[OpenAIModeration] >= 0.45
    parse_failures < 1%                 prompt.f1 >= 70%
    hard_samples.accuracy +5 points     overall within 2 points

`NAME` is over all rows, `TASK.NAME` over those of a task, `NAME[BENCHMARK]` over a benchmark,
`hard_samples.NAME` over the hard samples, which count nowhere else. F1 is averaged as in the
tables (their whole rows weigh a task's benchmarks, tasks count alike; `overall` is that); every
other figure is counted over all of its rows at once. `+N points` (`-N points` where lower is
better) and `within N points` (not worse by more) compare with a reference, on the rows that both
were asked.

A gate is met or missed by the figure itself. Where the 95% interval lies on both sides of the
line, or there are too few rows for one, the words say that chance may have decided.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipelines.gate_lines import HARD, Gate, parse_gate, parse_gates
from pipelines.schema import GateError, GuardTask, InputError

if TYPE_CHECKING:
    from pipelines.evaluations import Evaluation
    from pipelines.scoring.resampling import Interval

__all__ = [
    "Gate",
    "GateResult",
    "check_gates",
    "judge",
    "parse_gate",
    "parse_gates",
    "require",
]

State = Literal["pass", "pass_by_chance", "fail", "fail_by_chance", "unknown"]
WORDS: Mapping[State, str] = {
    "pass": "passes",
    "pass_by_chance": "passes, but not beyond chance",
    "fail": "fails",
    "fail_by_chance": "fails, but not beyond chance",
    "unknown": "can't be judged",
}
SIGNS: Mapping[State, str] = {
    "pass": "✓",
    "pass_by_chance": "✓?",
    "fail": "✕",
    "fail_by_chance": "✕?",
    "unknown": "?",
}


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether an evaluation met a gate. `value`, `target` and `interval` (95%) are fractions; of
    a gate with a reference they are of the difference. `why` is filled where nothing could be
    judged, which counts as missed; `note` says which of the rows were not looked at."""

    text: str
    subject: str
    state: State
    value: float | None
    target: float
    operator: str
    interval: Interval | None
    rows: int = 0
    reference: str = ""
    why: str = ""
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.state in ("pass", "pass_by_chance")

    @property
    def words(self) -> str:
        """`passes: 61.2 [58.0, 64.1] >= 60.0%`; a difference in points, against its reference.

        What misses its line stands so too: the sign is that of the criterion.
        """
        said = WORDS[self.state]
        if self.value is None:
            return f"{said}: {self.why}"
        form = "+.1f" if self.reference else ".1f"
        figure = format(100 * self.value, form)
        if self.interval:
            figure += " [{}, {}]".format(*(format(100 * end, form) for end in self.interval))
        unit = f" points against {self.reference}" if self.reference else "%"
        note = f" ({self.note})" if self.note else ""
        return f"{said}: {figure} {self.operator} {format(100 * self.target, form)}{unit}{note}"


def is_hard(benchmark: str) -> bool:
    """Whether these are a pair set's hard samples, by the benchmark's name."""
    return re.sub(r"[^a-z]", "", benchmark.lower()).startswith(HARD.replace("_", ""))


def check_gates(
    gates: Sequence[Gate], benchmarks: Mapping[str, GuardTask], *, reference: bool
) -> None:
    """Raises InputError for the first gate that a run can't be judged by: one that compares where
    there is no reference, or about rows that it is not asked."""
    for gate in gates:
        if gate.compares and not reference:
            raise InputError(
                f"gate={gate.text}: compares, and there is no reference evaluation",
                advice="Name one, or write a value that the figure must reach.",
            )
        if why := not_asked(gate, benchmarks):
            raise InputError(f"gate={gate.text}: {why}")


def not_asked(gate: Gate, benchmarks: Mapping[str, GuardTask]) -> str:
    """Why none of these benchmarks has rows that the gate is about; empty where one has."""
    if chosen(gate, benchmarks):
        return ""
    if gate.hard:
        return "there are no hard samples among the benchmarks"
    named = ", ".join(benchmarks) or "none"
    if gate.benchmark is not None:
        return f"{gate.benchmark} is not among the benchmarks ({named})"
    what = f"of the task {gate.task}" if gate.task else "other than hard samples"
    return f"there is no benchmark {what} ({named})"


def chosen(gate: Gate, benchmarks: Mapping[str, GuardTask]) -> list[str]:
    """The benchmarks that a gate is about."""
    if gate.benchmark is not None:
        return [name for name in benchmarks if name == gate.benchmark]
    return [
        name
        for name, task in benchmarks.items()
        if is_hard(name) == gate.hard and gate.task in (None, task)
    ]


def judge(
    gates: Sequence[Gate], evaluation: Evaluation, reference: Evaluation | None = None
) -> list[GateResult]:
    """What an evaluation came to, one result a gate, in their order.

    A row without a verdict is wrong once. What can't be judged is missed: `why` says what for.
    """
    from pipelines.gate_figures import difference, figure

    found = []
    for gate in gates:
        if gate.compares:
            measured = difference(gate, evaluation, reference)
        else:
            measured = figure(gate, evaluation)
        found.append(
            GateResult(
                text=gate.text,
                subject=evaluation.info.name,
                state=state_of(gate, measured.value, measured.interval),
                value=measured.value,
                target=gate.value,
                operator=gate.operator,
                interval=measured.interval,
                rows=measured.rows,
                reference=reference.info.name if gate.compares and reference else "",
                why=measured.why,
                note=measured.note,
            )
        )
    return found


def state_of(gate: Gate, value: float | None, interval: Interval | None) -> State:
    """Met or missed by the value; by chance where the interval has both sides of the line, or
    there is none that could rule chance out."""
    if value is None:
        return "unknown"
    met = holds(value, gate.operator, gate.value)
    by_chance = interval is None or any(
        holds(end, gate.operator, gate.value) != met for end in interval
    )
    if met:
        return "pass_by_chance" if by_chance else "pass"
    return "fail_by_chance" if by_chance else "fail"


def holds(value: float, operator: str, target: float) -> bool:
    """Whether value and target stand so to each other; a difference below 1e-9 is none."""
    same = abs(value - target) < 1e-9
    if operator in (">=", "<="):
        return same or (value > target if operator == ">=" else value < target)
    return not same and (value > target if operator == ">" else value < target)


def require(results: Sequence[GateResult]) -> None:
    """Raises GateError, with every gate that was missed, where one was."""
    if missed := [f"{one.text}: {one.words}" for one in results if not one.passed]:
        raise GateError(f"{len(missed)} of {len(results)} gates missed. " + "; ".join(missed))
