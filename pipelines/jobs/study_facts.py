"""What a study is and how far it has come, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Annotator, Rating, Study, StudyItem, StudyPair, StudySlot
from pipelines.schema import NotFoundError
from pipelines.studies.design import StudyDesign
from pipelines.studies.records import StudyFacts


def study_facts(session: Session, study_id: int) -> StudyFacts:
    """What the study is and how far. Raises NotFoundError where there is none."""
    study = session.get(Study, study_id)
    if study is None:
        raise NotFoundError(f"study={study_id}: there is no such study")
    return facts_of(session, study)


def facts_of(session: Session, study: Study) -> StudyFacts:
    """The facts of a row that was read already."""
    kinds = dict(
        session.execute(
            select(StudyItem.kind, func.count())
            .where(StudyItem.study_id == study.id)
            .group_by(StudyItem.kind)
        ).all()
    )
    strata = session.execute(
        select(StudyPair.stratum, func.count(), func.sum(StudyPair.wanted))
        .join(StudyItem, StudyItem.id == StudyPair.item_id)
        .where(StudyPair.study_id == study.id, StudyItem.kind == "main")
        .group_by(StudyPair.stratum)
    ).all()
    return StudyFacts(
        id=study.id,
        name=study.name,
        state=study.state,
        arms=tuple(study.arms),
        design=StudyDesign.model_validate(study.design),
        design_hash=study.design_hash,
        job_id=study.job_id,
        items=kinds.get("main", 0),
        practice=kinds.get("practice", 0),
        attention=kinds.get("attention", 0),
        pairs=sum(count for _, count, _ in strata),
        wanted=sum(int(wanted or 0) for _, _, wanted in strata),
        rated=_done(session, study.id),
        strata={stratum: count for stratum, count, _ in strata},
        created_at=study.created_at,
        opened_at=study.opened_at,
        closed_at=study.closed_at,
        close_reason=study.close_reason,
    )


def _done(session: Session, study_id: int) -> int:
    """Regular places that were rated by people whose ratings count."""
    query = (
        select(func.count())
        .select_from(Rating)
        .join(StudySlot, StudySlot.id == Rating.slot_id)
        .join(StudyPair, StudyPair.id == Rating.pair_id)
        .join(StudyItem, StudyItem.id == StudyPair.item_id)
        .join(Annotator, Annotator.id == Rating.annotator_id)
        .where(
            Rating.study_id == study_id,
            Rating.revision == 1,
            StudySlot.kind != "overflow",
            StudyItem.kind == "main",
            Annotator.state != "withdrawn",
        )
    )
    return session.scalar(query) or 0


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item with the traces of its first pair, as (first arm, second arm). Practice and
    attention items have no arms of the study."""

    item: Mapping[str, Any]
    traces: tuple[str, str]
    arms: tuple[int, int]


def count_items(session: Session, study_id: int) -> int:
    """Items of all kinds."""
    query = select(func.count()).select_from(StudyItem).where(StudyItem.study_id == study_id)
    return session.scalar(query) or 0


def item_at(session: Session, study_id: int, place: int) -> ItemView | None:
    """The item at this place, from 1, in the study's own order."""
    query = select(StudyItem).where(StudyItem.study_id == study_id)
    found = session.scalar(query.order_by(StudyItem.position).offset(place - 1).limit(1))
    if found is None or not found.pairs:
        return None
    pair, texts = found.pairs[0], {trace.arm: trace.text for trace in found.traces}
    names = ("kind", "prompt", "response", "source", "row_id", "topic", "gold")
    item = {name: found.__dict__[name] for name in names}
    return ItemView(
        item | {"stratum": pair.stratum, "wanted": pair.wanted},
        (texts.get(pair.first_arm, ""), texts.get(pair.second_arm, "")),
        (pair.first_arm, pair.second_arm),
    )
