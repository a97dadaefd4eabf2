"""Whether a run fits a device, and what to change where it doesn't: each change is tried against
the estimate."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipelines.machine import Device
from pipelines.memory import Estimate
from pipelines.model_sizes import ModelSize
from pipelines.plan_time import Kind
from pipelines.plan_words import gib, settings_words

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
    """Fields to change, and the bytes that the run would need then; None where not known."""

    changes: Changes
    needed: int | None

    def __str__(self) -> str:
        words = settings_words(self.changes)
        return f"{words} would need about {gib(self.needed)}" if self.needed else f"set {words}"


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


def suggestions(work: Workload, device: Device, verdict: Verdict) -> list[Suggestion]:
    if verdict == "no_gpu":
        return suggest_without_gpu(work, device)
    return suggest(work, device) if verdict == "too_large" else []


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


def suggest_without_gpu(work: Workload, device: Device) -> list[Suggestion]:
    """What would do without a GPU: the plain run, and what else to change where it won't fit."""
    change, estimate = work.without_gpu, work.estimate
    if estimate is None:
        return [Suggestion(change, None)]
    plain = replace(work, needs_gpu="", estimate=lambda more, on: estimate({**change, **more}, on))
    found = [Suggestion({}, estimate(change, device).total)]
    if judge(plain, estimate(change, device), device) == "too_large":
        found = suggest(plain, device)
    return [Suggestion({**change, **one.changes}, one.needed) for one in found]
