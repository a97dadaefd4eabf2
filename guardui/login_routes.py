"""Coming and going: `/login`, `/logout` and `/join`, plain forms that need no JavaScript.

Guessing is slowed by address and by name; a name that is not there takes as long as one that is.
"""

from __future__ import annotations

import logging
from threading import BoundedSemaphore
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from db.audit import record
from db.session import Database
from guardui.access import RateLimited, Visitor, acting_as, count, visitor_of, wait_for
from guardui.doors import Doors, asked
from guardui.identity import on_space
from guardui.render_login import join_page, login_page, logout_page
from guardui.sessions import cookie_of, set_cookie
from guardui.users import User
from pipelines.schema import InputError

logger = logging.getLogger(__name__)

# (what is counted by, failures, within so many seconds)
GUESSES = (("address", 10, 300), ("name", 30, 900))
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
}
# A hash takes 64 MiB and a tenth of a second of a core.
_hashing = BoundedSemaphore(2)
# (name, address) of who has logged in since the start; the oldest are forgotten.
_known: dict[tuple[str, str], None] = {}
KNOWN = 10_000


def login_routes(database: Database, doors: Doors) -> list[Route]:
    """The routes; where nobody has a login they say so."""

    async def login(request: Request) -> Response:
        if request.method != "POST":
            return _html(_login_page(doors, _local(request.query_params.get("next", "/"))))
        given = await _form(request)
        return await run_in_threadpool(_log_in, database, doors, request, given)

    async def join(request: Request) -> Response:
        given = await _form(request) if request.method == "POST" else {}
        return await run_in_threadpool(_join, database, doors, request, given)

    def logout(request: Request) -> Response:
        visitor = visitor_of(request)
        if request.method != "POST":
            return _html(logout_page(visitor.name)) if visitor.name else _to("/")
        doors.sessions.end(cookie_of(request.headers.get("cookie", "")))
        request.scope.get("session", {}).pop("oauth_info", None)
        if visitor.name and not visitor.at_machine:  # nobody else has a login to end
            with database.write() as session:
                record(session, "login.end", f"user:{visitor.name}")
        answer = _to("/login" if doors.logins else "/")
        answer.headers["Set-Cookie"] = set_cookie("", secure=_secure(request, doors))
        return answer

    acts = (("login", login), ("join", join), ("logout", logout))
    return [Route(f"/{name}", act, methods=["GET", "POST"]) for name, act in acts]


def _log_in(database: Database, doors: Doors, request: Request, given: dict[str, str]) -> Response:
    name, goes_to = given.get("name", "")[:40], _local(given.get("next", "/"))
    client = visitor_of(request).client
    person = (name.casefold(), client)
    guesses = [
        (f"login by {kind}", who, most, seconds)
        for (kind, most, seconds), who in zip(GUESSES, (client, person[0]), strict=True)
    ]
    # Whoever guesses a name elsewhere doesn't lock out its owner where they have logged in before.
    hindering = guesses[:1] if person in _known else guesses
    wait, user = max(wait_for(*one) for one in hindering), None
    if not wait:
        with _hashing:  # those that waited here together are asked again one by one
            wait = max(wait_for(*one) for one in hindering)
            if not wait:
                user = doors.users.check(name, given.get("password", ""))
                if user is None:
                    for one in guesses:
                        _note_failure(*one)
    if wait:
        said = f"Too many wrong passwords. Try again in {_minutes(wait)}."
        return _html(_login_page(doors, goes_to, said, name), 429, {"Retry-After": str(wait)})
    if user is None:
        logger.warning("login: %.40r refused, from %s", name, client)
        return _html(_login_page(doors, goes_to, "This name and password don't fit.", name), 403)
    while len(_known) >= KNOWN:
        _known.pop(next(iter(_known)), None)
    _known[person] = None
    return _welcomed(database, doors, request, user, "login.begin", goes_to)


def _join(database: Database, doors: Doors, request: Request, given: dict[str, str]) -> Response:
    secret = given.get("invite", request.query_params.get("invite", ""))[:100]
    invite = doors.users.invited(secret)
    role = invite.role if invite else None
    if request.method != "POST" or invite is None:
        return _html(join_page(secret, role), 200 if invite else 404)
    name = given.get("name", "").strip()[:41]
    try:
        count("invites", visitor_of(request).client, 20, 300)
        with _hashing:
            user = doors.users.accept(secret, name, given.get("password", ""))
    except RateLimited as error:
        retry = {"Retry-After": str(error.retry_after)}
        return _html(join_page(secret, role, f"Too many tries. {error.advice}", name), 429, retry)
    except InputError as error:
        return _html(join_page(secret, role, str(error), name), 422)
    return _welcomed(database, doors, request, user, "user.join", "/")


def _welcomed(
    database: Database, doors: Doors, request: Request, user: User, act: str, goes_to: str
) -> Response:
    doors.logins = True
    visitor = Visitor(user.role, user.name, visitor_of(request).client)
    with acting_as(visitor), database.write() as session:
        record(session, act, f"user:{user.name}", role=user.role.value)
    answer = _to(goes_to)
    value = doors.sessions.begin(user)
    answer.headers["Set-Cookie"] = set_cookie(value, secure=_secure(request, doors))
    return answer


def _login_page(doors: Doors, goes_to: str, fault: str = "", name: str = "") -> str:
    free = doors.settings.demo or doors.settings.public != "none"
    return login_page(goes_to, fault, name, hub=on_space(), free=free)


def _note_failure(what: str, who: str, most: int, seconds: int) -> None:
    try:
        count(what, who, most, seconds)
    except RateLimited:
        logger.warning("%s: %.40r is slowed down", what, who)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a plain form, the first of each name; nothing of what is no form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        return {}
    raw = (await request.body()).decode("utf-8", "replace")
    try:
        return {name: values[0] for name, values in parse_qs(raw, max_num_fields=20).items()}
    except ValueError:
        return {}


def _local(address: str) -> str:
    """A path of this page; anything else would lead people who trust this login elsewhere."""
    plain = address.isprintable() and address.isascii() and "\\" not in address
    return address if plain and address[:1] == "/" and address[1:2] != "/" else "/"


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 90 else f"{-(-seconds // 60)} minutes"


def _secure(request: Request, doors: Doors) -> bool:
    return asked(request.scope, doors.settings).secure


def _html(text: str, status: int = 200, more: dict[str, str] | None = None) -> HTMLResponse:
    return HTMLResponse(text, status, headers=HEADERS | (more or {}))


def _to(place: str) -> RedirectResponse:
    return RedirectResponse(place, 303, headers={"Cache-Control": "no-store"})
