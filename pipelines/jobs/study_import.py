"""The study that a job made, as a draft in the database."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import studies
from db.models import Study
from db.studies import NewItem, NewTrace
from pipelines.schema import GuardUIError
from pipelines.studies.artifact import Item, StudyInfo, read_study

if TYPE_CHECKING:
    from pipelines.jobs.outcome import NewArtifact

logger = logging.getLogger(__name__)

KIND = "study"
LONGEST_NAME = 200

Draft = tuple[StudyInfo, list[Item]]


def read_drafts(made: Iterable[NewArtifact]) -> tuple[list[Draft], list[str]]:
    """(the studies among a job's artifacts, remarks on those that can't be read any more), read
    before any transaction begins: the job has succeeded for all that."""
    found, remarks = [], []
    for artifact in made:
        if artifact.kind == KIND:
            try:
                found.append(read_study(artifact.path))
            except GuardUIError as error:
                logger.exception("no draft can be made of the study %s", artifact.path)
                remarks.append(f"No draft could be made of the study {artifact.name}: {error}")
    return found, remarks


def import_draft(session: Session, draft: Draft, job_id: int) -> Study:
    """The draft of a job's study; the one that is there already where the job is finalised again.
    A name that is taken gets a number."""
    before = session.scalar(select(Study).where(Study.job_id == job_id))
    if before is not None:
        return before
    info, items = draft
    named = info.model_copy(update={"name": _free_name(session, info.name)})
    return make_draft(session, named, items, job_id)


def make_draft(
    session: Session, info: StudyInfo, items: Iterable[Item], job_id: int | None = None
) -> Study:
    """The draft of a study. Raises IntegrityError where its name is taken."""
    return studies.create(
        session,
        info.name,
        [arm.model_dump(mode="json") for arm in info.arms],
        info.design.model_dump(mode="json"),
        _new_items(items),
        job_id,
    )


def _free_name(session: Session, name: str) -> str:
    number, free = 1, name
    while session.scalar(select(Study.id).where(Study.name == free)) is not None:
        number += 1
        ending = f" ({number})"
        free = name[: LONGEST_NAME - len(ending)] + ending
    return free


def _new_items(items: Iterable[Item]) -> Iterator[NewItem]:
    for item in items:
        yield NewItem(
            kind=item.kind,
            prompt=item.prompt,
            response=item.response,
            source=item.source,
            row_id=item.row_id,
            topic=item.topic,
            gold=item.gold,
            traces=[
                NewTrace(one.arm, one.text, one.verdicts, one.right, one.quality)
                for one in item.traces
            ],
            pairs=[(one.first_arm, one.second_arm, one.stratum, one.wanted) for one in item.pairs],
            expected_arm=item.expected_arm,
            feedback=item.feedback,
        )
