"""The gate: the first thing that a request meets. It finds out who comes, asks the rules, and sends
researchers to the full page and everybody else to theirs.

Inside, nobody has to ask who a visitor is again: `access.current()` says it, in a route as in a
listener. The service layer asks it all the same, for a rule may be wrong.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from gradio.route_utils import FnIndexInferError
from starlette.requests import ClientDisconnect

from db import api_keys
from db.api_keys import USED_SECONDS
from db.audit import record
from db.base import now
from db.session import Database
from guardui.access import (
    STATE,
    AccessError,
    RateLimited,
    Role,
    Visitor,
    acting_as,
    count,
    public_may_classify,
    wait_for,
)
from guardui.doors import Asked, Doors, asked
from guardui.gate_headers import Body, security_headers, with_headers
from guardui.gate_rules import ANY_SCOPE, Rule, is_gradios, rule_for
from guardui.moderation_http import error_body

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

MINUTELY = 600
"""Writes within a minute from one address without a login: a room of annotators behind one."""
WRONG_KEYS = 60
"""API keys that don't count, within a minute from one address."""
AT_ONCE = 100
"""Requests that one such address may have open: each page holds one or two for news."""


class Refused(Exception):
    """A request that goes no further: what it is answered."""

    def __init__(self, status: int, code: str, sentence: str, retry_after: int = 0) -> None:
        super().__init__(sentence)
        self.status, self.code, self.retry_after = status, code, retry_after


