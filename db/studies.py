"""Preference studies as wholes: made as drafts, opened with a frozen design, paused and closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sqlalchemy import Connection, delete, event, inspect, select
from sqlalchemy.orm import Mapper, Session, selectinload

from db.audit import record
from db.models import Study, StudyItem, StudyPair, StudySlot, StudyTrace, now
from db.study_models import ITEM_KINDS

CONTENT = ("design", "arms", "design_hash")


class Frozen(Exception):
    """A change of what a study was opened with."""


@dataclass(frozen=True, slots=True)
class NewTrace:
    """What one arm answered: the whole text, what was read in it, and how good it is."""

    arm: int
    text: str
    verdicts: Mapping[str, Any] = field(default_factory=dict)
    right: bool | None = None
    quality: float | None = None


@dataclass(frozen=True, slots=True)
class NewItem:
    """A conversation with the traces of the arms, and which of them are compared how often.

    `pairs` has (first arm, second arm, stratum, wanted ratings).
    """

    kind: str
    prompt: str
    response: str | None
    source: str
    row_id: str
    topic: str
    gold: Mapping[str, Any]
    traces: Sequence[NewTrace]
    pairs: Sequence[tuple[int, int, str, int]]
    expected_arm: int | None = None
    feedback: str = ""


def create(
    session: Session,
    name: str,
    arms: Sequence[Mapping[str, Any]],
    design: Mapping[str, Any],
    items: Iterable[NewItem],
    job_id: int | None = None,
) -> Study:
    """A draft; an arm has at least a `name`.

    Raises ValueError where names, arms or items don't fit together, and IntegrityError where the
    study's name is taken.
    """
    names = [arm["name"] for arm in arms]
    if not name.strip():
        raise ValueError("name: it is empty")
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"arms={names!r}: must be at least two different names")
    study = Study(name=name, arms=[dict(arm) for arm in arms], design=dict(design), job_id=job_id)
    session.add(study)
    session.flush()
    for position, new in enumerate(items):
        _check(new, position, len(names))
        session.add(_item(study.id, position, new))
    session.flush()
    record(session, "study.create", f"study:{study.id}", arms=len(names))
    return study


def _check(item: NewItem, position: int, arms: int) -> None:
    where = f"item {position}"
    if item.kind not in ITEM_KINDS:
        raise ValueError(f"{where}: kind={item.kind!r}: must be one of {', '.join(ITEM_KINDS)}")
    answered = {trace.arm for trace in item.traces}
    if not answered <= set(range(arms)):
        raise ValueError(
            f"{where}: traces of arms {sorted(answered)}; the arms are 0 to {arms - 1}"
        )
    for first, second, _stratum, wanted in item.pairs:
        if first == second or not {first, second} <= answered:
            raise ValueError(f"{where}: pair {first}, {second}: must be two arms with a trace each")
        if wanted < 1:
            raise ValueError(f"{where}: wanted={wanted}: must be at least 1")


def _item(study_id: int, position: int, new: NewItem) -> StudyItem:
    item = StudyItem(
        study_id=study_id,
        position=position,
        kind=new.kind,
        prompt=new.prompt,
        response=new.response,
        source=new.source,
        row_id=new.row_id,
        topic=new.topic,
        gold=dict(new.gold),
        expected_arm=new.expected_arm,
        feedback=new.feedback,
    )
    item.traces = [
        StudyTrace(
            arm=trace.arm,
            text=trace.text,
            verdicts=dict(trace.verdicts),
            right=trace.right,
            quality=trace.quality,
        )
        for trace in new.traces
    ]
    item.pairs = [
        StudyPair(
            study_id=study_id, first_arm=first, second_arm=second, stratum=stratum, wanted=wanted
        )
        for first, second, stratum, wanted in new.pairs
    ]
    return item


def get_study(session: Session, study_id: int) -> Study | None:
    return session.get(Study, study_id)


def list_studies(session: Session) -> list[Study]:
    """The newest first."""
    return list(session.scalars(select(Study).order_by(Study.id.desc())))


def delete_study(session: Session, study_id: int) -> None:
    """Deletes it with its people and ratings. Raises LookupError where there is none."""
    if session.scalar(delete(Study).where(Study.id == study_id).returning(Study.id)) is None:
        raise LookupError(f"study={study_id}: there is no such study")
    session.expire_all()


def content_of(session: Session, study_id: int) -> dict[str, Any]:
    """Design, arms, items, traces and pairs, without ids: what the design's hash is over."""
    study = session.get(Study, study_id)
    if study is None:
        raise LookupError(f"study={study_id}: there is no such study")
    query = select(StudyItem).where(StudyItem.study_id == study_id).order_by(StudyItem.position)
    loaded = query.options(selectinload(StudyItem.traces), selectinload(StudyItem.pairs))
    items = session.scalars(loaded, execution_options={"populate_existing": True})
    return {"design": study.design, "arms": study.arms, "items": [_told(item) for item in items]}


