from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from db import studies, study_ratings
from db.models import Rating, StudySkip, StudySlot
from db.session import Database
from db.study_ratings import Refused
from tests.study_cases import Sitting, add_people, counted, make_study, new_item


@pytest.fixture
def study(database: Database) -> int:
    with database.write() as session:
        return make_study(session, [new_item(0), new_item(1, wanted=3)])


@pytest.fixture
def people(database: Database, study: int) -> list[Sitting]:
    with database.write() as session:
        return [Sitting(database, study, person) for person in add_people(session, study, 4)]


def slots(database: Database, pair_id: int) -> list[tuple[str, int | None, bool]]:
    with database.read() as session:
        mine = select(StudySlot).where(StudySlot.pair_id == pair_id).order_by(StudySlot.id)
        return [
            (slot.kind, slot.annotator_id, slot.done_at is not None)
            for slot in session.scalars(mine)
        ]


def first_pair(people: list[Sitting]) -> tuple[str, int]:
    """Gives the first person the pair that is wanted once."""
    ada = people[0]
    while (lease := ada.take()).prompt != "main prompt 0":
        ada.submit(lease.token)
    return lease.token, lease.pair_id


def submit(database: Database, one: Sitting, token: str, **given: Any) -> study_ratings.Submitted:
    said = {"overall": 4, "criteria": {}, "note": "", "marks": []} | given
    with database.write() as session:
        return study_ratings.submit(session, token, one.person, **said, now=one.now)


def test_a_rating_is_stored_as_it_was_given(database: Database, people: list[Sitting]) -> None:
    ada = people[0]
    lease = ada.take()
    ada.wait(5)
    ada.reveal(lease.token)
    ada.wait(12.5)
    given = {
        "overall": 0,
        "criteria": {"coherence": [1, 5]},
        "note": "<b>both</b>",
        "marks": [{"side": "left", "step": 2, "mark": "vague"}],
    }
    told = submit(database, ada, lease.token, **given)
    assert (told.repeated, told.late, told.lease.done_at) == (False, False, ada.now)
    with database.read() as session:
        (rated,) = study_ratings.ratings_of(session, ada.study_id)
        last = study_ratings.last_rated(session, ada.study_id, ada.person)
    row = rated.rating
    assert {name: getattr(row, name) for name in given} == given
    assert (row.submission, row.seconds, row.created_at) == (lease.token, 12.5, ada.now)
    assert (rated.first.text[:5], rated.second.text[:5]) == ("plain", "tuned")
    assert rated.slot.left_first == lease.left.startswith("plain")
    assert last == lease.token


def test_a_repeat_changes_nothing(database: Database, people: list[Sitting]) -> None:
    ada = people[0]
    token = ada.take().token
    first = submit(database, ada, token, overall=5)
    again = submit(database, ada, token, overall=1, note="other")
    assert (again.repeated, again.rating_id) == (True, first.rating_id)
    with database.write() as session:
        studies.close_study(session, ada.study_id, "enough")
    assert submit(database, ada, token, overall=1).repeated
    with database.read() as session:
        (rated,) = study_ratings.ratings_of(session, ada.study_id)
    assert (rated.rating.overall, rated.rating.note) == (5, "")


def test_one_rating_holds_in_the_database(database: Database, people: list[Sitting]) -> None:
    ada = people[0]
    ada.submit(ada.take().token)
    with database.read() as session:
        row = session.scalars(select(Rating)).one()
    names = [column.key for column in Rating.__table__.columns if column.key != "id"]
    same = {name: getattr(row, name) for name in names}
    for change in ({"submission": "another"}, {"revision": 2}):
        with pytest.raises(IntegrityError), database.write() as session:
            session.add(Rating(**(same | change)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"overall": 6}, "overall=6"),
        ({"overall": True}, "overall=True"),
        ({"overall": "3"}, "overall='3'"),
        ({"criteria": {"coherence": [0, 3]}}, "coherence="),
        ({"criteria": {"coherence": 3}}, "coherence="),
        ({"note": "x" * 4001}, "note: has 4001"),
        ({"marks": [{"side": "A", "step": 1, "mark": "key"}]}, "mark="),
        ({"marks": [{"side": "left", "step": -1, "mark": "key"}]}, "mark="),
        ({"marks": ["left"]}, "mark="),
        ({"marks": [{}] * 501}, "501 are too many"),
    ],
)
def test_what_is_no_rating_is_refused(
    database: Database, people: list[Sitting], given: dict[str, Any], said: str
) -> None:
    token = people[0].take().token
    with pytest.raises(Refused, match=said) as refused:
        submit(database, people[0], token, **given)
    assert refused.value.reason == "invalid"
    assert counted(database, people[0].study_id) == []


def test_forged_and_foreign_tokens_are_refused(database: Database, people: list[Sitting]) -> None:
    ada, bob = people[:2]
    token = ada.take().token
    for who, sent, reason in ((ada, "forged", "unknown"), (bob, token, "not_yours")):
        with pytest.raises(Refused) as refused:
            submit(database, who, sent)
        assert refused.value.reason == reason
    assert counted(database, ada.study_id) == []


def test_a_late_rating_takes_its_place_while_it_is_free(
    database: Database, people: list[Sitting]
) -> None:
    token, pair = first_pair(people)
    people[0].wait(3600)
    told = submit(database, people[0], token)
    assert (told.repeated, told.late) == (False, True)
    assert slots(database, pair) == [("regular", people[0].person, True)]


