"""The Rate tab's way to the server: `POST /rate/api/ACT`, JSON in and out.

A person is known by `Authorization: Bearer CODE`, on a Space also by their Hub login. Its cookie
counts only in what a browser says that this page itself sent: alone it does nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from db.session import Database
from db.study_slots import Refused
from guardui import rate_service as service
from guardui.identity import hub_account, need_key, on_space, study_of
from guardui.rate_acts import ACTS, ONWARD
from guardui.rate_service import Caller, NotKnown, Screen, Visit
from guardui.render_rate_entry import consent
from pipelines.jobs.backup import Saved
from pipelines.schema import GuardUIError, InputError
from pipelines.settings import Settings
from pipelines.studies.design import title

logger = logging.getLogger(__name__)

Turn = AbstractContextManager[object]
LONGEST_BODY = 64_000
STATUS = {"unknown": 404, "not_yours": 403, "withdrawn": 403, "cap": 429, "invalid": 422}
NO_CODE = "Your invite code is needed. Open your personal link again."
LOG_IN = "Your login has ended. Log in with Hugging Face again; what you rated is kept."
KEPT = {*ACTS, "join"} - {"enter", "state", "reveal", "draft", "next", "undo"}
KEPT_SECONDS = 15.0
NOT_KEPT = "Your answer couldn't be put into the backup yet; the page tries again by itself."
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def rate_routes(database: Database, settings: Settings, saved: Saved | None = None) -> list[Route]:
    """The one route of the annotators' acts. With `saved`, what they did is confirmed once that is
    done: where the home's disk doesn't last, once it is in the backup."""
    # SQLite has one writer. Who waits here is woken at once; its own waiting sleeps in between.
    turn: Turn = Lock() if database.is_sqlite else nullcontext()

    async def answer(request: Request) -> JSONResponse:
        act = request.path_params["act"]
        body = await _body(request)
        if isinstance(body, _Faulty):
            logger.warning("rate: %.40r refused: %s", act, body.sentence)
            return _error(body.status, body.code, body.sentence)
        caller = _caller(request, body)
        done = await run_in_threadpool(_answered, database, settings, turn, act, caller, body)
        if saved is not None and act in KEPT and done.status_code == 200:
            return await _once_kept(saved, act) or done
        return done

    return [Route("/rate/api/{act}", answer, methods=["POST"])]


async def _once_kept(saved: Saved, act: str) -> JSONResponse | None:
    """None once all that was done is kept, else the answer with which the page tries again."""
    try:
        async with asyncio.timeout(KEPT_SECONDS):
            await asyncio.wrap_future(saved(act == "withdraw"))
    except (GuardUIError, OSError, TimeoutError) as error:
        logger.warning("rate: %s isn't in the backup yet: %s", act, error or "it takes too long")
        return _error(503, "backup", NOT_KEPT)
    return None


class _Faulty(NamedTuple):
    """Why a body isn't looked at."""

    status: int
    code: str
    sentence: str


@dataclass(slots=True)
class _Who:
    """Whose request it is, as the log says it; by number, never by code."""

    study: int | None = None
    person: int | None = None

    def __str__(self) -> str:
        return f"person {self.person or '?'} of study {self.study or '?'}"


async def _body(request: Request) -> dict[str, Any] | _Faulty:
    """The JSON object of a request, or why it is refused."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _Faulty(415, "type", "content-type: must be application/json")
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > LONGEST_BODY:
            return _Faulty(413, "size", f"body: must have at most {LONGEST_BODY:,} bytes")
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError):  # the latter of lists in lists in lists
        return _Faulty(400, "json", "body: is no JSON")
    if not isinstance(body, dict):
        return _Faulty(400, "json", "body: must be a JSON object")
    return body


def _caller(request: Request, body: Mapping[str, Any]) -> Caller:
    scheme, _, code = request.headers.get("authorization", "").partition(" ")
    study = body.get("study")
    own = request.headers.get("sec-fetch-site") == "same-origin"
    return Caller(
        code.strip() if scheme.lower() == "bearer" else "",
        hub_account(request.scope.get("session")) if own and on_space() else None,
        study if isinstance(study, int) and 0 < study < 10**9 else None,
    )


def _answered(
    database: Database,
    settings: Settings,
    turn: Turn,
    act: str,
    caller: Caller,
    body: Mapping[str, Any],
) -> JSONResponse:
    """Does an act and answers with the next screen; what is refused is said and logged.

    No code and no token is ever logged. What went wrong on the server is 5xx: the page keeps what
    it has and tries again with the same token.
    """
    if act != "join" and act not in ACTS:
        logger.warning("rate: %.40r refused: there is no such act", act)
        return _error(404, "act", "act: there is no such act")
    who = _Who(study_of(caller.code) or caller.study_id)
    try:
        with turn:
            screen, progress = _act(database, settings, act, caller, body, who)
        return JSONResponse(_json(screen, progress), headers=HEADERS)
    except NotKnown as error:
        logger.warning("rate: %s by %s refused: the code or login is not known", act, who)
        return _error(401, "who", str(error))
    except Refused as refused:
        logger.warning("rate: %s by %s refused (%s)", act, who, refused.reason)
        said = str(refused)
        return _error(
            STATUS.get(refused.reason, 409), refused.reason, f"{said[:1].upper()}{said[1:]}."
        )
    except InputError as error:
        logger.warning("rate: %s by %s refused: %.200s", act, who, error)
        return _error(422, "invalid", str(error))
    except OperationalError:
        logger.exception("rate: %s by %s failed, the page tries again", act, who)
        return _error(503, "busy", "The database is busy.")
    except Exception:
        logger.exception("rate: %s by %s failed", act, who)
        return _error(500, "failed", "Something went wrong on the server.")


def _act(
    database: Database,
    settings: Settings,
    act: str,
    caller: Caller,
    body: Mapping[str, Any],
    who: _Who,
) -> tuple[Screen, dict[str, Any] | None]:
    with database.write() as session:
        need_key(session, settings)
        if act == "join":
            visit, code = service.join(session, settings, caller, body)
            screen = _welcomed(visit, code)
        else:
            found = service.find(session, settings, caller)
            if found is None:
                if act != "enter":
                    raise NotKnown(LOG_IN if on_space() and caller.study_id else NO_CODE)
                return service.welcome(session, caller), None
            who.person = found.person.id
            visit, screen = found, ACTS[act](found, body)
        return screen, service.progress(visit) if screen.name else None


def _welcomed(visit: Visit, code: str) -> Screen:
    """The first screen of somebody who has just joined, with the link to come back by."""
    first = service.present(visit, ONWARD)
    if first.name != "consent" or not code:
        return first
    name, design = title(visit.study.id, visit.design.title), visit.design
    return Screen("consent", lambda: consent(name, design, link=True), more={"code": code})


def _json(screen: Screen, progress: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "screen": screen.name,
        "html": screen.draw(),
        "token": screen.token,
        "progress": progress,
        "saved": screen.saved,
        "message": screen.message,
        **screen.more,
    }


def _error(status: int, code: str, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence, "code": code}, status, headers=HEADERS)