def _told(item: StudyItem) -> dict[str, Any]:
    traces = [
        {
            "arm": trace.arm,
            "text": trace.text,
            "verdicts": trace.verdicts,
            "right": trace.right,
            "quality": trace.quality,
        }
        for trace in item.traces
    ]
    return {
        "position": item.position,
        "kind": item.kind,
        "prompt": item.prompt,
        "response": item.response,
        "source": item.source,
        "row_id": item.row_id,
        "topic": item.topic,
        "gold": item.gold,
        "expected_arm": item.expected_arm,
        "feedback": item.feedback,
        "traces": traces,
        "pairs": [[one.first_arm, one.second_arm, one.stratum, one.wanted] for one in item.pairs],
    }


def hold(session: Session, study_id: int) -> None:
    """Nobody else changes the study until this transaction ends. Raises LookupError."""
    _locked(session, study_id)


def edit_design(session: Session, study_id: int, design: Mapping[str, Any]) -> None:
    """Raises Frozen unless the study is a draft."""
    study = _locked(session, study_id)
    if study.state != "draft":
        raise Frozen(f"study={study_id}: is {study.state}; its design can't change any more")
    study.design = dict(design)
    session.flush()


def open_study(
    session: Session, study_id: int, design_hash: str, seed: int, criteria_share: float
) -> None:
    """draft -> open: freezes the design and makes the places, `wanted` of each main pair.

    A drawn share of the pairs, 0 to 1, asks for the criteria. Raises ValueError for a study that
    is no draft or has nothing to rate.
    """
    study = _locked(session, study_id)
    _demand(study, "draft")
    main = select(StudyPair).join(StudyItem, StudyItem.id == StudyPair.item_id)
    main = main.where(StudyPair.study_id == study_id, StudyItem.kind == "main")
    pairs = list(session.scalars(main.order_by(StudyPair.id)))
    if not pairs:
        raise ValueError(f"study={study_id}: has no main item with a pair to rate")
    draw = Random(seed)
    asked = set(draw.sample(range(len(pairs)), round(criteria_share * len(pairs))))
    for place, pair in enumerate(pairs):
        start = draw.randrange(2)
        for number in range(pair.wanted):
            session.add(
                StudySlot(
                    study_id=study_id,
                    pair_id=pair.id,
                    number=number,
                    left_first=(start + number) % 2 == 0,
                    with_criteria=place in asked,
                )
            )
    study.state, study.design_hash, study.opened_at = "open", design_hash, now()
    session.flush()


def pause_study(session: Session, study_id: int) -> None:
    """open -> paused: nothing new is given out; what people have before them is still taken."""
    study = _locked(session, study_id)
    _demand(study, "open")
    study.state = "paused"
    session.flush()


def resume_study(session: Session, study_id: int) -> None:
    """paused -> open."""
    study = _locked(session, study_id)
    _demand(study, "paused")
    study.state = "open"
    session.flush()


def close_study(session: Session, study_id: int, reason: str) -> None:
    """Ends it for good; closing it again changes nothing.

    What people have before them is still taken but doesn't count (`db.study_ratings.submit`), so
    a result that was read after the closing stays. Raises ValueError for a draft.
    """
    study = _locked(session, study_id)
    if study.state == "closed":
        return
    _demand(study, "open", "paused")
    study.state, study.closed_at, study.close_reason = "closed", now(), reason[:200]
    session.flush()


def _locked(session: Session, study_id: int) -> Study:
    query = select(Study).where(Study.id == study_id).with_for_update()
    study = session.scalar(query, execution_options={"populate_existing": True})
    if study is None:
        raise LookupError(f"study={study_id}: there is no such study")
    return study


def _demand(study: Study, *states: str) -> None:
    if study.state not in states:
        raise ValueError(f"study={study.id}: is {study.state}; must be {' or '.join(states)}")


@event.listens_for(Study, "before_update")
def _keep_design(_mapper: Mapper[Study], _connection: Connection, study: Study) -> None:
    attributes = inspect(study).attrs
    was = attributes["design_hash"].history
    frozen = was.deleted[0] if was.deleted else (was.unchanged or [None])[0]
    changed = [name for name in CONTENT if attributes[name].history.has_changes()]
    if frozen and changed:
        raise Frozen(f"study={study.id}: {changed[0]} can't change, the study was opened with it")
