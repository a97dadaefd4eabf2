"""What stages share that read rows: which rows, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from pydantic import Field

from pipelines.datasets import Dataset, read_dataset
from pipelines.stages.base import ESSENTIAL, DatasetRef, StageConfig

ROWS_SAY = "rows"


class DataConfig(StageConfig):
    """The rows of a stage. `seed` comes from the stage's own config."""

    dataset: DatasetRef = Field(
        "starter",
        min_length=1,
        description="starter, a JSON, JSONL, Parquet or CSV file, a folder, or a Hub dataset.",
        json_schema_extra=ESSENTIAL | {"reference": "dataset"},
    )
    split: str = Field("", description="Split of a Hub dataset; empty means all of them.")
    sources: list[str] = Field(
        [], description="Only the rows of these sources; empty means every source."
    )
    without_sources: list[str] = Field([], description="Leave the rows of these sources out.")
    label_task: Literal["rows", "prompt", "refusal", "response"] = Field(
        "rows",
        description="What a lone label beside a response is about; rows: their column task says.",
    )
    max_rows: int = Field(
        0,
        ge=0,
        description="Take a balanced sample of so many rows; 0 means all.",
        json_schema_extra=ESSENTIAL,
    )


_kept: ContextVar[dict[tuple[str, str, str], Dataset] | None] = ContextVar("kept", default=None)


@contextmanager
def shared_reads() -> Iterator[None]:
    """Within this block a dataset is read once, however many configs take rows of it."""
    token = _kept.set(_kept.get() or {})
    try:
        yield
    finally:
        _kept.reset(token)


def is_to_come(ref: str) -> bool:
    """Whether a job has yet to make what this names; where a stage runs, it is a path."""
    return ref.startswith(("job:", "artifact:"))


def load(config: DataConfig, seed: int) -> Dataset:
    """The rows that the config names, validated; none, with a remark, where a job has yet to make
    them. Raises DataError with every fault."""
    if is_to_come(config.dataset):
        return Dataset([], set(), config.dataset, "", "", [f"{config.dataset} will make the rows"])
    kept, key = _kept.get(), (config.dataset, config.split, config.label_task)
    whole = kept.get(key) if kept is not None else None
    if whole is None:
        task = None if config.label_task == ROWS_SAY else config.label_task
        whole = read_dataset(config.dataset, split=config.split or None, task=task)
        if kept is not None:
            kept[key] = whole
    return whole.select(config.max_rows or None, seed, config.sources, config.without_sources)
