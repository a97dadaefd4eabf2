"""What a run asks of a machine, told before it starts: memory, steps, tokens, and time.

A stage describes its run as a `Workload`; `make_plan` sets it beside a device and, where this home
has measured a like run, tells how long it will take. A run that can't fit is refused with what to
change, each change tried against the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.fitting import MARGIN as MARGIN
from pipelines.fitting import TIGHT as TIGHT
from pipelines.fitting import Changes as Changes
from pipelines.fitting import Suggestion, Verdict, judge, suggestions
from pipelines.fitting import Workload as Workload
from pipelines.machine import Device, find_device
from pipelines.memory import Estimate
from pipelines.plan_time import Measured, how_long
from pipelines.plan_words import gib as gib
from pipelines.plan_words import has as has
from pipelines.schema import InputError, TooLargeError


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
        suggestions=suggestions(work, device, verdict),
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
    instead = str(plan.suggestions[0]) if plan.suggestions else "nothing that was tried fits here"
    raise InputError(
        f"{plan.work.needs_gpu}: needs a GPU, and there is none here; {instead}",
        advice="Or run it on a machine with a GPU. "
        "ignore_memory=true runs it here all the same, slowly.",
    )


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
