"""Who may log in: names, roles and argon2 hashes in a file of the home, and invites that make them.

The file is read again when it changes, so what a terminal changes counts in a page that is served.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardui.access import Role
from pipelines.schema import InputError, NotFoundError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

INVITE_DAYS = 7
SHORTEST, LONGEST = 10, 200
NO_INVITE = "invite: this link was used, has expired, or never was one"
RESERVED = {"local", "terminal", "public", "annotator", "researcher"}
"""What the audit log calls people without a login, and roles."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,39}")


@dataclass(slots=True)
class User:
    """A person who may log in; `hash` is argon2id's, with its own salt and figures."""

    name: str
    role: Role
    hash: str
    made_at: str = ""

    @property
    def version(self) -> str:
        """Changes with the password and the role: a session of an older version has ended."""
        return hashlib.sha256(f"{self.hash}\n{self.role}".encode()).hexdigest()[:16]


@dataclass(slots=True)
class Invite:
    """A link that makes one user; of its secret the file has only the SHA-256."""

    role: Role
    expires_at: str

    @property
    def expired(self) -> bool:
        return datetime.fromisoformat(self.expires_at) < datetime.now(UTC)


@dataclass(slots=True)
class Register:
    """What the file holds: users by name, invites by the hash of their secret."""

    users: dict[str, User] = field(default_factory=dict)
    invites: dict[str, Invite] = field(default_factory=dict)


@cache
def hasher() -> PasswordHasher:
    """Argon2id with the library's figures (RFC 9106, 64 MiB)."""
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    return hasher().hash(secrets.token_urlsafe(16))


class Users:
    """The users file. Every change is written whole, beside it, and put in its place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._register = Register()

    @property
    def has_researcher(self) -> bool:
        """Whether a researcher may log in, or is invited to by a link that still counts."""
        register = self.read()
        roles = {one.role for one in register.users.values()}
        roles |= {one.role for one in register.invites.values() if not one.expired}
        return Role.RESEARCHER in roles

    def read(self) -> Register:
        """The file as it is now. Raises InputError where it isn't one of users."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._seen, self._register = None, Register()
            return self._register
        if self._seen != (stat.st_mtime_ns, stat.st_ino):
            self._register = _parsed(self.path)
            self._seen = (stat.st_mtime_ns, stat.st_ino)
        return self._register

    def check(self, name: str, password: str) -> User | None:
        """The user with this name and password. Takes as long where there is no such name."""
        from argon2.exceptions import InvalidHashError, VerificationError

        register = self.read()
        user = register.users.get(_same(register, name) or name)
        try:
            hasher().verify(user.hash if user else _nobodys_hash(), password[:LONGEST])
        except (VerificationError, InvalidHashError):
            return None
        return user

    def add(self, name: str, role: Role, password: str) -> User:
        """Makes a user, or gives one another password and role, which ends their sessions."""
        user = _made(name, role, password)
        with self._changing() as register:
            other = _same(register, name)
            if other not in (None, name):
                raise InputError(f"name={name}: differs from {other} in nothing but capitals")
            register.users[name] = user
        return user

    def remove(self, name: str) -> None:
        """Raises NotFoundError where there is no such user."""
        with self._changing() as register:
            if register.users.pop(name, None) is None:
                raise NotFoundError(f"user={name}: there is no such user")

    def invite(self, role: Role) -> str:
        """The secret of a link that makes one user of this role within INVITE_DAYS."""
        if role is Role.PUBLIC:
            raise InputError("role=public: must be annotator or researcher")
        secret = secrets.token_urlsafe(24)
        until = datetime.now(UTC) + timedelta(days=INVITE_DAYS)
        with self._changing() as register:
            register.invites[_digest(secret)] = Invite(role, until.isoformat())
        return secret

    def invited(self, secret: str) -> Invite | None:
        """The invite of this secret, while it counts."""
        found = self.read().invites.get(_digest(secret))
        return None if found is None or found.expired else found

    def accept(self, secret: str, name: str, password: str) -> User:
        """Makes the invited user; the link is used up. Raises InputError where it doesn't count,
        or the name is taken: a link must not give away somebody else's login."""
        invite = self.invited(secret)
        if invite is None:
            raise InputError(NO_INVITE)
        user = _made(name, invite.role, password)
        with self._changing() as register:  # of two at once the first has it
            invite = register.invites.pop(_digest(secret), None)
            if invite is None or invite.expired:
                raise InputError(NO_INVITE)
            if _same(register, name) is not None:
                raise InputError(f"name={name}: is taken")
            register.users[name] = user
        return user

    @contextmanager
    def _changing(self) -> Iterator[Register]:
        """The file as it is, for nobody else to change; what is raised inside changes nothing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            register = _parsed(self.path) if self.path.exists() else Register()
            yield register
            _write(self.path, register)


def _made(name: str, role: Role, password: str) -> User:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"name={name}: must be 1 to 40 letters, digits, dots, dashes or @, the first a "
            "letter or digit"
        )
    if name.casefold() in RESERVED:
        raise InputError(f"name={name}: means somebody else here, must be another name")
    if role is Role.PUBLIC:
        raise InputError("role=public: must be annotator or researcher")
    if not SHORTEST <= len(password) <= LONGEST:
        raise InputError(f"password: must have {SHORTEST} to {LONGEST} characters")
    return User(name, role, hasher().hash(password), datetime.now(UTC).isoformat())


def _same(register: Register, name: str) -> str | None:
    """The name of a user that is this one but for capitals."""
    return next((one for one in register.users if one.casefold() == name.casefold()), None)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _parsed(path: Path) -> Register:
    try:
        held: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return Register(
            {
                name: User(name, Role(one["role"]), one["hash"], one.get("made_at", ""))
                for name, one in held.get("users", {}).items()
            },
            {
                digest: Invite(Role(one["role"]), one["expires_at"])
                for digest, one in held.get("invites", {}).items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise InputError(
            f"users={path}: is no file of users ({error})",
            advice="Mend it or put it aside, and make the users again with `guardui users add`.",
        ) from None


def _write(path: Path, register: Register) -> None:
    kept = {key: asdict(one) for key, one in register.invites.items() if not one.expired}
    users = {
        name: {key: value for key, value in asdict(one).items() if key != "name"}
        for name, one in register.users.items()
    }
    draft = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"users": users, "invites": kept}, file, indent=1)
    draft.replace(path)
