from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import jobs, pair_sets
from db.models import PairSetVersion
from db.session import Database


def made(session: Session, job_id: int | None = None) -> int:
    row = jobs.add_artifact(
        session, job_id=job_id, kind="pair_set", name="p", path="/p", sha256="x", size=1
    )
    return row.id


def register(
    session: Session, name: str | None = "mine", job_id: int | None = None, note: str = ""
) -> PairSetVersion:
    return pair_sets.register_version(
        session,
        name=name,
        artifact_id=made(session, job_id),
        sha256="a" * 64,
        rows=7,
        job_id=job_id,
        note=note,
    )


def test_versions_of_a_name_count_up(database: Database) -> None:
    with database.write() as session:
        assert pair_sets.next_version(session, "mine") == 1
        found = [register(session).version, register(session).version]
        other = register(session, "other")
        assert (found, other.version) == ([1, 2], 1)
        assert pair_sets.next_version(session, "mine") == 3
    with database.read() as session:
        listed = pair_sets.list_pair_sets(session)
        names = [(one.name, [version.version for version in one.versions]) for one in listed]
    assert names == [("other", [1]), ("mine", [1, 2])]


def test_without_a_name_it_is_called_after_its_job(database: Database) -> None:
    with database.write() as session:
        job = jobs.add_job(session, stage="mine", config={})
        first = register(session, None, job.id, note="as mined")
        second = register(session, None, job.id)
        assert (first.pair_set.name, first.pair_set.job_id) == (f"job {job.id}", job.id)
        assert (second.version, first.note, first.rows) == (2, "as mined", 7)


def test_neither_a_name_nor_a_job_is_refused(database: Database) -> None:
    with database.write() as session, pytest.raises(ValueError, match="needs a name"):
        register(session, None)


def test_an_artifact_keeps_its_version(database: Database) -> None:
    with database.write() as session:
        first = register(session)
        again = pair_sets.register_version(
            session, name="else", artifact_id=first.artifact_id, sha256="b", rows=1, job_id=None
        )
        assert again.id == first.id
        assert [one.name for one in pair_sets.list_pair_sets(session)] == ["mine"]


def test_two_of_one_number_are_refused_by_the_database(database: Database) -> None:
    with database.write() as session:
        first, artifact = register(session), made(session)
        found = {"pair_set_id": first.pair_set_id, "sha256": "b", "rows": 1}
        session.add(PairSetVersion(version=1, artifact_id=artifact, **found))
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()


def test_a_version_is_found_by_id_artifact_and_name(database: Database) -> None:
    with database.write() as session:
        first, second = register(session), register(session)
    with database.read() as session:
        by_id = pair_sets.get_version(session, first.id)
        by_artifact = pair_sets.version_of_artifact(session, second.artifact_id)
        assert by_id is not None
        assert by_artifact is not None
        assert (by_id.version, by_id.pair_set.name, by_id.artifact.path) == (1, "mine", "/p")
        assert by_artifact.id == second.id
        named = [pair_sets.find_version(session, "mine", number) for number in (1, 2, 3, None)]
        assert [one and one.id for one in named] == [first.id, second.id, None, second.id]
        assert pair_sets.find_version(session, "none") is None
        assert pair_sets.get_version(session, 10**6) is None
        assert pair_sets.version_of_artifact(session, 10**6) is None


def test_deleting_the_artifact_takes_the_version_with_it(database: Database) -> None:
    with database.write() as session:
        first = register(session)
        session.delete(first.artifact)
    with database.read() as session:
        assert pair_sets.get_version(session, first.id) is None
