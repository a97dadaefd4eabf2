"""`guardui users` and `guardui audit` in this process, and a log of only what was done."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from db.audit import entries, record
from db.session import Database, open_database
from guardui.access import Role, Visitor, acting_as
from guardui.cli import app
from guardui.users import Users
from pipelines.settings import Settings


@pytest.fixture
def opened(home: Settings) -> Iterator[Database]:
    database = open_database(home.database_url)
    yield database
    database.dispose()


def run(*words: str, given: str = "", code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words), input=given)
    assert done.exit_code == code, done.output
    return done.output


def test_logins_are_made_listed_and_taken_away(home: Settings, opened: Database) -> None:
    run("users", "add", "ada", given="correct horse\n")
    assert Users(home.users_file).check("ada", "correct horse") is not None
    assert "10 to 200" in run("users", "add", "ben", given="short\n", code=2)
    link = json.loads(run("users", "invite", "--url", "https://guard.lab.org/", "--json"))["link"]
    secret = link.removeprefix("https://guard.lab.org/join?invite=")
    invite = Users(home.users_file).invited(secret)
    assert invite is not None
    assert invite.role is Role.ANNOTATOR
    listed = json.loads(run("users", "list", "--json"))
    assert [(one["name"], one["role"]) for one in listed["users"]] == [("ada", "researcher")]
    assert [one["role"] for one in listed["invites"]] == ["annotator"]
    run("users", "remove", "ada")
    assert "user=ada" in run("users", "remove", "ada", code=2)
    rows = json.loads(run("audit", "--json"))
    told = [(row["act"], row["subject"], row["actor"]) for row in rows]
    assert told == [
        ("user.remove", "user:ada", "terminal"),
        ("user.invite", "role:annotator", "terminal"),
        ("user.add", "user:ada", "terminal"),
    ]
    assert secret not in json.dumps(rows)


def test_what_is_undone_is_not_in_the_log(opened: Database) -> None:
    def act(*, fails: bool) -> None:
        with acting_as(Visitor(Role.RESEARCHER, "ada")), opened.write() as session:
            record(session, "job.stop", "job:1")
            session.flush()
            if fails:
                raise ValueError("the act failed")

    with pytest.raises(ValueError, match="the act failed"):
        act(fails=True)
    with opened.read() as session:
        assert entries(session) == []
    act(fails=False)
    with opened.read() as session:
        assert [(row.act, row.actor) for row in entries(session)] == [("job.stop", "ada")]
