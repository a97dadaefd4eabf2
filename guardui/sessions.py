"""Logins of the page: a signed cookie that names a user, and ends with their password."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from threading import Lock

from guardui.identity import key_of
from guardui.users import User, Users
from pipelines.settings import Settings

COOKIE = "guardui_session"
DAYS = 7
SECONDS = DAYS * 86_400


class Sessions:
    """Makes and reads the cookie. It holds a name, the version of the user's password and role,
    when it was made, and a number of its own; it's signed and holds no secret."""

    def __init__(self, settings: Settings, users: Users) -> None:
        from itsdangerous import URLSafeTimedSerializer

        key = hmac.new(key_of(settings), b"session cookies", hashlib.sha256).digest()
        self._signer = URLSafeTimedSerializer(key, salt="guardui session")
        self._users = users
        self._ended_file = settings.home / "ended-sessions"
        self._ended = _still_counting(self._ended_file)
        self._lock = Lock()

    def begin(self, user: User) -> str:
        """The cookie's value for a user who has just proved who they are."""
        return str(self._signer.dumps([user.name, user.version, secrets.token_hex(8)]))

    def user(self, cookie: str) -> User | None:
        """Whose session this is; None where it's forged, old, ended, or the user's password or
        role is another one now."""
        held = self._read(cookie)
        if held is None or held[2] in self._ended:
            return None
        user = self._users.read().users.get(held[0])
        return user if user and hmac.compare_digest(user.version, held[1]) else None

    def end(self, cookie: str) -> None:
        """A session that was logged out counts no more, in no copy of the cookie."""
        held = self._read(cookie)
        if held is None:
            return
        until = int(time.time()) + SECONDS
        with self._lock:
            self._ended[held[2]] = until
            with self._ended_file.open("a", encoding="ascii") as file:
                file.write(f"{held[2]} {until}\n")

    def _read(self, cookie: str) -> tuple[str, str, str] | None:
        from itsdangerous import BadData

        try:
            name, version, number = self._signer.loads(cookie, max_age=SECONDS)
        except (BadData, ValueError, TypeError):
            return None
        return str(name), str(version), str(number)


def _still_counting(file: Path) -> dict[str, int]:

    if not file.exists():
        return {}
    pairs = [line.split() for line in file.read_text("ascii").splitlines()]
    now = time.time()
    found = {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
    return {number: until for number, until in found.items() if until > now}


def cookie_of(header: str) -> str:
    """The session cookie in a Cookie header; empty where there is none."""
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def set_cookie(value: str, *, secure: bool) -> str:
    """A Set-Cookie header; an empty value ends the cookie."""
    age = SECONDS if value else 0
    return f"{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax" + (
        "; Secure" if secure else ""
    )
