"""What stages share that read rows: which rows, and how they are read."""

from __future__ import annotations

from pydantic import Field

from pipelines.datasets import Dataset, read_dataset
from pipelines.stages.base import ESSENTIAL, DatasetRef, StageConfig


class DataConfig(StageConfig):
    """The rows of a stage. `seed` comes from the stage's own config."""

    dataset: DatasetRef = Field(
        "starter",
        min_length=1,
        description="starter, a JSON, JSONL, Parquet or CSV file, a folder, or a Hub dataset.",
        json_schema_extra=ESSENTIAL | {"reference": "dataset"},
    )
    split: str = Field("", description="Split of a Hub dataset; empty means all of them.")
    max_rows: int = Field(
        0,
        ge=0,
        description="Take a balanced sample of so many rows; 0 means all.",
        json_schema_extra=ESSENTIAL,
    )


def load(config: DataConfig, seed: int) -> Dataset:
    """The rows that the config names, validated. Raises DataError with every fault."""
    return read_dataset(
        config.dataset,
        max_rows=config.max_rows or None,
        seed=seed,
        split=config.split or None,
    )
