"""What people do on the Hard samples tab, from the browser's words to `pipelines.jobs.curation`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.samples import SampleFilter, get_sample
from db.session import Database
from guardui.render_sample_sets import version_name
from guardui.render_sample_words import CHANGES
from guardui.sample_address import read_place
from guardui.tabs.sample_parts import whole
from pipelines.jobs import curation
from pipelines.schema import GuardTask, InputError, NotFoundError

MOST_AT_ONCE = 10_000
"""More ids than a page can show come from no page of ours."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, in words, and what takes it back: the moment of a review, else the samples."""

    said: str = ""
    ids: list[int] = field(default_factory=list)
    at: str = ""


def perform(database: Database, asked: Mapping[str, Any]) -> Done:
    """Does what is asked. Raises the errors of `curation`, and InputError for what is no question
    that the page asks."""
    acts: dict[str, Callable[[Database, Mapping[str, Any]], Done]] = {
        "accept": _accept,
        "drop": _drop,
        "restore": _restore,
        "pick": _pick,
        "edit": _edit,
        "relabel": _relabel,
        "undo": _undo,
        "study": _study,
        "freeze": _freeze,
    }
    name = str(asked.get("act", ""))
    if name not in acts:
        raise InputError(f"act={name}: must be one of {', '.join(acts)}")
    return acts[name](database, asked)


def _wanted(database: Database, asked: Mapping[str, Any]) -> list[int] | SampleFilter:
    """The samples that are meant: by id, or all that match the address."""
    ids = asked.get("ids")
    if ids == "all":
        # `of` is the address of the list that was seen, which may not be that of the page any more.
        with database.read() as session:
            return _meant(session, str(asked.get("of", asked.get("query", ""))))
    if not isinstance(ids, list) or not all(type(one) is int for one in ids):
        raise InputError(f"ids={str(ids)[:40]}: must be a list of numbers, or all")
    if not ids or len(ids) > MOST_AT_ONCE:
        raise InputError(f"ids: {len(ids)} samples are named, must be 1 to {MOST_AT_ONCE:,}")
    return ids


def _meant(session: Session, query: str) -> SampleFilter:
    """What an address names; no other set stands in for one that is gone, as on the page."""
    place = read_place(query)
    named, found = place.filter.job_id, whole(session, place).filter
    if named is not None and found.job_id != named:
        raise InputError(f"set={named}: has no hard samples any more; its job was run again")
    return found


def _one(asked: Mapping[str, Any]) -> int:
    ids = asked.get("ids")
    if not isinstance(ids, list) or len(ids) != 1 or type(ids[0]) is not int:
        raise InputError(f"ids={str(ids)[:40]}: must name one sample")
    return ids[0]


def _told(verb: str, wanted: list[int] | SampleFilter, reviewed: curation.Reviewed) -> Done:
    count = reviewed.samples
    which = (
        f"#{wanted[0]}"
        if isinstance(wanted, list) and len(wanted) == 1
        else f"{count:,} {'sample' if count == 1 else 'samples'}"
    )
    if not count:
        return Done(f"{which}: nothing to change")
    one = wanted if isinstance(wanted, list) and len(wanted) == 1 else []
    return Done(f"{verb} {which}", one, reviewed.at.isoformat())


def _accept(database: Database, asked: Mapping[str, Any]) -> Done:
    wanted = _wanted(database, asked)
    return _told("✓ Accepted", wanted, curation.accept(database, wanted))


def _drop(database: Database, asked: Mapping[str, Any]) -> Done:
    wanted = _wanted(database, asked)
    return _told("✕ Dropped", wanted, curation.drop(database, wanted, str(asked.get("reason", ""))))


def _restore(database: Database, asked: Mapping[str, Any]) -> Done:
    wanted = _wanted(database, asked)
    return _told("○ Back to review:", wanted, curation.restore(database, wanted))


def _pick(database: Database, asked: Mapping[str, Any]) -> Done:
    sample = _one(asked)
    sides = {
        side: int(str(asked[side]))
        for side in ("chosen", "rejected")
        if str(asked.get(side, "")).isdecimal()
    }
    curation.pick(database, sample, **sides)
    said = " and ".join(f"answer {place + 1} as {side}" for side, place in sides.items())
    return Done(f"#{sample}: {said}", [sample])


def _edit(database: Database, asked: Mapping[str, Any]) -> Done:
    sample, side = _one(asked), str(asked.get("side", ""))
    # Browsers send line ends of forms as CR LF; the models write LF.
    text = str(asked.get("text", "")).replace("\r\n", "\n")
    curation.edit(database, sample, side, text)
    return Done(f"#{sample}: the {side} text was saved as a new answer", [sample])


def _relabel(database: Database, asked: Mapping[str, Any]) -> Done:
    sample = _one(asked)
    with database.read() as session:
        row = get_sample(session, sample)
    if row is None:
        raise NotFoundError(f"sample={sample}: there is no such hard sample any more")
    changed = {
        task: asked[task.value] or None
        for task in GuardTask
        if task.value in asked and (asked[task.value] or None) != row.gold.get(task)
        if row.response is not None or not task.needs_response
    }
    if not changed:
        return Done(f"#{sample}: the gold labels are what they were")
    for task, label in changed.items():
        curation.relabel(database, sample, task, label)
    said = ", ".join(f"{task.heading} {label or 'unknown'}" for task, label in changed.items())
    return Done(f"#{sample}: gold is {said} now", [sample] * len(changed))


def _undo(database: Database, asked: Mapping[str, Any]) -> Done:
    if at := str(asked.get("at", "")):
        return _undo_review(database, at)
    wanted = _wanted(database, asked)
    if isinstance(wanted, SampleFilter):
        raise InputError("undo: names samples or the moment of a review, not a filter")
    actions = [curation.undo(database, one) for one in wanted]
    words = {CHANGES.get(action, action).lower() for action in actions}
    which = f"#{wanted[0]}" if len(set(wanted)) == 1 else f"{len(wanted):,} samples"
    return Done(f"Taken back: {', '.join(sorted(words))} {which}")


def _undo_review(database: Database, at: str) -> Done:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise InputError(f"at={at[:40]}: must be a moment, as 2026-01-31T12:00:00+00:00") from None
    count = curation.take_back(database, moment)
    if not count:
        raise InputError("undo: all of these samples were changed again since, so they stay")
    return Done(f"Taken back: the review of {count:,} {'sample' if count == 1 else 'samples'}")


def _study(database: Database, asked: Mapping[str, Any]) -> Done:
    name = str(asked.get("name", ""))
    curation.to_study(database, _wanted(database, asked), name)
    return Done(f"Study “{name.strip()}” is made as a draft: open it in the Studies tab")


def _freeze(database: Database, asked: Mapping[str, Any]) -> Done:
    with database.read() as session:
        job_id = _meant(session, str(asked.get("query", ""))).job_id
    if job_id is None:
        raise InputError("set: there is none to freeze, no job brought hard samples")
    version = curation.freeze(
        database,
        job_id,
        name=str(asked.get("name", "")),
        note=str(asked.get("note", "")),
        only_accepted=bool(asked.get("only_accepted")),
    )
    pairs = f"{version.rows:,} {'pair' if version.rows == 1 else 'pairs'}"
    return Done(f"Frozen: {version_name(version)}, {pairs}")