def test_a_late_rating_is_kept_beside_anothers(database: Database, people: list[Sitting]) -> None:
    """Also where the other only has the pair, and finishes it later."""
    ada, bob = people[:2]
    token, pair = first_pair(people)
    bob.wait(3600)
    while (lease := bob.take()).pair_id != pair:
        bob.submit(lease.token)
    ada.wait(3600)
    assert submit(database, ada, token).late
    assert not submit(database, bob, lease.token).late
    assert slots(database, pair) == [
        ("overflow", ada.person, True),
        ("regular", bob.person, True),
    ]
    mine = [one for one in counted(database, ada.study_id) if one.pair.id == pair]
    assert [one.annotator.id for one in mine] == [bob.person]
    assert submit(database, ada, token).repeated


def test_a_late_rating_takes_back_what_the_next_one_lost_too(
    database: Database, people: list[Sitting]
) -> None:
    ada, bob = people[:2]
    token, pair = first_pair(people)
    bob.wait(3600)
    while (lease := bob.take()).pair_id != pair:
        bob.submit(lease.token)
    ada.wait(7200)
    assert submit(database, ada, token).late
    assert slots(database, pair) == [
        ("regular", ada.person, True),
        ("overflow", bob.person, False),
    ]
    bob.wait(7200)
    assert submit(database, bob, lease.token).late  # kept, beside hers
    with database.read() as session:
        kept = study_ratings.ratings_of(session, ada.study_id)
        progress = study_ratings.progress(session, ada.study_id)
    assert len([one for one in kept if one.pair.id == pair]) == 2
    assert [one.annotator.id for one in kept if one.pair.id == pair and study_ratings.counts(one)]
    assert (progress.wanted, progress.done) == (4, len(counted(database, ada.study_id)))


def test_what_was_shown_before_the_closing_is_kept_but_not_counted(
    database: Database, people: list[Sitting]
) -> None:
    ada, bob, cleo = people[:3]
    tokens = [one.take().token for one in (ada, bob, cleo)]
    ada.reveal(tokens[0])
    cleo.reveal(tokens[2])
    done = submit(database, cleo, tokens[2], criteria={"coherence": [2, 3]})
    with database.write() as session:
        studies.close_study(session, ada.study_id, "e-value")
    assert submit(database, ada, tokens[0]).late
    with pytest.raises(Refused, match="closed before") as refused:
        submit(database, bob, tokens[1])
    assert refused.value.reason == "closed"
    with database.write() as session:  # what was being finished when it closed
        study_ratings.add_support(session, tokens[2], cleo.person, 4, 2, cleo.now)
        assert study_ratings.revise(session, tokens[2], cleo.person, 1, {}, "", [], cleo.now) == 2
    cleo.wait(3600)
    with pytest.raises(Refused, match="closed"), database.write() as session:
        study_ratings.revise(session, tokens[2], cleo.person, 2, {}, "", [], cleo.now)
    with pytest.raises(Refused, match="closed"):
        bob.skip(tokens[1])
    assert [one.rating.id for one in counted(database, ada.study_id)] == [done.rating_id]
    with database.read() as session:
        assert len(study_ratings.ratings_of(session, ada.study_id)) == 3


def test_a_paused_study_takes_what_is_under_way(database: Database, people: list[Sitting]) -> None:
    token = people[0].take().token
    with database.write() as session:
        studies.pause_study(session, people[0].study_id)
    assert not submit(database, people[0], token).late
    assert len(counted(database, people[0].study_id)) == 1


def test_a_change_of_mind_is_kept_beside(database: Database, people: list[Sitting]) -> None:
    ada = people[0]
    token = ada.take().token

    def revise(overall: int) -> int:
        with database.write() as session:
            return study_ratings.revise(session, token, ada.person, overall, {}, "", [], ada.now)

    with pytest.raises(Refused, match="isn't rated yet"):
        revise(2)
    submit(database, ada, token, overall=5)
    assert [revise(overall) for overall in (5, 2, 2, 1)] == [1, 2, 2, 3]
    with database.read() as session:
        latest = study_ratings.rating_of(session, token, ada.person)
        rated = study_ratings.ratings_of(session, ada.study_id)
    assert latest is not None
    assert (latest.revision, latest.overall) == (3, 1)
    assert [one.rating.overall for one in rated] == [5, 2, 1]
    assert [one.rating.overall for one in counted(database, ada.study_id)] == [5]


def test_support_is_added_once(database: Database, people: list[Sitting]) -> None:
    ada = people[0]
    token = ada.take().token
    submit(database, ada, token, criteria={"coherence": [1, 2]})
    for left in (4, 1):
        with database.write() as session:
            study_ratings.add_support(session, token, ada.person, left, 5, ada.now)
    with pytest.raises(Refused), database.write() as session:
        study_ratings.add_support(session, token, ada.person, 6, 5, ada.now)
    (rated,) = counted(database, ada.study_id)
    assert rated.rating.criteria == {"coherence": [1, 2], "support": [4, 5]}


def test_a_skipped_pair_goes_to_others(database: Database, people: list[Sitting]) -> None:
    ada, bob = people[:2]
    token, pair = first_pair(people)
    ada.skip(token)
    ada.skip(token)
    while (lease := ada.next()) is not None:
        assert lease.pair_id != pair
        ada.submit(lease.token)
    while (lease := bob.take()).pair_id != pair:
        bob.submit(lease.token)
    with database.read() as session:
        assert study_ratings.progress(session, ada.study_id, ada.person).skipped == 1
    # She changes her mind while he has it: both are kept, his counts.
    submit(database, ada, token)
    bob.submit(lease.token)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(StudySkip)) == 0
    assert slots(database, pair) == [
        ("overflow", ada.person, True),
        ("regular", bob.person, True),
    ]
    with pytest.raises(Refused, match="rated already"):
        bob.skip(lease.token)
