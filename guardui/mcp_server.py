"""MCP at `/mcp`: one tool, `classify`, on the same service as the REST API (streamable HTTP)."""

from __future__ import annotations

import asyncio
import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

import guardui
from guardui import moderation_answers as answers
from guardui import moderation_models as models
from guardui.access import visitor_in
from guardui.moderation import Moderation
from guardui.moderation_http import (
    HttpError,
    answered,
    body_limit,
    faults,
    http_error,
    read_bytes,
    watched,
)

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

TOOL = "classify"
ABOUT = (
    "Judges a conversation with a reasoning guard model: is the user's request harmful, does the "
    "assistant refuse, is its response harmful. Gives a decision (allowed or blocked), a label "
    "and a probability for each of the three, and the reasoning behind them."
)
GONE = "guardui_gone"


class McpEndpoint:
    """An ASGI endpoint. Each request stands for itself: no sessions, nothing to be cleaned up."""

    def __init__(self, service: Moderation) -> None:
        self.service = service
        self._counted = answered("/mcp", service.metrics, self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._counted(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        raw = await read_bytes(request, body_limit(self.service.settings))
        return _Handed(self, raw)

    @cached_property
    def server(self) -> Server[Any]:
        """The protocol's side, made when the first client comes: the SDK takes a while to load."""
        import mcp_types as types
        from mcp.server.lowlevel import Server

        # It says at each request that it starts and that it ends.
        logging.getLogger("mcp").setLevel(logging.WARNING)
        tool = types.Tool(
            name=TOOL,
            title="Moderate a conversation",
            description=ABOUT,
            input_schema=_input_schema(),
            output_schema=models.GuardAnswer.model_json_schema(mode="serialization"),
            annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
        )

        async def tools(_context: Any, _params: Any) -> types.ListToolsResult:
            return types.ListToolsResult(tools=[tool])

        async def call(context: Any, params: Any) -> types.CallToolResult:
            return await self._called(context.request, params.name, params.arguments or {})

        return Server(
            "guardui",
            version=guardui.__version__,
            title="GuardUI",
            description="Reasoning guard models",
            on_list_tools=tools,
            on_call_tool=call,
        )

    async def _called(self, request: Request, name: str, arguments: dict[str, Any]) -> Any:
        import mcp_types as types

        try:
            if name != TOOL:
                raise HttpError(404, "tool", f"tool={name[:80]}: there is only {TOOL}")
            try:
                body = models.GuardRequest.model_validate(arguments)
            except ValidationError as error:
                param, message = faults(error)
                raise HttpError(400, "invalid_body", message, param) from None
            asked = answers.asked_of_guard(body)
            found = await self.service.decide(visitor_in(request.scope), asked, request.scope[GONE])
        except Exception as error:  # noqa: BLE001 - the API's outer edge; http_error logs it
            told = types.TextContent(type="text", text=str(http_error(error, request)))
            return types.CallToolResult(content=[told], is_error=True)
        answer = answers.guard_answer(found)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=answer.model_dump_json())],
            structured_content=answer.model_dump(mode="json"),
        )


class _Handed(Response):
    """A request handed to the SDK with its body read, watched for the client hanging up."""

    def __init__(self, endpoint: McpEndpoint, raw: bytes) -> None:
        self.endpoint, self.raw = endpoint, raw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        given = iter([{"type": "http.request", "body": self.raw, "more_body": False}])
        manager = StreamableHTTPSessionManager(
            self.endpoint.server, json_response=True, stateless=True
        )
        async with watched(receive) as gone:

            async def body() -> Message:
                if (first := next(given, None)) is not None:
                    return first
                while not gone.is_set():
                    await asyncio.sleep(0.2)
                return {"type": "http.disconnect"}

            async with manager.run():
                await manager.handle_request({**scope, GONE: gone}, body, send)


def _input_schema() -> dict[str, Any]:
    """The guard's request without streaming, which a tool's result has no use for."""
    schema = models.GuardRequest.model_json_schema()
    del schema["properties"]["stream"]
    return schema
