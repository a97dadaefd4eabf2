"""Who may log in: the users file, invites, and the sessions that come of a login."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

import guardui.users
from guardui.access import Role
from guardui.sessions import COOKIE, Sessions, cookie_of, set_cookie
from guardui.users import User, Users
from pipelines.schema import InputError, NotFoundError
from pipelines.settings import Settings

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real figures take a tenth of a second each."""
    from argon2 import PasswordHasher

    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("guardui.users.hasher", lambda: quick)


@pytest.fixture
def users(home: Settings) -> Users:
    return Users(home.users_file)


def test_a_password_is_kept_as_an_argon2_hash_that_only_its_owner_reads(users: Users) -> None:
    assert not users.has_researcher
    users.add("ada", Role.RESEARCHER, PASSWORD)
    text = users.path.read_text()
    assert PASSWORD not in text
    assert json.loads(text)["users"]["ada"]["hash"].startswith("$argon2id$")
    assert users.path.stat().st_mode & 0o777 == 0o600
    found = users.check("ada", PASSWORD)
    assert found is not None
    assert found.role is Role.RESEARCHER
    assert users.check("ada", "wrong horse") is None
    assert users.check("nobody", PASSWORD) is None
    users.remove("ada")
    assert users.check("ada", PASSWORD) is None
    with pytest.raises(NotFoundError, match="user=ada"):
        users.remove("ada")


@pytest.mark.parametrize(
    ("name", "role", "password", "said"),
    [
        ("../ada", Role.RESEARCHER, PASSWORD, "name="),
        ("", Role.RESEARCHER, PASSWORD, "name="),
        ("<script>", Role.RESEARCHER, PASSWORD, "name="),
        ("ada", Role.RESEARCHER, "short", "10 to 200 characters"),
        ("ada", Role.PUBLIC, PASSWORD, "role=public"),
    ],
)
def test_what_cannot_be_a_login_is_refused(
    users: Users, name: str, role: Role, password: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        users.add(name, role, password)
    assert not users.path.exists()


def test_an_invite_makes_one_user_once_and_takes_no_name(users: Users) -> None:
    users.add("ada", Role.RESEARCHER, PASSWORD)
    secret = users.invite(Role.ANNOTATOR)
    assert secret not in users.path.read_text()
    with pytest.raises(InputError, match="name=ada: is taken"):
        users.accept(secret, "ada", "another password")
    assert users.check("ada", PASSWORD) is not None
    assert users.accept(secret, "ben", PASSWORD).role is Role.ANNOTATOR
    with pytest.raises(InputError, match="was used"):
        users.accept(secret, "eve", PASSWORD)
    with pytest.raises(InputError, match="was used"):
        users.accept("", "eve", PASSWORD)


def test_an_old_invite_counts_no_more(users: Users) -> None:
    secret = users.invite(Role.RESEARCHER)
    held = json.loads(users.path.read_text())
    for one in held["invites"].values():
        one["expires_at"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    users.path.write_text(json.dumps(held))
    assert users.invited(secret) is None
    assert not users.has_researcher


@pytest.mark.parametrize("wants", ["ben", "eve"])
def test_of_two_who_take_up_an_invite_at_once_one_has_it(
    users: Users, monkeypatch: pytest.MonkeyPatch, wants: str
) -> None:
    """The second comes while the first is at the hash, the slow part."""
    secret = users.invite(Role.ANNOTATOR)
    real, waiting = guardui.users._made, [wants]

    def slow(name: str, role: Role, password: str) -> User:
        if waiting:
            users.accept(secret, waiting.pop(), "the first one's")
        return real(name, role, password)

    monkeypatch.setattr("guardui.users._made", slow)
    with pytest.raises(InputError, match="was used"):
        users.accept(secret, "ben", PASSWORD)
    assert list(users.read().users) == [wants]
    assert users.check(wants, "the first one's") is not None
    assert users.read().invites == {}


def test_of_two_invites_for_one_name_one_makes_the_login(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = users.invite(Role.ANNOTATOR), users.invite(Role.RESEARCHER)
    real, waiting = guardui.users._made, [first]

    def slow(name: str, role: Role, password: str) -> User:
        if waiting:
            users.accept(waiting.pop(), "ben", "the first one's")
        return real(name, role, password)

    monkeypatch.setattr("guardui.users._made", slow)
    with pytest.raises(InputError, match="name=Ben: is taken"):
        users.accept(second, "Ben", PASSWORD)
    assert users.check("ben", "the first one's") is not None
    assert users.invited(second) is not None  # still there, for another name


def test_names_differ_in_more_than_capitals_and_mean_nobody_else(users: Users) -> None:
    users.add("Ada", Role.RESEARCHER, PASSWORD)
    with pytest.raises(InputError, match="differs from Ada in nothing but capitals"):
        users.add("ada", Role.ANNOTATOR, PASSWORD)
    found = users.check("ADA", PASSWORD)
    assert found is not None
    assert found.name == "Ada"
    for name in ("local", "Terminal", "public", "annotator", "RESEARCHER"):
        with pytest.raises(InputError, match="means somebody else here"):
            users.add(name, Role.ANNOTATOR, PASSWORD)


def test_a_broken_file_lets_nobody_in(users: Users) -> None:
    users.path.write_text('{"users": {"ada": {"role": "king"}}}')
    with pytest.raises(InputError, match=r"users\.json: is no file of users"):
        users.read()


def test_a_session_ends_with_its_password_its_role_its_user_and_its_logout(
    home: Settings, users: Users
) -> None:
    sessions = Sessions(home, users)

    def fresh(role: Role = Role.RESEARCHER, password: str = PASSWORD) -> str:
        return sessions.begin(users.add("ada", role, password))

    cookie = fresh()
    found = sessions.user(cookie)
    assert found is not None
    assert found.name == "ada"
    users.add("ada", Role.RESEARCHER, "another password")
    assert sessions.user(cookie) is None
    cookie = fresh()
    users.add("ada", Role.ANNOTATOR, PASSWORD)
    assert sessions.user(cookie) is None
    cookie = fresh()
    users.remove("ada")
    assert sessions.user(cookie) is None
    cookie = fresh()
    sessions.end(cookie)
    assert sessions.user(cookie) is None
    # A restart doesn't bring a session back that was logged out.
    assert Sessions(home, users).user(cookie) is None


def test_a_session_can_neither_be_forged_nor_live_for_ever(
    home: Settings, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(home, users)
    cookie = sessions.begin(users.add("ada", Role.RESEARCHER, PASSWORD))
    assert sessions.user(cookie[:-2] + ("aa" if cookie[-2:] != "aa" else "bb")) is None
    for forged in ("", "x", "W10.a.b", "a" * 5_000):
        assert sessions.user(forged) is None
    monkeypatch.setattr("guardui.sessions.SECONDS", -1)
    assert sessions.user(cookie) is None


def test_the_cookie_is_for_this_page_alone() -> None:
    header = set_cookie("abc", secure=True)
    assert "HttpOnly; SameSite=Lax; Secure" in header
    assert "Secure" not in set_cookie("abc", secure=False)
    assert "Max-Age=0" in set_cookie("", secure=False)
    assert cookie_of(f"other=1; {COOKIE}=abc") == "abc"
    assert cookie_of("\x00;;=") == ""
