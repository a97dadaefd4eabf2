"""Who may do what: three roles, the visitor of a request, and what each may ask for how often.

The gate finds out who a visitor is, once a request, and everything behind it asks here. What has
no visitor, such as the terminal or a job, is a researcher: it has the home's files anyway.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from db.audit import Actor, acting
from pipelines.confinement import confined
from pipelines.schema import GuardUIError, InputError
from pipelines.settings import Settings, get_settings

if TYPE_CHECKING:
    from limits.strategies import MovingWindowRateLimiter

STATE = "guardui_visitor"
"""Where the gate leaves the visitor: `scope["state"][STATE]`."""


class Role(StrEnum):
    """What a visitor is to GuardUI; the header says it. Each covers those before it."""

    PUBLIC = "public"
    ANNOTATOR = "annotator"
    RESEARCHER = "researcher"

    def covers(self, other: Role) -> bool:
        """Whether this role may do all that the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whose request it is. `client` is their address; `key_id` and `scopes` are an API key's."""

    role: Role
    name: str = ""
    client: str = ""
    entrance: str = "page"
    key_id: int | None = None
    scopes: frozenset[str] = frozenset()
    at_machine: bool = False
    """Whether they are at the machine itself, whose files they can read anyway."""


class AccessError(GuardUIError):
    """The visitor's role may not do this."""

    code = "forbidden"
    advice = "Log in, or ask a researcher of this GuardUI for a login or a key."


class RateLimited(GuardUIError):
    """A visitor asked too often; `retry_after` is in whole seconds."""

    code = "rate_limited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, advice=f"Try again in {retry_after} s.")
        self.retry_after = retry_after


TERMINAL = Visitor(Role.RESEARCHER, "terminal", entrance="terminal", at_machine=True)
_current: ContextVar[Visitor] = ContextVar("visitor", default=TERMINAL)


def current() -> Visitor:
    """The visitor of the listener or route that runs; in a terminal a researcher."""
    return _current.get()


@contextmanager
def acting_as(visitor: Visitor) -> Iterator[None]:
    """What is done inside is this visitor's doing, for `current` and for the audit log; from
    elsewhere only files of the home may be named."""
    token = _current.set(visitor)
    actor = Actor(visitor.name or visitor.role.value, visitor.role, visitor.entrance)
    try:
        with acting(actor), confined(None if visitor.at_machine else get_settings().home):
            yield
    finally:
        _current.reset(token)


def visitor_in(scope: MutableMapping[str, Any]) -> Visitor:
    """The visitor that the gate found for this ASGI scope; the public where none was asked."""
    found = scope.get("state", {}).get(STATE)
    return found if isinstance(found, Visitor) else Visitor(Role.PUBLIC)


def visitor_of(request: Any) -> Visitor:
    """The same of a Starlette request, or of Gradio's, which holds one."""
    from starlette.requests import HTTPConnection

    # Gradio's answers every attribute with a copy as JSON, but for the one it holds.
    held = request if isinstance(request, HTTPConnection) else request.request
    return visitor_in(held.scope)


def require(role: Role) -> None:
    """Raises AccessError where the present visitor's role doesn't cover this one."""
    visitor = current()
    if not visitor.role.covers(role):
        raise AccessError(f"role={visitor.role}: must be {role}")


def public_may_classify(settings: Settings) -> bool:
    """Whether people without a login may moderate."""
    return settings.demo or settings.public == "classify"


def require_moderation(settings: Settings) -> None:
    """Raises AccessError where the present visitor may not ask for a verdict."""
    visitor = current()
    if visitor.key_id is not None:
        if "moderate" not in visitor.scopes:
            raise AccessError("key: has no scope `moderate`")
    elif visitor.role is Role.PUBLIC and not public_may_classify(settings):
        raise AccessError("role=public: must be annotator or researcher, or have an API key")


MINUTELY = {Role.PUBLIC: 20, Role.ANNOTATOR: 60}
"""Moderations that a visitor may ask for within a minute; a researcher may ask for any number."""
KEY_MINUTELY = 600
SECONDS = 60
SWEEP = 500
"""Counts between two looks for what is kept of visitors who are long gone."""
_counts = itertools.count(1)
_counting = Lock()


@cache
def limiter() -> MovingWindowRateLimiter:
    """What counts the requests of this process, in memory."""
    from limits.storage import MemoryStorage
    from limits.strategies import MovingWindowRateLimiter

    return MovingWindowRateLimiter(MemoryStorage())


def count(what: str, who: str, most: int, seconds: int = SECONDS) -> None:
    """Counts one act of somebody's. Raises RateLimited above `most` within `seconds`."""
    from limits import RateLimitItemPerSecond

    limit = RateLimitItemPerSecond(most, seconds)
    with _counting:
        _drop_old()
        counted = limiter().hit(limit, what, who)
    if not counted:
        wait = wait_for(what, who, most, seconds)
        raise RateLimited(f"{what}: at most {most} within {seconds} s from one visitor", wait)


def _drop_old() -> None:
    """The storage empties the lists of those who came long ago, but keeps their keys."""
    from limits.storage import MemoryStorage

    storage = limiter().storage
    assert isinstance(storage, MemoryStorage)
    if next(_counts) % SWEEP == 0:
        for key in [key for key, held in list(storage.events.items()) if not held]:
            storage.events.pop(key, None)


def wait_for(what: str, who: str, most: int, seconds: int = SECONDS) -> int:
    """Seconds until somebody may act again: 0 where they may now."""
    import math
    import time

    from limits import RateLimitItemPerSecond

    limit = RateLimitItemPerSecond(most, seconds)
    if limiter().test(limit, what, who):
        return 0
    return max(1, math.ceil(limiter().get_window_stats(limit, what, who).reset_time - time.time()))


def check_rate(visitor: Visitor) -> None:
    """Counts a moderation of this visitor's. Raises RateLimited where there were too many."""
    if visitor.key_id is not None:
        count("moderations", f"key {visitor.key_id}", KEY_MINUTELY)
    elif visitor.role is not Role.RESEARCHER:
        who = visitor.client if visitor.role is Role.PUBLIC else f"user {visitor.name}"
        count("moderations", who, MINUTELY[visitor.role])


def role_of(settings: Settings) -> Role:
    """The role of a visitor of whom nothing is known, on this machine."""
    return Role.PUBLIC if settings.demo else Role.RESEARCHER


def check_moderator(settings: Settings, ref: str, offered: list[str]) -> None:
    """Raises InputError where others than researchers name a moderator that isn't on offer: a path
    or a Hub id of a visitor's choice would make the server read or fetch it."""
    visitor = current()
    role = role_of(settings) if visitor is TERMINAL else visitor.role
    if role is not Role.RESEARCHER and ref not in offered:
        raise InputError(f"adapter={ref}: not on offer here (there are: {', '.join(offered)})")
