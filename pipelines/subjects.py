"""What is evaluated, by a name that people can read: moderators, bare bases, stored answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.baselines import BASELINES
from pipelines.evaluations import SubjectKind
from pipelines.learnt import lineage
from pipelines.mining import model_of
from pipelines.schema import InputError

STAGE_WORDS = {"rsft": "R-SFT", "hsdpo": "HS-DPO", "quality": "Quality DPO", "export": "Exported"}
_JOB = re.compile(r"jobs/(\d+)/[^/]+")
# Of a training's own config, what tells it from others.
_TOLD = (
    "dataset",
    "sources",
    "without_sources",
    "method",
    "target",
    "tasks",
    "learning_rate",
    "max_rows",
    "quantization",
    "batch_size",
    "accumulation",
    "gamma",
    "beta",
    "rho",
    "seed",
)
_DONE = ("steps", "epochs", "tokens", "final_loss")


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody whose verdicts are scored. `reference`: a path, a Hub id, or a baseline's name."""

    name: str
    kind: SubjectKind
    reference: str

    @property
    def slug(self) -> str:
        """Its name as a folder."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "subject"

    @property
    def asked(self) -> bool:
        """Whether a model has to answer; else its answers are there, or computed from the rows."""
        return self.kind in ("adapter", "base")


def subjects_of(
    adapters: Sequence[str],
    bases: Sequence[str],
    predictions: Sequence[str],
    baselines: Sequence[str],
    names: Sequence[str] = (),
) -> list[Subject]:
    """All that are to be evaluated, each with a name of its own; `names` are for the first of them,
    in this order. Raises InputError where there are more names, or two are the same."""
    found = [subject_of("adapter", ref) for ref in adapters]
    found += [subject_of("base", ref) for ref in bases]
    found += [subject_of("predictions", ref) for ref in predictions]
    found = named(found, names)
    found += [Subject(BASELINES[name], "baseline", name) for name in baselines]
    return told_apart(found)


def subject_of(kind: SubjectKind, ref: str) -> Subject:
    """A subject, by the name that its reference gives it."""
    if kind == "adapter":
        return Subject(_adapter_name(ref), kind, ref)
    if kind == "predictions":
        return Subject(_stored_name(ref), kind, ref)
    return Subject(ref.rstrip("/").rpartition("/")[2], kind, ref)


def named(subjects: Sequence[Subject], names: Sequence[str]) -> list[Subject]:
    """The same, the first of them with these names, an empty one for one that stays as it is.

    Raises InputError where there are more names, or two are the same."""
    if len(names) > len(subjects):
        raise InputError(
            f"names={', '.join(names)}: {len(names)} names for {len(subjects)} moderators and files"
        )
    found = [
        replace(one, name=str(name).strip() or one.name)
        for one, name in zip(subjects, [*names, *[""] * len(subjects)], strict=False)
    ]
    given = Counter(names)
    if twice := [name for name, count in given.items() if count > 1 and name]:
        raise InputError(f"names={', '.join(twice)}: named twice; each needs a name of its own")
    return found


def told_apart(subjects: Sequence[Subject]) -> list[Subject]:
    """The same with a number after each name that another before it has."""
    found: list[Subject] = []
    for one in subjects:
        # Two that differ in case or signs alone would share a folder.
        taken, other, number = {before.slug for before in found}, one, 1
        while other.slug in taken:
            number += 1
            other = replace(one, name=f"{one.name} ({number})")
        found.append(other)
    return found


def _adapter_name(ref: str) -> str:
    """`R-SFT #7` for what job 7 trained in this home, else the folder's name or the Hub id."""
    model = model_of(ref)
    if job := _JOB.fullmatch(model.name):
        return f"{STAGE_WORDS.get(str(model.info.get('stage')), 'Adapter')} #{job[1]}"
    path = Path(ref).expanduser()
    return path.resolve().name if path.exists() else ref


def _stored_name(ref: str) -> str:
    """A folder's name, or for `GuardReasoner-1B/SafeRLHF.jsonl` that of the folder it is in."""
    path = Path(ref).expanduser()
    if path.is_dir():
        return path.resolve().name
    return path.resolve().parent.name or path.stem


def training_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """What `training_info.json` says that a score may depend on; empty for a bare base."""
    config, metrics = info.get("config") or {}, info.get("metrics") or {}
    found = {name: config[name] for name in _TOLD if config.get(name) not in (None, "", [])}
    found |= {name: metrics[name] for name in _DONE if metrics.get(name)}
    found |= {name: info[name] for name in ("stage", "base_model", "seconds") if info.get(name)}
    if rows := (info.get("dataset") or {}).get("rows"):
        found["rows"] = rows
    for before in lineage(info):
        if dataset := (before.get("config") or {}).get("dataset"):
            found.setdefault("dataset", dataset)
    return found
