"""One row of an evaluation, and how it lies in the table of all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.schema import DataError, GuardExample, GuardTask, Label


class Rows(Protocol):
    """The rows of one benchmark: each example's `gold` has the task's label."""

    @property
    def benchmark(self) -> str: ...
    @property
    def task(self) -> GuardTask: ...
    @property
    def examples(self) -> Sequence[GuardExample]: ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a subject said of one row of a benchmark, on that benchmark's task.

    `predicted` is None where there is no verdict; `error` then says why. `probability` is that of
    the task's positive class. `seconds` is the row's share of the time that its batch took.
    """

    benchmark: str
    task: GuardTask
    row_id: str
    prompt: str
    response: str | None
    gold: Label
    predicted: Label | None
    error: str = ""
    raw: str = ""
    probability: float | None = None
    tokens: int = 0
    seconds: float = 0.0
    category: str = ""
    source: str = ""


# column -> its type in Arrow. `gold` and `predicted` are stored as numbers, as `Columns` has them.
SCHEMA = {
    "benchmark": "string",
    "task": "string",
    "row_id": "string",
    "prompt": "string",
    "response": "string",
    "gold": "bool",
    "predicted": "int8",
    "error": "string",
    "raw": "string",
    "probability": "float64",
    "tokens": "int32",
    "seconds": "float64",
    "category": "string",
    "source": "string",
    "prompt_key": "int64",
    "length": "int32",
}
LONG = ("task", "prompt", "response", "raw", "error")
COLUMNS_ON_SHOW = tuple(name for name in SCHEMA if name not in LONG)


def prompt_key(prompt: str) -> int:
    """A number that prompts share which are the same but for case and blanks."""
    words = " ".join(prompt.casefold().split())
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), signed=True)


def to_row(one: Prediction) -> dict[str, Any]:
    """The row of the table. Raises DataError for a gold label that is none of the task."""
    positive, negative = one.task.labels
    if one.gold not in (positive, negative):
        raise DataError(
            f"{one.benchmark}:{one.row_id}: label={one.gold}: must be {positive} or {negative}"
        )
    said = {positive: 1, negative: 0, None: -1}
    return {
        "benchmark": one.benchmark,
        "task": one.task.value,
        "row_id": one.row_id,
        "prompt": one.prompt,
        "response": one.response,
        "gold": one.gold == positive,
        "predicted": said[one.predicted],
        "error": one.error,
        "raw": one.raw,
        "probability": float("nan") if one.probability is None else one.probability,
        "tokens": one.tokens,
        "seconds": one.seconds,
        "category": one.category,
        "source": one.source,
        "prompt_key": prompt_key(one.prompt),
        "length": len(one.prompt) + len(one.response or ""),
    }


def from_row(row: dict[str, Any]) -> Prediction:
    """What `to_row` made a row of."""
    task = GuardTask(row["task"])
    positive, negative = task.labels
    return Prediction(
        benchmark=row["benchmark"],
        task=task,
        row_id=row["row_id"],
        prompt=row["prompt"],
        response=row["response"],
        gold=positive if row["gold"] else negative,
        predicted={1: positive, 0: negative}.get(row["predicted"]),
        error=row["error"],
        raw=row["raw"],
        probability=None if row["probability"] != row["probability"] else row["probability"],
        tokens=row["tokens"],
        seconds=row["seconds"],
        category=row["category"],
        source=row["source"],
    )
