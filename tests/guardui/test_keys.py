"""API keys as the terminal and the page handle them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from db import api_keys
from db.session import Database, open_database
from guardui import key_acts
from guardui.access import AccessError, Role, Visitor, acting_as
from guardui.cli import app
from guardui.render_keys import keys_table, made, question
from pipelines.schema import NotFoundError
from pipelines.settings import Settings

NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture
def database(home: Settings) -> Iterator[Database]:
    database = open_database(home.database_url)
    yield database
    database.dispose()


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["keys", *words])


def test_the_terminal_makes_lists_and_revokes(database: Database) -> None:
    added = run("add", "ci", "--scope", "jobs", "--scope", "moderate", "--days", "7", "--json")
    told = json.loads(added.stdout)
    assert told["scopes"] == ["moderate", "jobs"]
    with database.read() as session:
        assert api_keys.find(session, told["key"]) is not None
    listed = run("list", "--json")
    assert told["key"] not in listed.stdout
    assert json.loads(listed.stdout)[0]["state"] == "active"
    assert run("revoke", str(told["id"])).exit_code == 0
    assert run("revoke", str(told["id"])).exit_code == 2
    assert run("add", "x", "--scope", "root").exit_code == 2
    assert run("add", "x", "--days", "0").exit_code == 2
    with database.read() as session:
        assert api_keys.find(session, told["key"]) is None
    assert "revoked" in run("list").stdout


def test_only_researchers_handle_keys(database: Database) -> None:
    with acting_as(Visitor(Role.ANNOTATOR, "bo")):
        for act in (
            lambda: key_acts.add(database, "x", ["moderate"]),
            lambda: key_acts.revoke(database, 1),
            lambda: key_acts.list_all(database),
        ):
            with pytest.raises(AccessError):
                act()
    with pytest.raises(NotFoundError, match="key=1"):
        key_acts.revoke(database, 1)


def test_a_key_is_shown_once_and_everything_is_escaped(database: Database) -> None:
    assert "No keys yet" in keys_table([])
    key, text = key_acts.add(database, NASTY, ["moderate"], 30)
    assert text in made(key, text)
    table = keys_table(key_acts.list_all(database))
    assert text not in table
    assert "data-pick" in table
    for shown in (made(key, text), table, question(key)):
        assert "<img" not in shown
    key_acts.revoke(database, key["id"])
    assert "data-pick" not in keys_table(key_acts.list_all(database))
