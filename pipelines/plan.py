"""What a run asks of a machine, told before it starts: memory, steps, tokens, and time.

A stage describes its run as a `Workload`; `make_plan` sets it beside a device and, where this home
has measured a like run, tells how long it will take. A run that can't fit is refused with what to
change, each change tried against the estimate.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipelines.machine import Device, find_device
from pipelines.memory import Estimate
from pipelines.model_sizes import ModelSize
from pipelines.plan_time import Kind, Measured, how_long
from pipelines.plan_words import gib as gib
from pipelines.plan_words import has as has
from pipelines.plan_words import settings_words
from pipelines.schema import InputError, TooLargeError

# The estimate is off by some; a run is refused only where it wouldn't fit were it so much less.
MARGIN = 0.15
# From this share of the device's memory on, a run is said to be tight.
TIGHT = 0.9
# Rows that a job has yet to make may be no longer than this, in tokens.
SHORT = 512
MAX_SUGGESTIONS = 3

Changes = Mapping[str, Any]
Verdict = Literal["fits", "tight", "too_large", "splits", "no_gpu", "unknown"]


@dataclass(frozen=True, slots=True)
class Workload:
    """A run as it was asked for. Counts are 0 where they aren't known yet.

    `estimate(changes, device)` is the memory with these fields of the config changed; `options`
    are changes to try where it doesn't fit, the gentlest first; another base model is the last.
    `needs_gpu` names a field, and its value, that is refused without one, `without_gpu` what would
    do. `cost` is arithmetic a token. `smallest_batch`: to how much a batch that doesn't fit on a
    GPU is halved as it runs, 0 where it isn't.
    """

    kind: Kind
    base: str
    size: ModelSize | None
    device: str
    estimate: Callable[[Changes, Device], Estimate] | None
    options: Callable[[Device], Sequence[Changes]] = lambda _device: ()
    rows: int = 0
    rows_a_batch: int = 1
    accumulation: int = 1
    epochs: float = 1
    max_steps: int = 0
    epoch_tokens: int = 0
    longest: int = 0
    answers: int = 0
    most_new_tokens: int = 0
    cost: float = 0
    row_name: str = "rows"
    smallest_batch: int = 0
    ignore_memory: bool = False
    remarks: Sequence[str] = ()
    needs_gpu: str = ""
    without_gpu: Changes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Fields to change, and the bytes that the run would need then."""

    changes: Changes
    needed: int

    def __str__(self) -> str:
        return f"{settings_words(self.changes)} would need about {gib(self.needed)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A workload set beside a device. Bytes, seconds and counts are None where not known."""

    work: Workload
    device: Device
    verdict: Verdict
    estimate: Estimate | None
    global_batch: str
    steps: int | None
    epoch_tokens: int | None
    total_tokens: int | None
    seconds: float | None
    time_note: str
    suggestions: Sequence[Suggestion] = ()
    remarks: Sequence[str] = field(default_factory=list)

    @property
    def needed(self) -> int | None:
        return self.estimate.total if self.estimate else None

    @property
    def length_unknown(self) -> bool:
        """Whether the rows have yet to be made, so that the estimate is for the longest allowed."""
        return self.work.kind == "training" and not self.work.rows


def make_plan(
    work: Workload,
    *,
    device: Device | None = None,
    measured: Sequence[Measured] = (),
    ranks: int = 1,
) -> Plan:
    """Sets a workload beside a device, this machine's unless another is given.

    `measured`: what jobs of this home reached, the newest first. `ranks`: processes that share
    the rows; memory is that of one.
    """
    device = device or find_device(work.device)
    estimate = work.estimate({}, device) if work.estimate else None
    verdict = judge(work, estimate, device)
    steps, batch = count_steps(work, ranks)
    passes = steps_share(work, steps, ranks)
    total = round(work.epoch_tokens * passes) if work.epoch_tokens and passes else None
    seconds, total, note = how_long(
        measured,
        kind=work.kind,
        device=device,
        base=work.base,
        cost=work.cost,
        tokens=total,
        answers=work.answers,
        ranks=ranks,
    )
    return Plan(
        work=work,
        device=device,
        verdict=verdict,
        estimate=estimate,
        global_batch=batch,
        steps=steps,
        epoch_tokens=work.epoch_tokens or None,
        total_tokens=total,
        seconds=seconds,
        time_note=note,
        suggestions=suggest(work, device) if verdict == "too_large" else (),
        remarks=[*work.remarks, *_memory_remarks(work, estimate, device, verdict)],
    )


def accept(work: Workload) -> list[str]:
    """The remarks of a run that may be queued. Raises TooLargeError for one that can't fit."""
    plan = make_plan(work)
    refuse(plan)
    tight = plan.verdict in ("tight", "too_large")
    return list(plan.remarks if tight else work.remarks)


def refuse(plan: Plan) -> None:
    """Raises TooLargeError with what to change, unless the config says to run it anyhow."""
    if plan.work.ignore_memory:
        return
    if plan.verdict == "no_gpu":
        refuse_without_gpu(plan)
    if plan.verdict != "too_large":
        return
    advice = [f"{one}." for one in plan.suggestions] or [
        f"No change that was tried fits: take a device with about {gib(plan.needed or 0)}, "
        "or a smaller base_model."
    ]
    if not plan.device.memory:
        raise TooLargeError(f"device={plan.work.device}: there is no GPU here; use auto or cpu")
    raise TooLargeError(
        f"memory: {plan.work.base} would need about {gib(plan.needed or 0)}, "
        f"and {has(plan.device)}",
        advice=" ".join([*advice, "ignore_memory=true runs it all the same."]),
    )