class Gate:
    """ASGI middleware of the one app that is served. `full` is the researchers' page, where it is
    another than the one behind this gate; it is set once both are made."""

    def __init__(
        self, app: ASGIApp, doors: Doors, database: Database, full: dict[str, ASGIApp]
    ) -> None:
        self.app, self.doors, self.database, self.full = app, doors, database, full
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:  # nothing here talks by WebSocket
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = asked(scope, self.doors.settings)
        sending = with_headers(send, security_headers(request.secure))
        try:
            visitor = await self._admitted(scope, request)
            rule = self._allowed(scope, request, visitor)
            who = self._counted(request, visitor)
        except Refused as refused:
            await self._refuse(scope, request, sending, refused)
            return
        scope.setdefault("state", {})[STATE] = visitor
        app = self.app
        if visitor.role is Role.RESEARCHER and is_gradios(scope["path"]):
            app = self.full.get("app", app)
        body = Body(receive, rule.most(visitor.role))
        self._open[who] += 1
        try:
            with acting_as(visitor):
                await app(scope, body.receive, body.sender(sending))
        except ClientDisconnect:
            if body.fault is None:
                raise
        except (KeyError, FnIndexInferError) as error:
            # Gradio looks a listener up by number or name, on this visitor's page.
            if body.answered or not is_gradios(scope["path"]):
                raise
            body.fault = (
                404,
                "not_found",
                f"listener: there is none such here ({str(error)[:80]})",
            )
        finally:
            if body.fault and not body.answered:
                await self._refuse(scope, request, sending, Refused(*body.fault))
            self._open[who] -= 1
            if self._open[who] <= 0:
                del self._open[who]

    async def _admitted(self, scope: Scope, request: Asked) -> Visitor:
        if not self.doors.host_allowed(request):
            raise Refused(
                421, "host", f"host={request.host[:80]}: this GuardUI answers on localhost only"
            )
        if self.doors.open and request.forwarded:
            raise Refused(
                421,
                "proxy",
                "a proxy sent this, and this GuardUI asks nobody for a login; set GUARDUI_PROXY=1 "
                "and make a login with `guardui users add NAME`",
            )
        if request.bearer.startswith(api_keys.BEGINNING):
            return await asyncio.to_thread(self._by_key, request)
        # Users are read from a file where it has changed, and codes from the database.
        return await asyncio.to_thread(self._by_login, request, scope.get("session"))

    def _by_login(self, request: Asked, held: Mapping[str, Any] | None) -> Visitor:
        visitor = self.doors.visitor(request, held)
        if self.doors.first_seen(visitor, held):
            with acting_as(visitor), self.database.write() as session:
                record(session, "login.begin", f"user:{visitor.name}", by="hub")
        return visitor

    def _by_key(self, request: Asked) -> Visitor:
        wrong = ("wrong keys", request.client, WRONG_KEYS)
        if wait := wait_for(*wrong):
            raise Refused(429, RateLimited.code, "too many wrong keys", wait)
        with self.database.read() as session:
            key = api_keys.find(session, request.bearer)
            if key is None:
                with suppress(RateLimited):
                    count(*wrong)
                raise Refused(401, "key", "key: is not known, has expired, or was revoked")
            found, scopes = (key.id, key.name), frozenset(key.scopes)
            due = key.used_at is None or (now() - key.used_at).total_seconds() > USED_SECONDS
        if due:
            with self.database.write() as session:
                api_keys.touch(session, found[0])
        role = Role.RESEARCHER if "jobs" in scopes else Role.PUBLIC
        name = f"key {found[0]} ({found[1]})"
        return Visitor(role, name, request.client, "api", found[0], scopes)

    def _allowed(self, scope: Scope, request: Asked, visitor: Visitor) -> Rule:
        rule = rule_for(request.method, scope["path"])
        if rule is None or rule.least is None:
            raise Refused(404, "not_found", f"{request.method} {scope['path'][:80]}: not here")
        own = visitor.key_id is None
        # No login is asked for at this machine, so a foreign page would be a researcher; and
        # logging somebody in as somebody else is for no foreign page either.
        closed = self.doors.open or scope["path"] in ("/login", "/join", "/logout")
        if own and closed and request.is_foreign and not request.navigates:
            raise Refused(403, "foreign", "origin: another page's; must be this page's own")
        if not own and rule.scope not in (ANY_SCOPE, *visitor.scopes):
            raise Refused(403, "scope", f"key: has no scope `{rule.scope or 'page'}`")
        if own and not visitor.role.covers(self._least(rule, scope["path"])):
            status = 401 if visitor.role is Role.PUBLIC else 403
            raise Refused(status, AccessError.code, f"role={visitor.role}: must be more; log in")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > rule.most(visitor.role):
            raise Refused(413, "size", f"body: at most {rule.most(visitor.role):,} bytes")
        return rule

    def _least(self, rule: Rule, path: str) -> Role:
        least = rule.least or Role.RESEARCHER
        if rule.moderation and not public_may_classify(self.doors.settings):
            return max(least, Role.ANNOTATOR, key=list(Role).index)
        if is_gradios(path) or path.startswith("/rate/"):
            return max(least, self.doors.outer_role, key=list(Role).index)
        return least

    def _counted(self, request: Asked, visitor: Visitor) -> str:
        """Counts a request of somebody without a login; researchers and keys have other limits."""
        if visitor.role is not Role.PUBLIC or visitor.key_id is not None:
            return visitor.name
        if self._open[visitor.client] >= AT_ONCE:
            raise Refused(429, RateLimited.code, f"at most {AT_ONCE} requests at once", 5)
        if request.method not in ("GET", "HEAD"):
            try:
                count("requests", visitor.client, MINUTELY)
            except RateLimited as limited:
                raise Refused(429, limited.code, str(limited), limited.retry_after) from None
        return visitor.client

    async def _refuse(self, scope: Scope, request: Asked, send: Send, refused: Refused) -> None:
        logger.info("%s %.80r refused (%s)", request.method, scope["path"], refused.code)
        if refused.status == 401 and request.navigates and self.doors.logins:
            place = quote(scope["path"] + _query(scope), safe="")
            headers = [(b"location", f"/login?next={place}".encode()), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 303, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        body = json.dumps(error_body(refused.status, refused.code, str(refused))).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if refused.status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="GuardUI"'))
        if refused.status in (413, 408):
            headers.append((b"connection", b"close"))
        if refused.retry_after:
            headers.append((b"retry-after", str(refused.retry_after).encode()))
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
        sent = b"" if request.method == "HEAD" else body
        await send({"type": "http.response.body", "body": sent})


def _query(scope: Scope) -> str:
    query: bytes = scope.get("query_string", b"")
    return f"?{query.decode('latin-1')}" if query else ""
