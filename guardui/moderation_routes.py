"""The routes that programs call: `/v1/moderations`, `/v1/guard`, LiteLLM's guardrail, MCP, the
OpenAPI document, `/healthz` and `/metrics`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import text
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from db.session import Database
from guardui import moderation_answers as answers
from guardui import moderation_models as models
from guardui.access import acting_as, require_moderation, visitor_of
from guardui.live import Live
from guardui.mcp_server import McpEndpoint
from guardui.moderation import Asked, Decision, Moderation
from guardui.moderation_docs import docs_page
from guardui.moderation_http import HEADERS, answer, answered, read_body, watched
from guardui.moderation_metrics import CONTENT_TYPE
from guardui.moderation_openapi import DOCS, DOCUMENT, document
from guardui.moderation_stream import EventStream
from pipelines.schema import InputError
from pipelines.settings import Settings

LITELLM = "/beta/litellm_basic_guardrail_api"
REMEMBERED, REMEMBERED_SECONDS = 500, 900.0
"""Prompts of LiteLLM's requests are kept in memory, until their answers have been asked about."""
MOST_TURNS = 200


def moderation_routes(database: Database, settings: Settings, live: Live) -> list[BaseRoute]:
    """All of them; the gate in front has found out who each request's visitor is."""
    service = Moderation(database, settings, live)
    litellm = LiteLLM(service)

    async def moderations(request: Request) -> Response:
        body = await read_body(request, models.ModerationRequest, settings)
        asked = answers.asked_of_moderation(body)
        return answer(answers.moderation_answer(await decided(service, request, asked)))

    async def guard(request: Request) -> Response:
        body = await read_body(request, models.GuardRequest, settings)
        asked = answers.asked_of_guard(body)
        if body.stream:
            return EventStream(service, visitor_of(request), asked, _final)
        (decision,) = await decided(service, request, [asked])
        return answer(answers.guard_answer(decision))

    async def offered(request: Request) -> Response:
        def read() -> list[tuple[str, str]]:
            with acting_as(visitor_of(request)):
                require_moderation(settings)
                return service.offered()

        found = await run_in_threadpool(read)
        return answer(
            models.ModelList(data=[models.Model(id=ref, name=name) for name, ref in found])
        )

    async def health(_request: Request) -> Response:
        return await run_in_threadpool(_health, database)

    async def metrics(_request: Request) -> Response:
        return Response(service.metrics.text(), headers=HEADERS | {"Content-Type": CONTENT_TYPE})

    async def openapi(_request: Request) -> Response:
        return JSONResponse(document(), headers=HEADERS)

    async def docs(_request: Request) -> Response:
        return HTMLResponse(docs_page(), headers=HEADERS)

    def route(method: str, path: str, function: Callable[[Request], Awaitable[Any]]) -> Route:
        return Route(path, answered(path, service.metrics, function), methods=[method])

    return [
        route("POST", "/v1/moderations", moderations),
        route("POST", "/v1/guard", guard),
        route("GET", "/v1/models", offered),
        route("POST", LITELLM, litellm.judge),
        route("GET", DOCUMENT, openapi),
        route("GET", DOCS, docs),
        route("GET", "/healthz", health),
        route("GET", "/metrics", metrics),
        Route("/mcp", McpEndpoint(service), methods=["GET", "POST", "DELETE"]),
    ]


async def decided(service: Moderation, request: Request, asked: list[Asked]) -> list[Decision]:
    """Decides for the request's visitor, and stops as soon as they hang up."""
    async with watched(request.receive) as gone:
        return await service.decide_all(visitor_of(request), asked, gone)


def _final(decision: Decision) -> dict[str, Any]:
    return answers.guard_answer(decision).model_dump(mode="json")


def _health(database: Database) -> Response:
    """200 while the database answers, 503 otherwise."""
    try:
        with database.read() as session:
            session.execute(text("SELECT 1"))
    except Exception:  # noqa: BLE001 - whatever it is, the answer is that it's not well
        return JSONResponse({"status": "database unreachable"}, 503, headers=HEADERS)
    return JSONResponse({"status": "ok"}, headers=HEADERS)


class LiteLLM:
    """LiteLLM asks twice: about a request, then about its answer, which comes without the request.

    What the request said is kept until then, in memory and by the id of LiteLLM's call, so that
    the answer is judged as an answer to it.
    """

    def __init__(self, service: Moderation) -> None:
        self.service = service
        self.prompts: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()

    async def judge(self, request: Request) -> Response:
        """Decides on a request's texts or an answer's."""
        body = await read_body(request, models.LiteLLMRequest, self.service.settings)
        how = body.additional_provider_specific_params or models.Params()
        base = Asked("", None, how.adapter or "", how.mode, how.on_failure)
        caller = visitor_of(request)
        call = (f"{caller.key_id}/{caller.name}/{caller.client}", body.litellm_call_id or "")
        if body.input_type == "request":
            turns = answers.user_turns(body, how.turns)
            if len(turns) > MOST_TURNS:
                raise InputError(f"structured_messages: at most {MOST_TURNS} turns are moderated")
            asked = [replace(base, prompt=turn) for turn in turns]
        else:
            prompt = self._remembered(call)
            texts = [one for one in body.texts or [] if one.strip()]
            asked = [replace(base, prompt=prompt, response=one) for one in texts]
        found = await decided(self.service, request, asked)
        # Not before: what was decided on was allowed to be asked and isn't too long.
        if body.input_type == "request" and found and body.litellm_call_id:
            self._remember(call, asked[-1].prompt)
        return answer(answers.litellm_answer(found, answer=body.input_type == "response"))

    def _remember(self, call: tuple[str, str], prompt: str) -> None:
        now = time.monotonic()
        self.prompts[call] = now, prompt
        self.prompts.move_to_end(call)
        while len(self.prompts) > REMEMBERED or self._oldest() < now - REMEMBERED_SECONDS:
            self.prompts.popitem(last=False)

    def _remembered(self, call: tuple[str, str]) -> str:
        # A streamed answer is asked about several times, so it isn't forgotten here.
        since, prompt = self.prompts.get(call, (0.0, ""))
        fresh = prompt and time.monotonic() - since <= REMEMBERED_SECONDS
        return prompt if fresh else answers.UNKNOWN_PROMPT

    def _oldest(self) -> float:
        return next(iter(self.prompts.values()))[0]
