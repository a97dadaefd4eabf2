"""An annotator's way through a study over HTTP, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import func, select, update
from starlette.applications import Starlette
from starlette.testclient import TestClient

from db import annotators, study_ratings
from db.models import Annotator, Rating, StudySlot, now
from db.session import Database
from guardui import identity, rate_service
from guardui.rate_routes import rate_routes
from pipelines.settings import Settings
from tests.rating_study import Person, new_item, open_study

Invited = Callable[..., Person]
BAD = "<script>alert(1)</script>"


@pytest.fixture
def client(database: Database, home: Settings) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=rate_routes(database, home))) as client:
        yield client


@pytest.fixture
def person(database: Database, home: Settings, client: TestClient) -> Invited:
    return partial(Person, database, home, client)


def count(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count(Rating.id))) or 0


def stored(database: Database) -> list[Rating]:
    with database.read() as session:
        return list(session.scalars(select(Rating).order_by(Rating.id)))


def test_from_the_invitation_to_the_end(
    database: Database, client: TestClient, person: Invited
) -> None:
    items = [new_item(n, "practice") for n in range(2)] + [new_item(n) for n in range(2)]
    study = open_study(
        database, items, practice=True, criteria_share=1.0, break_every=1, topics=["weapons"]
    )
    ask = person(study, consents=False)
    assert ask("enter")["screen"] == "consent"
    assert ask("next")["screen"] == "consent"
    assert "agreed" in ask("consent", 422, agreed=False)["error"]
    assert "topics" in ask("consent", 422, agreed=True, topics=["beer"])["error"]
    screen = ask("consent", agreed=True)
    for number in (1, 2):
        assert screen["screen"] == "practice"
        assert f"Practice {number}" in screen["html"]
        body = {"token": screen["token"], "overall": 1, "criteria": {}}
        if screen["html"].count('name="coherence-left"'):
            body["criteria"] = {n: [1, 2] for n in ("coherence", "relevance", "specificity")}
        told = ask("submit", **body)
        assert told["screen"] == "feedback"
        assert "It names what is asked." in told["html"]
        screen = ask("next")
    assert screen["screen"] == "ready"
    screen = ask("next", go_on=True)
    assert screen["progress"]["done"] == 0
    for number in (1, 2):
        assert screen["screen"] == "item"
        assert f"Pair {number}" in screen["html"]
        token = screen["token"]
        assert "prompt main" not in screen["html"]
        assert "prompt main" in ask("reveal", token=token)["html"]
        ask("draft", token=token, draft={"overall": 2, "note": "so far"})
        again = ask("state", token=token)
        assert again["draft"]["note"] == "so far"
        assert "prompt main" in again["html"]
        refused = ask("submit", 422, token=token, overall=2, criteria={"coherence": [1, 2]})
        assert "relevance, specificity: must be given" in refused["error"]
        levels = {name: [1, 2] for name in ("coherence", "relevance", "specificity", "support")}
        marks = [{"side": "left", "step": 1, "mark": "key"}]
        told = ask("submit", token=token, overall=2, criteria=levels, note=BAD, marks=marks)
        assert told["saved"] is True
        assert told["message"] == "Saved"
        assert told["screen"] == "after"
        assert "A slightly better" in told["html"]
        assert ask("state", token=token, after=True)["screen"] == "after"
        assert "Second opinion kept" in ask("revise", token=token, overall=5)["message"]
        screen = ask("support", token=token, left=4, right=5)
        if number == 1:
            assert screen["screen"] == "break"
            screen = ask("next", go_on=True)
    # After the last one comes the break or the end; from the break it is the end.
    assert ask("next", go_on=True)["screen"] == "done"
    with database.read() as session:
        rows = study_ratings.ratings_of(session, study)
    main = [row for row in rows if row.item.kind == "main"]
    assert [row.rating.revision for row in main] == [1, 2, 1, 2]
    first = main[0].rating
    assert (first.overall, first.note) == (2, BAD)
    assert first.criteria["support"] == [4, 5]
    assert first.marks == [{"side": "left", "step": 1, "mark": "key"}]
    assert main[1].rating.overall == 5
    assert main[1].rating.note == BAD


def test_a_repeat_changes_nothing(database: Database, person: Invited) -> None:
    study = open_study(database, [new_item(0), new_item(1)], reveal_verdicts=False)
    ask = person(study)
    token = ask("state")["token"]
    first = ask("submit", token=token, overall=1)
    assert first["screen"] == "item"
    repeat = ask("submit", token=token, overall=5)
    assert "Saved before" in repeat["message"]
    assert repeat["token"] == first["token"] != token
    assert [(row.overall, row.revision) for row in stored(database)] == [(1, 1)]


def test_what_comes_late_is_kept(database: Database, person: Invited) -> None:
    study = open_study(database, [new_item(0)])
    slow, quick = person(study), person(study)
    token = slow("state")["token"]
    with database.write() as session:
        session.execute(update(StudySlot).values(lease_until=now() - timedelta(seconds=1)))
    other = quick("state")
    assert other["screen"] == "item"
    assert quick("submit", token=other["token"], overall=2)["saved"]
    # What a page that isn't reloaded still has before it is taken, but doesn't count.
    assert slow("state", token=token)["screen"] == "done"
    assert slow("submit", token=token, overall=4)["saved"]
    assert sorted((row.overall, row.late) for row in stored(database)) == [(2, False), (4, True)]


def test_a_reload_renews_a_lease_that_ended_or_was_lost(
    database: Database, person: Invited
) -> None:
    study = open_study(database, [new_item(0)])
    slow, quick = person(study), person(study)
    over = update(StudySlot).values(lease_until=now() - timedelta(seconds=1))
    token = slow("state")["token"]
    with database.write() as session:
        session.execute(over)
    assert slow("state", token=token)["token"] == token
    assert quick("state")["screen"] == "wait", "it is the other's again"
    with database.write() as session:
        session.execute(over)
    lost = quick("state")["token"]
    with database.write() as session:
        session.execute(over)
    assert slow("state", token=token)["token"] == token
    slow("submit", token=token, overall=1)
    quick("submit", token=lost, overall=5)
    with database.read() as session:
        rows = study_ratings.ratings_of(session, study)
        assert [row.rating.overall for row in rows if study_ratings.counts(row)] == [1]


def test_nobody_is_thanked_while_others_have_the_last_pairs(
    database: Database, person: Invited
) -> None:
    study = open_study(database, [new_item(0), new_item(1, topic="hate")], topics=["hate"])
    bob = person(study, consents=False)
    held = bob("consent", agreed=True, topics=["hate"])["token"]
    ada = person(study)
    ada("submit", token=ada("state")["token"], overall=1)
    assert ada("next", go_on=True)["screen"] == "wait"
    assert bob("skip", token=held, reason="other")["screen"] == "done", "hate is left out for him"
    ada("submit", token=ada("next", go_on=True)["token"], overall=1)
    assert [ada("next", go_on=True)["screen"], person(study)("state")["screen"]] == ["done"] * 2


def test_a_study_open_to_everybody_gives_a_code(database: Database, client: TestClient) -> None:
    closed = open_study(database, [new_item(0)], name="By invitation")
    study = open_study(database, [new_item(0)], name=f"Open {BAD}", enrolment="open")
    entry = client.post("/rate/api/enter", json={}).json()
    assert entry["screen"] == "entry"
    assert entry["progress"] is None
    assert "Open &lt;script&gt;" in entry["html"]
    assert "By invitation" not in entry["html"]
    refused = client.post("/rate/api/join", json={"study": closed, "name": "Ada"})
    assert refused.status_code == 422
    assert client.post("/rate/api/join", json={"study": study, "name": " "}).status_code == 422
    joined = client.post("/rate/api/join", json={"study": study, "name": f" Ada  {BAD}"}).json()
    assert joined["screen"] == "consent"
    assert identity.study_of(joined["code"]) == study
    headers = {"Authorization": f"Bearer {joined['code']}"}
    assert client.post("/rate/api/state", json={}, headers=headers).json()["screen"] == "consent"
    with database.read() as session:
        assert list(annotators.names(session, study).values()) == [f"Ada {BAD}"]
        (row,) = session.scalars(select(Annotator))
        assert joined["code"] not in row.key_hash


def test_stopping_coming_back_and_withdrawing(database: Database, person: Invited) -> None:
    study = open_study(database, [new_item(n) for n in range(3)])
    ask = person(study)
    token = ask("state")["token"]
    assert ask("next", rest=True)["screen"] == "break"
    ask("submit", token=token, overall=1)
    assert ask("stop")["screen"] == "stopped"
    assert ask("next")["screen"] == "stopped"
    assert ask("resume")["screen"] == "item"
    skipped = ask("state")["token"]
    assert "must be one of" in ask("skip", 422, token=skipped, reason="bored")["error"]
    after = ask("skip", token=skipped, reason="distressing", note=BAD)
    assert after["screen"] == "item"
    assert after["token"] != skipped
    gone = ask("withdraw", erase=True)
    assert gone["screen"] == "withdrawn"
    assert "erased from the disk; files that were exported earlier keep them" in gone["message"]
    assert count(database) == 0
    assert ask("submit", 404, token=after["token"], overall=1)["code"] == "unknown"
    assert ask("resume")["screen"] == "withdrawn"


def test_withdrawing_without_erasing_keeps_the_rows(database: Database, person: Invited) -> None:
    study = open_study(database, [new_item(0)])
    ask = person(study)
    ask("submit", token=ask("state")["token"], overall=1)
    assert "stay stored" in ask("withdraw")["message"]
    assert ask("undo", 403)["code"] == "withdrawn"
    assert count(database) == 1


def test_nothing_tells_an_attention_item(database: Database, person: Invited) -> None:
    """Neither the count, nor a break before it and after it, nor its topic."""
    items = [new_item(n) for n in range(4)]
    items += [new_item(n, "attention", topic="") for n in range(4)]
    study = open_study(
        database,
        items,
        attention_every=1,
        break_every=1,
        topics=["weapons"],
        reveal_verdicts=False,
        title="Reasons",
    )
    ask = person(study)
    screen, screens, counts = ask("state"), [], []
    while screen["screen"] != "done":
        screens.append(screen["screen"])
        assert set(screen["progress"]) == {"study", "done", "wanted", "started"}
        counts.append((screen["progress"]["done"], screen["progress"]["wanted"]))
        if screen["screen"] == "break":
            screen = ask("next", go_on=True)
            continue
        assert "weapons" not in screen["html"]
        assert screen["progress"]["study"] == "Reasons"
        assert "Blind" not in str(screen)
        if screen["progress"]["done"]:
            ask("undo")
            assert ask("next")["screen"] == "item", "no break for one who looked back"
        screen = ask("submit", token=screen["token"], overall=3)
    assert screens == ["item", "break", "item"] + ["item", "break", "item"] * 3
    assert {wanted for _, wanted in counts} == {8}
    assert [done for done, _ in counts] == [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7]


def test_a_study_without_a_title_is_a_number_to_those_who_rate(
    database: Database, client: TestClient
) -> None:
    study = open_study(database, [new_item(0)], name="DPO against base", title="", enrolment="open")
    entry = client.post("/rate/api/enter", json={}).json()
    joined = client.post("/rate/api/join", json={"study": study, "name": "Ada"}).json()
    headers = {"Authorization": f"Bearer {joined['code']}"}
    again = client.post("/rate/api/state", json={}, headers=headers).json()
    for said in (entry, joined, again):
        assert "against" not in str(said)
        assert f"Study {study}" in said["html"]


def test_the_daily_cap_and_topics(database: Database, person: Invited) -> None:
    items = [new_item(0), new_item(1, wanted=2, topic="hate"), new_item(2)]
    study = open_study(database, items, daily_cap=1, topics=["hate", "weapons"])
    capped = person(study)
    capped("submit", token=capped("state")["token"], overall=1)
    assert capped("next")["screen"] == "cap"
    picky = person(study, consents=False)
    screen = picky("consent", agreed=True, topics=["weapons"])
    assert "the first 1" in screen["html"]


def test_there_is_nothing_to_edit_before_the_first_rating(
    database: Database, person: Invited
) -> None:
    study = open_study(database, [new_item(0), new_item(1)])
    ask = person(study)
    assert "no answer to edit" in ask("undo", 422)["error"]
    token = ask("state")["token"]
    assert "nothing was rated" in ask("revise", 422, token=token, overall=2)["error"]
    ask("submit", token=token, overall=1)
    waiting = ask("next")["token"]
    edit = ask("undo")
    assert edit["token"] == token
    assert "Your last answer" in edit["html"]
    assert ask("next")["token"] == waiting


def test_a_hub_login_is_one_person_per_account(
    database: Database, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(database, [new_item(0), new_item(1)], enrolment="open")
    caller = rate_service.Caller(account=("7", "ada"), study_id=study)
    with database.write() as session:
        with pytest.raises(rate_service.NotKnown):
            rate_service.find(session, home, caller)
        visit, code = rate_service.join(session, home, caller, {"study": study})
        assert code == ""
        again, _ = rate_service.join(session, home, caller, {"study": study})
        assert again.person.id == visit.person.id
        found = rate_service.find(session, home, caller)
        assert found
        assert found.person.id == visit.person.id
        assert annotators.names(session, study) == {visit.person.id: "ada"}
