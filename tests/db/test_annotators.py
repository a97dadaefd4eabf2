from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from db import annotators, study_ratings
from db.models import AnnotatorName, Rating, StudySkip, StudySlot
from db.session import Database
from db.study_ratings import Refused
from tests.study_cases import Sitting, add_people, counted, make_study, new_item, worst_gap


@pytest.fixture
def people(database: Database) -> list[Sitting]:
    with database.write() as session:
        study = make_study(session, [new_item(n, wanted=2) for n in range(3)])
        return [Sitting(database, study, person) for person in add_people(session, study, 3)]


def rate(one: Sitting, times: int) -> None:
    for _ in range(times):
        one.submit(one.take().token)


def test_a_person_is_found_by_the_hash(database: Database) -> None:
    with database.write() as session:
        study = make_study(session, 1)
        other = make_study(session, 1, name="other")
        ada = annotators.invite(session, study, "hash a", "Ada <b>")
        annotators.invite(session, other, "hash b")
        assert (ada.state, ada.consented_at) == ("invited", None)
    with database.read() as session:
        found = annotators.find(session, study, "hash a")
        assert found is not None
        assert found.id == ada.id
        assert annotators.find(session, other, "hash a") is None
        both = annotators.find_all_studies(session, ["hash a", "hash b", "hash c"])
        assert [one.study_id for one in both] == [study, other]
        assert annotators.names(session, study) == {ada.id: "Ada <b>"}
        assert annotators.names(session, other) == {}
    with pytest.raises(IntegrityError) as refused, database.write() as session:
        annotators.invite(session, study, "hash a")
    if database.is_sqlite:  # the server's own words are PostgreSQL's
        assert "hash a" not in str(refused.value), "what lets people in is in no log"


def test_consent_and_topics(database: Database, people: list[Sitting]) -> None:
    with database.write() as session:
        guest = annotators.invite(session, people[0].study_id, "guest").id
        first = annotators.consent(session, guest, ["b", "a", "b"])
        agreed = first.consented_at
        assert (first.state, first.excluded_topics) == ("active", ["b", "a"])
        again = annotators.consent(session, guest, [])
        assert (again.consented_at, again.excluded_topics) == (agreed, [])


def test_who_stops_loses_nothing(database: Database, people: list[Sitting]) -> None:
    ada, bob = people[:2]
    rate(ada, 1)
    token = ada.take(lease_seconds=9999).token
    with database.write() as session:
        annotators.stop(session, ada.person, ada.now)
    rate(bob, 3)  # what she had is free at once
    assert bob.next() is None
    assert len(counted(database, ada.study_id)) == 4
    assert ada.submit(token).repeated is False
    with database.write() as session:
        annotators.resume(session, ada.person)
    rate(ada, 1)
    assert ada.next() is None


def test_ratings_of_who_withdrew_do_not_count(database: Database, people: list[Sitting]) -> None:
    ada, bob, cleo = people
    rate(ada, 2)
    rate(bob, 3)
    token = ada.take().token
    with database.write() as session:
        annotators.withdraw(session, ada.person, erase=False)
    assert {one.annotator.id for one in counted(database, ada.study_id)} == {bob.person}
    with database.read() as session:
        assert len(study_ratings.ratings_of(session, ada.study_id)) == 5
        progress = study_ratings.progress(session, ada.study_id)
    assert (progress.done, progress.wanted) == (3, 6)
    for act in (ada.next, lambda: ada.submit(token), lambda: ada.skip(token)):
        with pytest.raises(Refused) as refused:
            act()
        assert refused.value.reason == "withdrawn"
    with pytest.raises(Refused), database.write() as session:
        annotators.consent(session, ada.person, [])
    rate(cleo, 3)  # others fill the places
    assert worst_gap(counted(database, ada.study_id)) == 1
    assert len(counted(database, ada.study_id)) == 6


def test_erasing_leaves_nothing_of_a_person(database: Database, people: list[Sitting]) -> None:
    ada, bob = people[:2]
    lease = ada.take()
    with database.write() as session:
        study_ratings.submit(session, lease.token, ada.person, 4, {}, "a telling note", [])
    ada.skip(ada.take().token)
    ada.take()
    rate(bob, 1)
    with database.write() as session:
        annotators.withdraw(session, ada.person, erase=False)
    with database.write() as session:
        annotators.withdraw(session, ada.person, erase=True)
    with database.read() as session:
        for table in (Rating, StudySkip, StudySlot, AnnotatorName):
            theirs = select(func.count()).where(table.annotator_id == ada.person)
            assert session.scalar(theirs) == 0
        progress = study_ratings.progress(session, ada.study_id)
        assert session.scalar(select(func.count()).select_from(StudySlot)) == 6
        person = annotators.find(session, ada.study_id, "person 0")
    assert person is not None
    assert person.state == "withdrawn"
    assert (progress.done, progress.wanted, progress.held) == (1, 6, 0)
    with pytest.raises(Refused, match="nothing was given out"):
        ada.submit(lease.token)
    if database.is_sqlite:
        file = database.engine.url.database or ""
        for path in (Path(file), Path(f"{file}-wal")):  # with the database still in use
            assert b"a telling note" not in path.read_bytes()


def test_names_go_on_their_own(database: Database, people: list[Sitting]) -> None:
    rate(people[0], 2)
    with database.write() as session:
        other = make_study(session, 1, name="other")
        add_people(session, other, 1)
        assert annotators.forget_names(session, people[0].study_id) == 3
        assert annotators.forget_names(session, people[0].study_id) == 0
    with database.read() as session:
        assert annotators.names(session, people[0].study_id) == {}
        assert len(annotators.names(session, other)) == 1
        assert len(annotators.list_annotators(session, people[0].study_id)) == 3
    assert len(counted(database, people[0].study_id)) == 2
    with database.write() as session:  # whatever else, the table can be emptied by hand
        session.execute(text("DELETE FROM annotator_names"))
    rate(people[0], 1)
