"""The weights of pairs that were read from a set, and the ranges that they are spread over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.hard_samples import (
    Range,
    Weighting,
    difference,
    hardness,
    ranges_of,
    spread,
    spread_by_group,
)
from pipelines.pair_rows import Row
from pipelines.schema import HardSample, InputError

Ranges = dict[tuple[str, str], Range]
"""(model, source) -> the least and the greatest d = wrong - right."""


def sample_ranges(samples: Iterable[HardSample]) -> Ranges:
    """The ranges that hard samples are observed in; the others count in none."""
    hard = [one for one in samples if hardness(one) == "hard"]
    groups = [(one.model, one.example.source) for one in hard]
    return ranges_of([difference(one) for one in hard], groups)


def range_rows(ranges: Mapping[tuple[str, str], Range]) -> list[Row]:
    """Ranges of d by (model, source) as rows for JSON."""
    return [
        {"model": model, "source": source, "low": low, "high": high}
        for (model, source), (low, high) in ranges.items()
    ]


def read_ranges(info: Mapping[str, Any]) -> Ranges:
    """What `range_rows` wrote, from a pair_set.json."""
    rows = info.get("ranges") or []
    return {(row["model"], row["source"]): (row["low"], row["high"]) for row in rows}


def pair_weights(
    rows: Sequence[Row],
    weighting: Weighting,
    gamma: float,
    ranges: Mapping[tuple[str, str], Range] | None = None,
) -> list[float]:
    """alpha of each row. `ranges` are those that the set was written with, for `paper`.

    Raises InputError where the stored weights are asked for and a row has none.
    """
    differences = [row["k_incorrect"] - row["k_correct"] for row in rows]
    if weighting == "uniform":
        return [1.0] * len(rows)
    if weighting == "pooled":
        return spread(differences, gamma)
    if weighting == "stored":
        lacking = [str(row.get("row_id", "?")) for row in rows if not _is_weight(row.get("weight"))]
        if lacking:
            shown = ", ".join(lacking[:5])
            raise InputError(
                f"weighting=stored: {len(lacking)} pairs have no weight that is a number of nought "
                f"or more (row_id {shown})"
            )
        return [float(row["weight"]) for row in rows]
    groups = [(row.get("model", ""), row.get("source", "")) for row in rows]
    return spread_by_group(differences, groups, gamma, ranges)


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < float("inf")
