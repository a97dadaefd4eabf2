"""How long a run will take, by what jobs of this home have reached. Nothing is told unmeasured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.machine import Device
from pipelines.model_sizes import ModelSize

Kind = Literal["training", "generation"]
ALIKE = 20
"""By how much a token's arithmetic may differ for one run to tell of another. Beyond it what a
step costs besides arithmetic counts: a tiny model's speed says nothing of a large one's."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A speed that a job of this home reached, in tokens a second on a device of this kind."""

    job_id: int
    stage: str
    kind: Kind
    device_kind: str
    base: str
    per_second: float
    cost: float
    tokens_an_answer: float = 0


def how_long(
    measured: Sequence[Measured],
    *,
    kind: Kind,
    device: Device,
    base: str,
    cost: float,
    tokens: int | None,
    answers: int = 0,
    ranks: int = 1,
) -> tuple[float | None, int | None, str]:
    """(seconds, tokens, where that is from), by the measured job that is most like this run.

    `cost`: arithmetic a token. The tokens of `answers` are known from that job alone.
    """
    likely = [
        one
        for one in measured
        if (one.kind, one.device_kind) == (kind, device.kind) and is_alike(one.cost, cost)
    ]
    if not likely:
        how = "max_steps=2" if kind == "training" else "max_rows=8"
        on = "a GPU" if device.is_gpu else "this processor"
        return None, tokens, f"nothing like it was measured on {on}: a run with {how} would tell"
    best = min(likely, key=lambda one: (one.base != base, abs(math.log(one.cost / cost))))
    if kind == "generation":
        tokens = round(answers * best.tokens_an_answer)
    scale = best.cost / cost
    note = f"by job {best.job_id} ({best.stage} of {best.base}, {best.per_second:,.0f} tokens/s)"
    if not 0.99 < scale < 1.01:
        note += f", scaled by {scale:.2g} for the arithmetic that a token takes"
    if ranks > 1:
        note += f", shared by {ranks} ranks without loss"
    return (tokens / (best.per_second * scale * ranks) if tokens else None), tokens, note


def training_cost(
    size: ModelSize, trained: int, *, checkpointing: bool, reference: bool = False
) -> float:
    """Arithmetic a token of training: 2 a weight forward, 2 back to the inputs, 2 a trained weight
    for its gradient; checkpointing and a reference each go forward once more."""
    return size.parameters * (4 + 2 * checkpointing + 2 * reference) + 2 * trained


def is_alike(known: float, cost: float) -> bool:
    """Whether a run of this arithmetic a token tells how fast the other will be."""
    return known > 0 and cost > 0 and max(known / cost, cost / known) <= ALIKE
