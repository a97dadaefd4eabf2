"""What researchers do to a study: open, pause, close, invite, withdraw. For page and terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.orm import Session

from db import annotators, studies
from db.audit import record
from db.session import Database
from guardui.identity import code_hash, need_key, new_code
from pipelines.jobs.study_facts import study_facts
from pipelines.schema import InputError, NotFoundError
from pipelines.settings import Settings
from pipelines.studies.design import StudyDesign, design_hash
from pipelines.studies.records import StudyFacts

logger = logging.getLogger(__name__)

MOST_PEOPLE = 500
LONGEST_NAME = 200


@contextmanager
def _writing(database: Database) -> Iterator[Session]:
    """A transaction whose refusals are told to people."""
    try:
        with database.write() as session:
            yield session
    except LookupError as error:
        raise NotFoundError(str(error.args[0]) if error.args else str(error)) from None
    except (studies.Frozen, ValueError) as error:
        raise InputError(str(error)) from None


def facts(database: Database, study_id: int) -> StudyFacts:
    """A study's facts. Raises NotFoundError."""
    with database.read() as session:
        return study_facts(session, study_id)


def open_study(database: Database, study_id: int) -> str:
    """Freezes a draft and lets people rate it; the hash of what was frozen."""
    with _writing(database) as session:
        studies.hold(session, study_id)  # or it could change between hashing and freezing
        content = studies.content_of(session, study_id)
        digest = design_hash(content)
        design = StudyDesign.model_validate(content["design"])
        studies.open_study(session, study_id, digest, design.seed, design.criteria_share)
        record(session, "study.open", f"study:{study_id}", design=digest)
    logger.info("study %d was opened, its design is %s", study_id, digest)
    return digest


def pause_study(database: Database, study_id: int) -> None:
    """Nobody is given a pair until it goes on."""
    with _writing(database) as session:
        studies.pause_study(session, study_id)
        record(session, "study.pause", f"study:{study_id}")


def resume_study(database: Database, study_id: int) -> None:
    """A paused study goes on."""
    with _writing(database) as session:
        studies.resume_study(session, study_id)
        record(session, "study.resume", f"study:{study_id}")


def close_study(database: Database, study_id: int, reason: str) -> None:
    """Ends a study for good. Raises InputError without a reason."""
    if not reason.strip():
        raise InputError("reason: it is empty; say why the study ends, for its record")
    with _writing(database) as session:
        studies.close_study(session, study_id, reason.strip())
        record(session, "study.close", f"study:{study_id}")


def delete_study(database: Database, study_id: int) -> None:
    """Deletes a draft. Raises InputError for a study that was opened: it may hold ratings."""
    with _writing(database) as session:
        found = study_facts(session, study_id)
        if found.state != "draft":
            raise InputError(f"study={study_id}: is {found.state}; only a draft can be deleted")
        studies.delete_study(session, study_id)
        record(session, "study.delete", f"study:{study_id}")


def invite(
    database: Database, settings: Settings, study_id: int, people: int, names: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """(person's number and name, invite code) for each new person; only hashes are kept.

    As many as there are names, or `people` where that is more. Raises InputError.
    """
    called = [name.strip()[:LONGEST_NAME] for name in names if name.strip()]
    count = max(people, len(called))
    if not 1 <= count <= MOST_PEOPLE:
        raise InputError(f"people={count}: must be from 1 to {MOST_PEOPLE}")
    made = []
    with _writing(database) as session:
        if study_facts(session, study_id).state == "closed":
            raise InputError(f"study={study_id}: is closed; nobody can be invited any more")
        need_key(session, settings)
        before = len(annotators.list_annotators(session, study_id))
        for place in range(count):
            name = called[place] if place < len(called) else None
            code = new_code(study_id)
            annotators.invite(session, study_id, code_hash(settings, study_id, code), name)
            number = before + place + 1
            made.append((f"{number} · {name}" if name else f"{number}", code))
        record(session, "study.invite", f"study:{study_id}", people=count)
    return made


def link(base: str, code: str) -> str:
    """The address that lets a person in. The code stands behind the #, which browsers never send:
    so it is in no log of a server and in no Referer."""
    return f"{base.rstrip('/')}/?tab=rate#rate={code}"


def forget_names(database: Database, study_id: int) -> int:
    """Deletes the names of a study's people, and nothing else; how many."""
    with _writing(database) as session:
        study_facts(session, study_id)
        record(session, "study.forget_names", f"study:{study_id}")
        return annotators.forget_names(session, study_id)


def withdraw(database: Database, study_id: int, annotator_id: int, *, erase: bool) -> None:
    """Takes a person's ratings out of the analysis and, with `erase`, off the disk."""
    with _writing(database) as session:
        known = [one.id for one in annotators.list_annotators(session, study_id)]
        if annotator_id not in known:
            raise NotFoundError(f"person={annotator_id}: study {study_id} has no such person")
        annotators.withdraw(session, annotator_id, erase)
        told = {"person": annotator_id, "erase": erase}
        record(session, "study.withdraw", f"study:{study_id}", **told)
