"""Which evaluations the Compare tab offers, and those that it compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db.jobs import artifacts
from db.models import Artifact
from db.session import Database
from pipelines.comparing.measuring import opened
from pipelines.evaluations import Evaluation
from pipelines.schema import GuardUIError

PRESELECTED = 3
MOST = 24
"""Runs that are shown at once; more can't be read."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An evaluation in the list of runs."""

    id: int
    name: str
    is_baseline: bool


@dataclass(frozen=True)
class Compared:
    """The evaluations on show: those chosen, then the baselines that belong to them. `ids` are
    their artifacts, `faults` says which of the chosen can't be read and why."""

    ids: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]
    faults: tuple[str, ...]


def listed(database: Database) -> list[Artifact]:
    """All evaluations, the newest first."""
    with database.read() as session:
        return artifacts(session, kind=("evaluation",))


def offers(found: Sequence[Artifact]) -> list[Offer]:
    """Each with a name to choose it by: `#12 smollm2-demo (fast), 20 Nov`."""
    return [Offer(one.id, _choice(one), _is_baseline(one)) for one in found]


def _choice(one: Artifact) -> str:
    mode = one.details.get("mode")
    told = f" ({mode})" if mode == "fast" else ""
    made = one.created_at.astimezone()
    return f"#{one.id} {one.name}{told}, {made.day} {made:%b}"


def chosen(found: Sequence[Artifact], wanted: Sequence[int] | None) -> list[int]:
    """The wanted ones that are there, or the newest few that are no baselines."""
    ids = [one.id for one in found]
    if wanted is not None:
        return [one for one in dict.fromkeys(wanted) if one in ids][:MOST]
    runs = [one.id for one in found if not _is_baseline(one)]
    return runs[:PRESELECTED]


def compared(found: Sequence[Artifact], ids: Sequence[int]) -> Compared:
    """The chosen evaluations and, of each baseline's name, the one that belongs to them."""
    by_id = {one.id: one for one in found}
    picked = [by_id[one] for one in ids]
    kept: list[int] = []
    evaluations, faults = [], []
    for one in [*picked, *_baselines(found, picked)]:
        try:
            evaluation = opened(one.path)
            evaluation.columns()
        except GuardUIError as error:
            if one in picked:
                faults.append(f"#{one.id} {one.name}: {error}")
            continue
        kept.append(one.id)
        evaluations.append(evaluation)
    return Compared(tuple(kept), tuple(evaluations), tuple(faults))


def _baselines(found: Sequence[Artifact], picked: Sequence[Artifact]) -> list[Artifact]:
    """Of each baseline one that was asked what the picked runs were: of their own job, or else the
    newest with a benchmark of theirs and the same sample."""
    held = {_reference(one) for one in picked if _is_baseline(one)}
    jobs = {one.job_id for one in picked if one.job_id is not None}
    asked = {name for one in picked for name in _benchmarks(one)}
    samples = {(one.details.get("sample"), one.details.get("seed")) for one in picked}
    found_by_name: dict[str, list[Artifact]] = {}
    for one in found:
        same = (one.details.get("sample"), one.details.get("seed")) in samples
        name = _reference(one)
        if _is_baseline(one) and name not in held and same and asked & set(_benchmarks(one)):
            found_by_name.setdefault(name, []).append(one)
    every = found_by_name.values()
    return [min(several, key=lambda one: one.job_id not in jobs) for several in every]


def _is_baseline(one: Artifact) -> bool:
    return one.details.get("kind") == "baseline"


def _reference(one: Artifact) -> str:
    return str(one.details.get("reference") or one.name)


def _benchmarks(one: Artifact) -> list[str]:
    names = one.details.get("benchmarks")
    return [str(name) for name in names] if isinstance(names, list) else []


def ids_of(text: str) -> list[int] | None:
    """`12,13` of an address as ids; None where it names none."""
    parts = [part.strip() for part in text.split(",")]
    known = [int(one) for one in parts if one.isascii() and one.isdigit() and len(one) < 10]
    return known or None
