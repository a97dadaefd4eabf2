"""Pair sets: frozen folders of preference pairs, and the hard samples that they come from.

`pairs.jsonl` is what HS-DPO trains on, `samples.jsonl` every hard sample whole,
`guard_template.json` how its prompts are written. `pair_set.json` is written last and says what
the set is, with a hash of each of the others; a file that was changed since is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.hard_samples import Weighting as Weighting
from pipelines.pair_rows import Row, json_lines, pair_faults, read_sample_rows
from pipelines.pair_writing import FORMAT, INFO, PAIRS, SAMPLES, file_sha256
from pipelines.pair_writing import write_pair_set as write_pair_set
from pipelines.schema import DataError, HardSample, NotFoundError
from pipelines.template import GuardTemplate


def _folder(ref: str, file: str = PAIRS) -> Path:
    folder = Path(ref).expanduser()
    if not (folder / file).is_file():
        raise NotFoundError(f"pairs={ref}: no such pair set (there is no {folder / file})")
    return folder


def _info(folder: Path) -> dict[str, Any] | None:
    path = folder / INFO
    if not path.is_file():
        return None
    try:
        info = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"pairs={folder}: {INFO} can't be read ({error})") from None
    if not isinstance(info, dict) or info.get("format") != FORMAT or "sha256" not in info:
        found = info.get("format") if isinstance(info, dict) else info
        raise DataError(f"pairs={folder}: {INFO}: format={found!r}, must be {FORMAT}")
    return info


def _frozen_text(ref: str, folder: Path, file: str, wanted: str | None) -> str:
    """The file's text. Raises DataError where its hash isn't the one it was frozen with."""
    data = (folder / file).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if wanted is not None and found != wanted:
        raise DataError(
            f"pairs={ref}: {file} was changed after the set was frozen (its sha256 is {found}, "
            f"{INFO} says {wanted}); put the file back, or freeze a new version"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"pairs={ref}: {file}: not UTF-8 ({error})") from None


def read_pairs(ref: str) -> list[Row]:
    """The rows of a pair set's folder, whole or as older versions wrote them.

    Raises NotFoundError where there is none, DataError with every fault, or where the content is
    no longer what was frozen.
    """
    folder = _folder(ref)
    info = _info(folder)
    text = _frozen_text(ref, folder, PAIRS, info["sha256"] if info else None)
    faults: list[str] = []
    rows: list[Row] = []
    for place, row in json_lines(text, PAIRS, faults) if text.strip() else ():
        found = pair_faults(row, place)
        faults += found
        if isinstance(row, dict):
            rows.append(row)
    if faults:
        raise DataError(f"pairs={ref}: {len(faults)} faults in {len(rows)} rows", faults)
    if not rows:
        raise DataError(f"pairs={ref}: there is no pair in it")
    return rows


def read_samples(ref: str) -> list[HardSample]:
    """Every hard sample of the set with its generations.

    Raises NotFoundError where there is no such set, DataError where it has no samples (an
    imported set, or one of an older version) or they were changed.
    """
    folder = _folder(ref)
    info = _info(folder)
    if not (folder / SAMPLES).is_file():
        raise DataError(
            f"pairs={ref}: has pairs alone ({SAMPLES} is missing): the set was imported, or mined "
            "before samples were kept; mine again"
        )
    text = _frozen_text(ref, folder, SAMPLES, info["samples_sha256"] if info else None)
    return read_sample_rows(text, SAMPLES)


def read_template(ref: str) -> GuardTemplate | None:
    """The template that the set's prompts are written with, where it has one."""
    folder = _folder(ref)
    return GuardTemplate.load(folder) if (folder / "guard_template.json").is_file() else None


def describe_pair_set(ref: str) -> dict[str, Any]:
    """The content of pair_set.json, or what can be told of an older folder (`format` 0)."""
    folder = _folder(ref)
    info = _info(folder)
    if info is not None:
        return info
    mined = folder / "mining_info.json"
    record = json.loads(mined.read_text("utf-8")) if mined.is_file() else {}
    return {
        "format": 0,
        "sha256": file_sha256(folder / PAIRS),
        "rows": len(read_pairs(ref)),
        "samples_sha256": None,
        "weighting": "pooled",
        "gamma": record.get("config", {}).get("gamma"),
        "pairing": "longest",
        "name": None,
        "version": None,
        "parent": None,
        "ranges": [],
        "record": record,
    }


@dataclass(frozen=True, slots=True)
class PairSetDiff:
    """What set b has other than set a, by row id; `changed` names the fields that differ."""

    added: list[str]
    removed: list[str]
    changed: dict[str, list[str]]
    unchanged: int


def diff_pair_sets(a: str, b: str) -> PairSetDiff:
    """Compares two sets row by row; a row without an id is known by its conversation."""
    before, after = _by_id(read_pairs(a)), _by_id(read_pairs(b))
    shared = [key for key in after if key in before]
    changed = {key: _differing(before[key], after[key]) for key in shared}
    changed = {key: fields for key, fields in changed.items() if fields}
    return PairSetDiff(
        added=[key for key in after if key not in before],
        removed=[key for key in before if key not in after],
        changed=changed,
        unchanged=len(shared) - len(changed),
    )


def _by_id(rows: Sequence[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        key = str(row.get("row_id") or f"{row['prompt']}\n{row.get('response')}")
        number, unique = 1, key
        while unique in found:
            number += 1
            unique = f"{key}#{number}"
        found[unique] = row
    return found


def _differing(before: Row, after: Row) -> list[str]:
    names = [*before, *(name for name in after if name not in before)]
    return [name for name in names if before.get(name) != after.get(name)]