def refuse_without_gpu(plan: Plan) -> None:
    """Raises InputError that names the field which needs a GPU, and what would do without one."""
    work, device, change = plan.work, plan.device, plan.work.without_gpu
    advice, estimate = f"Set {settings_words(change)}", work.estimate
    if estimate is not None:
        # The plain run, judged like any other, with what to change in it where it won't fit.
        plain = replace(
            work, needs_gpu="", estimate=lambda more, on: estimate({**change, **more}, on)
        )
        found = [Suggestion({}, estimate(change, device).total)]
        if judge(plain, estimate(change, device), device) == "too_large":
            found = suggest(plain, device)
        whole = [Suggestion({**change, **one.changes}, one.needed) for one in found[:1]]
        advice = "".join(map(str, whole)) or "No change that was tried fits here without it"
    raise InputError(
        f"{work.needs_gpu}: needs a GPU, and there is none here",
        advice=f"{advice}. Or run it on a machine with a GPU. "
        "ignore_memory=true runs it here all the same, slowly.",
    )


def _may_be_short(work: Workload, device: Device) -> bool:
    """Whether a training on rows that have yet to be made, estimated at their greatest length,
    would fit were they short."""
    if work.kind != "training" or work.rows or work.estimate is None:
        return False
    return work.estimate({"max_length": SHORT}, device).total <= device.memory * TIGHT


def judge(work: Workload, estimate: Estimate | None, device: Device) -> Verdict:
    """Whether a run fits, with the margin that an estimate deserves."""
    if work.needs_gpu and not device.is_gpu and not work.ignore_memory:
        return "no_gpu"
    if estimate is None:
        return "unknown"
    if estimate.total > device.memory * (1 + MARGIN):
        if work.estimate and work.smallest_batch and device.is_gpu:
            least = work.estimate({"batch_size": work.smallest_batch}, device).total
            return "splits" if least <= device.memory else "too_large"
        if _may_be_short(work, device):
            return "tight"
        return "too_large"
    return "tight" if estimate.total > device.memory * TIGHT else "fits"


def suggest(work: Workload, device: Device) -> list[Suggestion]:
    """Changes that would make it fit, gentle ones first: each alone, else one upon the other."""
    options = work.options(device)
    gentle = [changes for changes in options if "base_model" not in changes]
    together = [dict(ChainMap(*map(dict, gentle[:n][::-1]))) for n in range(2, len(gentle) + 1)]
    others = [changes for changes in options if "base_model" in changes]
    others += [{**together[-1], **changes} for changes in others if together]
    found = _fitting(work, device, gentle)
    if not found:
        found = (_fitting(work, device, together) or _fitting(work, device, others))[:1]
    return found[:MAX_SUGGESTIONS]


def _fitting(work: Workload, device: Device, options: Sequence[Changes]) -> list[Suggestion]:
    """The first of each set of fields with which the run would fit without being tight."""
    found: dict[tuple[str, ...], Suggestion] = {}
    if work.estimate is None:
        return []
    for changes in options:
        needed = work.estimate(changes, device).total
        if needed <= device.memory * TIGHT:
            found.setdefault(tuple(changes), Suggestion(changes, needed))
    return list(found.values())


def count_steps(work: Workload, ranks: int) -> tuple[int | None, str]:
    """(optimiser steps, or batches of a generation; what one takes, in words)."""
    if work.kind == "generation":
        batches = math.ceil(work.rows / work.rows_a_batch) if work.rows else None
        return batches, f"{work.rows_a_batch:,} {work.row_name}"
    size = work.rows_a_batch * work.accumulation * ranks
    parts = [f"{work.rows_a_batch} {work.row_name}", f"{work.accumulation} accumulated"]
    parts += [f"{ranks} ranks"] if ranks > 1 else []
    words = f"{size:,} = {' x '.join(parts)}"
    if not work.rows:
        return work.max_steps or None, words
    batches = math.ceil(work.rows / (work.rows_a_batch * ranks))
    steps = math.ceil(work.epochs * max(1, math.ceil(batches / work.accumulation)))
    return work.max_steps or steps, words


def steps_share(work: Workload, steps: int | None, ranks: int) -> float:
    """How often a training passes over its rows, `max_steps` looked at."""
    if work.kind == "generation" or not work.rows or not steps:
        return 1 if work.kind == "generation" else 0
    seen = steps * work.rows_a_batch * work.accumulation * ranks / work.rows
    return min(work.epochs, seen) if work.max_steps == 0 else seen


def _memory_remarks(
    work: Workload, estimate: Estimate | None, device: Device, verdict: Verdict
) -> list[str]:
    if estimate is None:
        return [f"{work.base or 'The base model'}: its size isn't known here, so no memory is told"]
    if verdict == "tight" and work.kind == "training" and not work.rows:
        return [
            f"memory may be tight: up to {gib(estimate.total)} needed, by how long the rows are "
            f"that have yet to be made; {has(device)}"
        ]
    if verdict == "tight":
        more = "more than" if estimate.total > device.memory else "of"
        return [
            f"memory is tight: about {gib(estimate.total)} needed, {more} {gib(device.memory)}; "
            f"the estimate may be {MARGIN:.0%} off"
        ]
    if verdict == "splits":
        return ["a batch that doesn't fit in the GPU's memory is halved as it runs"]
    if verdict == "too_large" and work.ignore_memory:
        return [
            f"about {gib(estimate.total)} needed, and {has(device)}: "
            "it will run all the same, for ignore_memory=true"
        ]
    return []
