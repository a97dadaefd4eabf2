"""What a moderator has learnt from, as far as it can still be read.

A score on rows that were learnt from says little, so an evaluation sets its rows beside these: the
rows of R-SFT, the prompts of preference pairs, and those of whatever a training went on from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines import base_models
from pipelines.datasets import read_dataset
from pipelines.pair_sets import describe_pair_set, read_pairs
from pipelines.predictions import prompt_key
from pipelines.schema import GuardExample, GuardUIError

RECORD = "training_info.json"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
NOWHERE = "something that is recorded nowhere"


@dataclass
class Learnt:
    """`traces`: the rows that R-SFT trained on. `preferred`: the prompts of preference training.
    `prompts`: the keys (see `prompt_key`) of all prompts. `unread`: what can't be looked at any
    more, or is no longer what was trained on; `unread_pairs`: that of it which may be preferences.
    """

    traces: list[GuardExample] = field(default_factory=list)
    preferred: list[str] = field(default_factory=list)
    prompts: set[int] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)
    unread_pairs: list[str] = field(default_factory=list)

    @property
    def sources(self) -> list[str]:
        """The sources that the traces name."""
        return sorted({example.source for example in self.traces} - {""})


def lineage(info: Mapping[str, Any], lost: list[str] | None = None) -> Iterator[Mapping[str, Any]]:
    """The record of a training and, in turn, of what it went on from.

    Where a record doesn't hold the one before, that is read of the adapter or the base model that
    it names, as far as it is on this machine; `lost` takes the names of those that can't be read.
    """
    lost = [] if lost is None else lost
    seen: set[Path] = set()
    while info:
        yield info
        info = info.get("parent") or _before(info, seen, lost)


def _before(info: Mapping[str, Any], seen: set[Path], lost: list[str]) -> Mapping[str, Any]:
    """The record of the adapter, or else of the base model, that a training names."""
    config = info.get("config") or {}
    adapter = str(config.get("adapter") or "")
    ref = adapter or str(config.get("base_model") or info.get("base_model") or "")
    if not ref:
        return {}
    folder = _kept_at(ref)
    if folder in seen:
        return {}
    try:
        found = base_models.read_json(folder / RECORD) if folder else {}
    except GuardUIError:
        lost.append(Path(ref).name)
        return {}
    if folder:
        seen.add(folder)
    # An adapter always learnt something. A base without a record is a bare one, but where its
    # folder is gone nobody can tell.
    if not found and (adapter or (not folder and Path(ref).expanduser().is_absolute())):
        lost.append(Path(ref).name)
    return found


def _kept_at(ref: str) -> Path | None:
    """The folder on this machine that a record names: a folder, or a Hub id in the cache.

    Relative paths name none: a record that was downloaded has but the last names of its maker's.
    """
    from huggingface_hub import try_to_load_from_cache

    path = Path(ref).expanduser()
    if path.is_absolute():
        return path.resolve() if path.is_dir() else None
    if not HUB_ID.fullmatch(ref):
        return None
    found = try_to_load_from_cache(ref, RECORD)
    return Path(found).parent if isinstance(found, str) else None


def learnt_by(ref: str) -> Learnt:
    """What an adapter, and those it went on from, learnt from. Raises what reading it raises."""
    found = Learnt()
    info = base_models.read_adapter(ref).info
    if not info:
        _missed(found, NOWHERE)
    lost: list[str] = []
    for record in lineage(info, lost):
        config = record.get("config") or {}
        name = str(config.get("pairs") or config.get("dataset") or "")
        traces = record.get("stage") == "rsft"
        try:
            if config.get("pairs"):
                _pairs(found, name, (record.get("dataset") or {}).get("sha256"))
            elif config.get("dataset"):
                _rows(found, name, _rows_sha256(record), config, traces=traces)
            elif record.get("stage") in ("rsft", "hsdpo", "quality"):
                _missed(found, NOWHERE, traces=traces)
        except GuardUIError:
            _missed(found, Path(name).name, traces=traces)
    for one in lost:
        _missed(found, f"what {one} learnt before")
    return found


def _rows_sha256(record: Mapping[str, Any]) -> str | None:
    """The hash of the rows. Of reasoning-quality DPO `sha256` is the hash of the pairs that it
    made of them, and older records have no other."""
    name = "rows_sha256" if record.get("stage") == "quality" else "sha256"
    return (record.get("dataset") or {}).get(name)


def _missed(found: Learnt, what: str, *, traces: bool = False) -> None:
    found.unread.append(what)
    if not traces:
        found.unread_pairs.append(what)


def _pairs(found: Learnt, ref: str, recorded: str | None) -> None:
    if recorded and describe_pair_set(ref)["sha256"] != recorded:
        _missed(found, f"{Path(ref).name} as it was")
    prompts = [str(row["prompt"]) for row in read_pairs(ref)]
    found.preferred += prompts
    found.prompts |= {prompt_key(prompt) for prompt in prompts}


def _rows(
    found: Learnt, ref: str, recorded: str | None, config: Mapping[str, Any], *, traces: bool
) -> None:
    task = config.get("label_task") or "rows"
    rows = read_dataset(
        ref,
        max_rows=config.get("max_rows") or None,
        seed=config.get("seed") or 0,
        split=config.get("split") or None,
        task=task if task != "rows" else None,
        sources=config.get("sources") or (),
        without_sources=config.get("without_sources") or (),
    )
    if recorded and rows.sha256 != recorded:
        _missed(found, f"{Path(ref).name} as it was", traces=traces)
    found.prompts |= {prompt_key(example.prompt) for example in rows.examples}
    if traces:
        found.traces += rows.examples
    else:
        found.preferred += [example.prompt for example in rows.examples]
