from __future__ import annotations

from itertools import pairwise

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from db import annotators, studies, study_ratings, study_slots
from db.models import Base, Study, StudyItem, StudySlot
from db.session import Database
from db.studies import Frozen, NewItem, NewTrace
from pipelines.studies.design import design_hash
from tests.study_cases import ARMS, add_people, make_study, new_item

UNANSWERED = NewItem("main", "p", None, "", "", "", {}, [NewTrace(0, "t")], [(0, 1, "", 1)])
NAMED = [{"name": name} for name in ARMS[:2]]


def draft(database: Database, items: list[NewItem] | None = None) -> int:
    with database.write() as session:
        design = {"question": "Whose?", "target": 0.6}
        made = items or [new_item(number) for number in range(4)]
        return studies.create(session, "a study", NAMED, design, made).id


def test_a_draft_has_what_it_was_given(database: Database) -> None:
    practice = new_item(9, kind="practice", expected_arm=1, topic="self-harm")
    study = draft(database, [new_item(0, wanted=3), practice])
    with database.read() as session:
        found = studies.content_of(session, study)
        assert studies.list_studies(session) == [studies.get_study(session, study)]
    assert found["design"] == {"question": "Whose?", "target": 0.6}
    assert found["arms"] == NAMED
    first, second = found["items"]
    assert (first["prompt"], first["response"]) == ("main prompt 0", "response 0")
    assert first["pairs"] == [[0, 1, "both", 3]]
    assert [trace["text"] for trace in first["traces"]] == ["plain 0", "tuned 0"]
    assert first["traces"][1]["verdicts"] == {"prompt_harmfulness": "harmful"}
    assert (second["kind"], second["topic"], second["response"]) == ("practice", "self-harm", None)
    assert (second["expected_arm"], second["feedback"]) == (1, "because")


@pytest.mark.parametrize(
    ("arms", "item", "said"),
    [
        (["a"], new_item(0), "at least two different names"),
        (["a", "a"], new_item(0), "at least two different names"),
        (["a", "b"], new_item(0, kind="odd"), "kind='odd'"),
        (["a", "b"], new_item(0, arms=3), "the arms are 0 to 1"),
        (["a", "b"], new_item(0, wanted=0), "wanted=0"),
        (["a", "b"], UNANSWERED, "must be two arms with a trace each"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    database: Database, arms: list[str], item: NewItem, said: str
) -> None:
    with pytest.raises(ValueError, match=said), database.write() as session:
        studies.create(session, "x", [{"name": name} for name in arms], {}, [item])
    with database.read() as session:
        assert studies.list_studies(session) == []


def test_a_name_is_taken_once(database: Database) -> None:
    draft(database)
    with pytest.raises(IntegrityError):
        draft(database)
    with pytest.raises(ValueError, match="name: it is empty"), database.write() as session:
        studies.create(session, " ", NAMED, {}, [])


def test_opening_makes_the_places(database: Database) -> None:
    items = [new_item(number, wanted=1 + number % 3) for number in range(10)]
    extras = [new_item(20, kind="practice"), new_item(21, kind="attention")]
    with database.write() as session:
        study = make_study(session, [*items, *extras], criteria_share=0.4)
    with database.read() as session:
        slots = session.scalars(select(StudySlot).order_by(StudySlot.id)).all()
        assert studies.get_study(session, study).opened_at is not None
    places: dict[int, list[StudySlot]] = {}
    for slot in slots:
        places.setdefault(slot.pair_id, []).append(slot)
    assert sorted(map(len, places.values())) == sorted(1 + number % 3 for number in range(10))
    for mine in places.values():
        assert [slot.number for slot in mine] == list(range(len(mine)))
        sides = [slot.left_first for slot in mine]
        assert all(one != two for one, two in pairwise(sides))
        assert len({slot.with_criteria for slot in mine}) == 1
    assert sum(mine[0].with_criteria for mine in places.values()) == 4
    assert {mine[0].left_first for mine in places.values()} == {True, False}


def test_an_open_study_is_frozen(database: Database) -> None:
    study = draft(database)
    with database.write() as session:
        studies.edit_design(session, study, {"question": "Whose is better?"})
        digest = design_hash(studies.content_of(session, study))
        studies.open_study(session, study, digest, 0, 0.0)
    with pytest.raises(Frozen, match="can't change any more"), database.write() as session:
        studies.edit_design(session, study, {"question": "Another"})
    for name, value in (("design", {}), ("arms", []), ("design_hash", None)):
        with pytest.raises(Frozen, match=f"{name} can't change"), database.write() as session:
            setattr(session.get_one(Study, study), name, value)
    with database.write() as session:
        assert design_hash(studies.content_of(session, study)) == digest
        session.get_one(StudyItem, 1).prompt = "another prompt"
    with database.read() as session:  # who changes the table by hand is found out
        assert design_hash(studies.content_of(session, study)) != digest


def test_a_study_goes_its_way(database: Database) -> None:
    study = draft(database)

    def act(what: str) -> str:
        with database.write() as session:
            if what == "open":
                studies.open_study(session, study, "f" * 64, 0, 0.0)
            elif what == "close":
                studies.close_study(session, study, "e-value 23.1")
            else:
                {"pause": studies.pause_study, "resume": studies.resume_study}[what](session, study)
            return session.get_one(Study, study).state

    for what in ("pause", "resume", "close"):
        with pytest.raises(ValueError, match=f"study={study}: is draft; must be"):
            act(what)
    assert [act(what) for what in ("open", "pause", "resume", "pause")][-1] == "paused"
    with pytest.raises(ValueError, match="is paused; must be draft"):
        act("open")
    assert act("close") == "closed"
    with database.write() as session:
        studies.close_study(session, study, "another reason")
        assert session.get_one(Study, study).close_reason == "e-value 23.1"
    with pytest.raises(ValueError, match="is closed"):
        act("resume")


def test_nothing_to_rate_is_not_opened(database: Database) -> None:
    study = draft(database, [new_item(0, kind="practice")])
    with pytest.raises(ValueError, match="no main item"), database.write() as session:
        studies.open_study(session, study, "f" * 64, 0, 0.0)


def test_deleting_leaves_nothing(database: Database) -> None:
    with database.write() as session:
        kept = make_study(session, 1, name="kept")
        study = make_study(session, 2)
        (person,) = add_people(session, study, 1)
        options = {"lease_seconds": 60.0, "attention_every": 0, "practice": False}
        lease = study_slots.next_slot(session, study, person, **options)
        assert lease is not None
        study_ratings.submit(session, lease.token, person, 4, {}, "", [])
        lease = study_slots.next_slot(session, study, person, **options)
        assert lease is not None
        study_ratings.skip(session, lease.token, person, "unclear", "")
    with database.write() as session:
        studies.delete_study(session, study)
    with database.read() as session:
        assert [one.id for one in studies.list_studies(session)] == [kept]
        tables = [table for table in Base.metadata.sorted_tables if "study_id" in table.c]
        assert len(tables) == 6
        for table in tables:
            others = select(func.count()).where(table.c.study_id == study)
            assert session.scalar(others) == 0, table.name
        assert annotators.names(session, study) == {}
    with pytest.raises(LookupError, match="no such study"), database.write() as session:
        studies.delete_study(session, study)
