"""Writing and freezing the folder of a pair set; `pair_sets` says what is in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.hard_samples import Pairing, Range, Weighting, weigh
from pipelines.pair_rows import Row, pair_row, sample_row, write_rows
from pipelines.pair_weights import range_rows, sample_ranges
from pipelines.schema import HardSample, InputError
from pipelines.template import GuardTemplate

FORMAT = 1
INFO, PAIRS, SAMPLES = "pair_set.json", "pairs.jsonl", "samples.jsonl"


def write_pair_set(
    folder: Path,
    samples: Sequence[HardSample],
    template: GuardTemplate,
    *,
    weighting: Weighting = "paper",
    gamma: float = 0.2,
    pairing: Pairing = "longest",
    record: Mapping[str, Any] | None = None,
    human_edited: Collection[str] = (),
    ranges: Mapping[tuple[str, str], Range] | None = None,
    name: str | None = None,
    version: int | None = None,
    parent: str | None = None,
) -> dict[str, Any]:
    """Writes and freezes a set; returns the content of its pair_set.json.

    Samples without a pair are kept in `samples.jsonl` alone. `human_edited` has row ids;
    `ranges` of d for each (model, source) stand in for those of these samples. Raises InputError
    where the folder holds a set already.
    """
    weighed = weigh(samples, gamma, weighting, ranges)
    paired = [one for one in weighed if one.chosen is not None and one.rejected is not None]
    rows = [pair_row(one, one.example.row_id in human_edited) for one in paired]
    return freeze(
        folder,
        rows,
        template,
        {
            "weighting": weighting,
            "gamma": gamma,
            "pairing": pairing,
            "name": name,
            "version": version,
            "parent": parent,
            "ranges": range_rows(sample_ranges(weighed) | dict(ranges or {})),
            "record": dict(record or {}),
        },
        weighed,
    )


def freeze(
    folder: Path,
    rows: Sequence[Row],
    template: GuardTemplate,
    about: Mapping[str, Any],
    samples: Sequence[HardSample] | None = None,
) -> dict[str, Any]:
    """Writes the files, then pair_set.json with their hashes, and makes all of them read-only."""
    if (folder / INFO).exists():
        raise InputError(f"folder={folder}: holds a frozen pair set; a new version needs its own")
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / PAIRS, rows)
    if samples is not None:
        write_rows(folder / SAMPLES, (sample_row(one) for one in samples))
    template.save(folder)
    info = {
        "format": FORMAT,
        "sha256": file_sha256(folder / PAIRS),
        "rows": len(rows),
        "samples_sha256": None if samples is None else file_sha256(folder / SAMPLES),
        **about,
    }
    # Written last, so its existence means that the set is whole.
    (folder / INFO).write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", "utf-8")
    for file in folder.iterdir():
        if file.is_file():
            file.chmod(0o444)
    return info


def fresh_folder(parent: Path, name: str = "pairs") -> Path:
    """`name`, `name-2`, ...: the first in which no set was frozen."""
    number, folder = 1, parent / name
    while (folder / INFO).exists():
        number += 1
        folder = parent / f"{name}-{number}"
    return folder


def file_sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
