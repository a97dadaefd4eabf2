"""What an annotator's page never learns, and what the server refuses, says and logs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette
from starlette.testclient import TestClient

from db import studies, study_ratings
from db.models import Annotator, Rating
from db.session import Database
from guardui import study_acts
from guardui.identity import KEY_FILE
from guardui.rate_routes import LONGEST_BODY, rate_routes
from pipelines.schema import GuardUIError
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


def test_which_arm_is_where_is_in_nothing_that_is_sent(database: Database, person: Invited) -> None:
    """Two people see one pair on opposite sides: all that they are sent is alike."""
    study = open_study(database, [new_item(0, wanted=2)], criteria_share=1.0)
    sent: dict[bool, list[str]] = {}
    for _ in range(2):
        ask = person(study)
        screen = ask("state")
        left = screen["html"].index("the first 0") < screen["html"].index("the second 0")
        token = screen["token"]
        levels = {name: [3, 3] for name in ("coherence", "relevance", "specificity")}
        answers = [
            screen,
            ask("reveal", token=token),
            ask("draft", token=token, draft={}),
            ask("submit", token=token, overall=3, criteria=levels),
            ask("undo"),
            ask("support", token=token, left=3, right=3),
        ]
        text = json.dumps(answers).replace(token, "TOKEN")
        assert "secret-arm" not in text
        sent[left] = [text.replace("the first", "the one").replace("the second", "the one")]
    assert sent[True] == sent[False]


def test_verdicts_and_gold_are_not_sent_before_the_rating(
    database: Database, person: Invited
) -> None:
    study = open_study(database, [new_item(0)])
    ask = person(study)
    screen = ask("state")
    before = json.dumps([screen, ask("reveal", token=screen["token"])])
    assert "harmful" not in before.replace("It may be harmful", "")
    assert "compliance" not in before
    after = ask("submit", token=screen["token"], overall=3)["html"]
    assert "compliance" in after
    # The gold label is harmful, which neither trace says.
    assert ">harmful" not in after


def test_others_forged_and_closed_are_refused_and_logged(
    database: Database,
    client: TestClient,
    person: Invited,
    caplog: pytest.LogCaptureFixture,
) -> None:
    study = open_study(database, [new_item(0), new_item(1)])
    ada, bob = person(study), person(study)
    ada.reads = bob.reads = False
    token = ada("state")["token"]
    bob("state")
    caplog.set_level(logging.WARNING)
    for act, more in (("submit", {"overall": 1}), ("reveal", {}), ("draft", {"draft": {}})):
        assert bob(act, 403, token=token, **more)["code"] == "not_yours"
        assert ada(act, 404, token="forged" * 5, **more)["code"] == "unknown"
    assert ada("state", 404, token="forged" * 5)["code"] == "unknown"
    assert bob("state", 403, token=token)["code"] == "not_yours"
    assert count(database) == 0
    with database.write() as session:
        studies.pause_study(session, study)
    assert ada("state", token=token)["screen"] == "paused"
    with database.write() as session:
        studies.close_study(session, study, "enough")
    assert ada("submit", 409, token=token, overall=1)["code"] == "closed"
    assert ada("next")["screen"] == "closed"
    for code in ("", f"{study}-{'x' * 24}", "999-" + "x" * 24, "nonsense"):
        headers = {"Authorization": f"Bearer {code}"}
        reply = client.post("/rate/api/state", json={}, headers=headers)
        assert reply.status_code == 401, code
        assert "invite code" in reply.json()["error"]
    said = caplog.text
    assert said.count("refused") == 13
    assert said.count(f"by person 1 of study {study} refused (unknown)") == 4
    assert said.count(f"by person ? of study {study} refused: the code") == 1
    assert token not in said
    assert "xxxx" not in said
    assert "forged" not in said
    assert count(database) == 0


def test_malformed_requests_are_refused_and_logged(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    def post(**options: Any) -> tuple[int, str]:
        reply = client.post("/rate/api/enter", **options)
        return reply.status_code, reply.json()["error"]

    kind = {"Content-Type": "application/json"}
    assert post(content="{}", headers={"Content-Type": "text/plain"})[0] == 415
    assert post(content="{", headers=kind) == (400, "body: is no JSON")
    assert post(content="[]", headers=kind) == (400, "body: must be a JSON object")
    assert post(content=b"\xff", headers=kind)[0] == 400
    assert post(content="[" * 60_000, headers=kind) == (400, "body: is no JSON")
    assert post(content=json.dumps({"a": "x" * LONGEST_BODY}), headers=kind)[0] == 413
    assert client.post("/rate/api/nothing", json={}).status_code == 404
    assert client.get("/rate/api/enter").status_code == 405
    assert client.post("/rate/api/join", json={"study": "1; drop"}).status_code == 422
    assert caplog.text.count(" refused: ") == 8
    caplog.clear()
    client.post("/rate/api/no%0Aline", json={})
    assert caplog.messages == ["rate: 'no\\nline' refused: there is no such act"]


def test_what_a_sender_calls_a_field_is_not_repeated(
    database: Database, person: Invited, caplog: pytest.LogCaptureFixture
) -> None:
    ask = person(open_study(database, [new_item(0)]))
    token = ask("state")["token"]
    caplog.set_level(logging.WARNING)
    bad = {"mine\nrate: all is well": [1, 2]}
    for act, more in (("submit", {"overall": 1, "criteria": bad}), ("draft", {"draft": bad})):
        said = ask(act, 422 if act == "submit" else 200, token=token, **more)
        assert "all is well" not in str(said)
    assert "all is well" not in caplog.text
    assert "criteria: " in caplog.text


def test_nothing_is_rated_before_it_was_read(database: Database, person: Invited) -> None:
    study = open_study(database, [new_item(0)])
    ask = person(study)
    ask.reads = False
    token = ask("state")["token"]
    ask("draft", token=token, draft={"overall": 2})
    refused = ask("submit", 422, token=token, overall=2)
    assert refused == {"error": "Show the conversation first (R).", "code": "invalid"}
    assert count(database) == 0
    assert ask("state", token=token)["draft"]["overall"] == 2
    ask("reveal", token=token)
    assert ask("submit", token=token, overall=2)["saved"]
    assert ask("submit", token=token, overall=2)["saved"]


def test_what_no_database_holds_is_left_out(
    database: Database, client: TestClient, person: Invited
) -> None:
    """Else it would be tried again for ever."""
    study = open_study(database, [new_item(0), new_item(1)], enrolment="open")
    ask = person(study)
    token = ask("state")["token"]
    ask("draft", token=token, draft={"note": "a\0b"})
    assert ask("submit", token=token, overall=2, note="a\0b\ud800")["saved"]
    ask("skip", token=ask("next", go_on=True)["token"], reason="other", note="\0")
    with database.read() as session:
        assert session.scalars(select(Rating.note)).all() == ["ab?"]
    joined = client.post("/rate/api/join", json={"study": study, "name": "A\0da"})
    assert joined.status_code == 200


def test_who_joins_again_after_a_lost_answer_is_one_person(
    database: Database, client: TestClient
) -> None:
    study = open_study(database, [new_item(0)], enrolment="open")
    asked = {"study": study, "name": "Ada", "nonce": "n" * 22}
    first, again = (client.post("/rate/api/join", json=asked).json() for _ in range(2))
    assert first["code"] == again["code"]
    assert "n" * 22 not in first["code"]
    other = client.post("/rate/api/join", json=asked | {"nonce": "o" * 22}).json()
    assert other["code"] != first["code"]
    with database.read() as session:
        assert session.scalar(select(func.count(Annotator.id))) == 2
    assert client.post("/rate/api/join", json=asked | {"nonce": "short"}).status_code == 422


def test_a_lost_key_is_not_replaced(
    database: Database, home: Settings, person: Invited, caplog: pytest.LogCaptureFixture
) -> None:
    """A new one would end all links without a word."""
    study = open_study(database, [new_item(0)])
    ask = person(study)
    key = home.home / KEY_FILE
    kept = key.read_bytes()
    key.unlink()
    assert str(key) not in str(ask("state", 500))
    assert str(key) in caplog.text
    with pytest.raises(GuardUIError, match=str(key)):
        study_acts.invite(database, home, study, 1)
    assert not key.exists()
    key.write_bytes(kept)
    assert ask("state")["screen"] == "item"


def test_a_study_is_locked_before_it_is_hashed(database: Database) -> None:
    made = open_study(database, [new_item(0)])
    with database.write() as session:
        content = studies.content_of(session, made)
        study = studies.create(session, "draft", content["arms"], content["design"], [new_item(0)])
    asked: list[str] = []

    def note(_a: object, _b: object, statement: str, *_more: object) -> None:
        asked.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    study_acts.open_study(database, study.id)
    event.remove(database.engine, "before_cursor_execute", note)
    first = next(one for one in asked if "FROM studies" in one)
    assert asked[0].startswith("BEGIN IMMEDIATE") if database.is_sqlite else "FOR UPDATE" in first


def test_a_login_that_ended_is_said_to_have(
    database: Database, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_a_space = {"SYSTEM": "spaces", "SPACE_ID": "me/space"}
    of_its_login = {"OAUTH_CLIENT_ID": "id", "OAUTH_CLIENT_SECRET": "secret"}
    for variable, value in (of_a_space | of_its_login).items():
        monkeypatch.setenv(variable, value)
    study = open_study(database, [new_item(0)])
    reply = client.post("/rate/api/state", json={"study": study})
    assert reply.status_code == 401
    assert "Log in with Hugging Face again" in reply.json()["error"]


def test_what_fails_on_the_server_is_never_called_saved(
    database: Database, person: Invited, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(database, [new_item(0)])
    ask = person(study)
    token = ask("state")["token"]
    real = study_ratings.submit

    def full(*_args: object) -> None:
        raise OperationalError("insert", {}, Exception("disk is full"))

    def broken(*_args: object) -> None:
        raise ValueError("a bug")

    for fault, status in ((full, 503), (broken, 500)):
        monkeypatch.setattr(study_ratings, "submit", fault)
        answer = ask("submit", status, token=token, overall=1)
        assert "saved" not in answer
        assert set(answer) == {"error", "code"}
    monkeypatch.setattr(study_ratings, "submit", real)
    assert ask("submit", token=token, overall=1)["saved"]
