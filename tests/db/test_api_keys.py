"""Keys of the API: shown once, kept as a hash, ended by time or by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from db import api_keys
from db.audit import Actor, acting, entries
from db.base import now
from db.session import Database


def made(database: Database, **more: object) -> tuple[int, str]:
    options = {"name": "ci", "scopes": ["moderate"], "made_by": "ada"} | more
    with database.write() as session:
        key, shown = api_keys.add(session, **options)  # type: ignore[arg-type]
        return key.id, shown


def test_a_key_is_found_by_its_text_alone(database: Database) -> None:
    key_id, shown = made(database, scopes=["jobs", "moderate"])
    assert shown.startswith("gu_")
    assert len(shown) == 46
    with database.read() as session:
        found = api_keys.find(session, shown)
        assert found is not None
        assert (found.id, found.scopes, found.prefix) == (key_id, ["moderate", "jobs"], shown[:8])
        for wrong in ("", "gu_", shown[:-1], shown + "x", shown.lower(), found.hash, "gu_\udcff"):
            assert api_keys.find(session, wrong) is None
        stored = session.execute(text("SELECT * FROM api_keys")).one()
        assert shown not in str(stored), "the key itself is kept nowhere"


def test_revoked_and_expired_keys_let_nobody_in(database: Database) -> None:
    revoked, shown = made(database)
    _, short = made(database, expires_at=now() + timedelta(hours=1))
    with database.write() as session:
        assert api_keys.find(session, short) is not None
        session.execute(
            text("UPDATE api_keys SET expires_at = :then WHERE id != :id"),
            {"then": now() - timedelta(seconds=1), "id": revoked},
        )
        assert api_keys.revoke(session, revoked)
        assert not api_keys.revoke(session, revoked), "only once"
        assert not api_keys.revoke(session, 999)
    with database.read() as session:
        assert api_keys.find(session, shown) is None
        assert api_keys.find(session, short) is None
        assert len(api_keys.list_keys(session)) == 2


def test_the_last_use_is_written_once_a_minute(database: Database) -> None:
    key_id, _ = made(database)
    start = now()
    used = []
    for seconds in (0, 30, 61):
        with database.write() as session:
            api_keys.touch(session, key_id, start + timedelta(seconds=seconds))
        with database.read() as session:
            used.append(api_keys.list_keys(session)[0].used_at)
    assert used == [start, start, start + timedelta(seconds=61)]


def test_making_and_revoking_are_in_the_audit_log(database: Database) -> None:
    with acting(Actor("ada", "researcher", "page")):
        key_id, shown = made(database)
        with database.write() as session:
            api_keys.revoke(session, key_id)
    with database.read() as session:
        rows = entries(session, act="key.")
    assert [(row.act, row.actor, row.subject) for row in rows] == [
        ("key.revoke", "ada", f"key:{key_id}"),
        ("key.add", "ada", f"key:{key_id}"),
    ]
    assert shown not in str([row.details for row in rows])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "  "}, "name=''"),
        ({"name": "x" * 101}, "1 to 100"),
        ({"scopes": []}, "scopes=none"),
        ({"scopes": ["root"]}, "scopes=root: must be of moderate, jobs"),
        ({"expires_at": now() - timedelta(days=1)}, "in the future"),
    ],
)
def test_what_cannot_be_a_key(home: object, wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        api_keys.add(None, **({"name": "ci", "scopes": ["jobs"], "made_by": ""} | wrong))  # type: ignore[arg-type]
