"""HTTP of the moderation API: bodies in, answers and errors in OpenAI's shape, hang-ups seen."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from guardui.access import AccessError, RateLimited, Role, visitor_of
from guardui.live import BusyError
from guardui.moderation import Gone, Unready
from guardui.moderation_metrics import Metrics
from pipelines.schema import (
    GuardUIError,
    HubError,
    InputError,
    ModelError,
    NotFoundError,
    OutOfMemoryError,
)
from pipelines.serving import ServingClosed
from pipelines.settings import Settings

logger = logging.getLogger(__name__)

Body = TypeVar("Body", bound=BaseModel)
Endpoint = Callable[[Request], Awaitable[Response]]
LEAST_BODY = 1_000_000
BODY_SECONDS = 30.0
"""A body that takes longer to come is not waited for."""
HUNG_UP = 499  # nobody reads it; it is what such requests are counted under
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
NAMES = ("adapter", "model", "additional_provider_specific_params.adapter")
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}


def error_body(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """A refusal as OpenAI's clients read it."""
    kind = TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


class HttpError(Exception):
    """A refusal with its status; `param` is the field at fault."""

    def __init__(
        self, status: int, code: str, message: str, param: str | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.retry_after = status, code, param, retry_after

    def answer(self) -> JSONResponse:
        """The refusal as a response."""
        headers = dict(HEADERS)
        if self.retry_after:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.json(), self.status, headers=headers)

    def json(self) -> dict[str, Any]:
        """The refusal in OpenAI's shape."""
        return error_body(self.status, self.code, str(self), self.param)


def http_error(error: Exception, request: Request | None = None) -> HttpError:
    """Any error as a refusal; what is no error of ours is logged and not told."""
    if isinstance(error, HttpError):
        return error
    if not isinstance(error, GuardUIError):
        logger.error("a moderation failed", exc_info=error)
        return HttpError(500, "failed", "Something went wrong; the server's log has the details.")
    said = f"{error} {error.advice}" if error.advice and error.advice not in str(error) else None
    message = said or str(error)
    param = str(error).partition("=")[0].partition(":")[0]
    param_or_none = param if param.isidentifier() else None
    match error:
        case RateLimited() | BusyError():
            return HttpError(429, error.code, message, retry_after=error.retry_after)
        case AccessError():
            visitor = visitor_of(request) if request else None
            known = visitor and (visitor.key_id is not None or visitor.role is not Role.PUBLIC)
            return HttpError(403 if known else 401, error.code, message)
        case NotFoundError():
            return HttpError(404, error.code, message, param_or_none)
        case ServingClosed():
            return HttpError(503, error.code, message, retry_after=1)
        case OutOfMemoryError() | Unready():
            return HttpError(503, error.code, message, retry_after=30)
        case InputError() | ModelError() | HubError():
            return HttpError(422, error.code, message, param_or_none)
    logger.error("a moderation failed", exc_info=error)
    return HttpError(500, error.code, message)


def body_limit(settings: Settings) -> int:
    """The longest body in bytes: two texts of the longest kind, each character written \\uXXXX."""
    return max(LEAST_BODY, 12 * settings.max_input_chars + 10_000)


async def read_body(request: Request, model: type[Body], settings: Settings) -> Body:
    """The request's body, read up to the limit and checked. Raises HttpError."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HttpError(415, "content_type", "content-type: must be application/json")
    raw = await read_bytes(request, body_limit(settings))
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        param, message = faults(error)
        raise HttpError(400, "invalid_body", message, param) from None


async def read_bytes(request: Request, limit: int) -> bytes:
    """The body, unless it is longer or doesn't come. Raises HttpError 413 or 408."""
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                raw += part
                if len(raw) > limit:
                    # The rest isn't read: the server ends the connection instead.
                    raise HttpError(413, "too_large", f"body: must have at most {limit:,} bytes")
    except TimeoutError:
        said = f"body: it did not come within {BODY_SECONDS:.0f} s"
        raise HttpError(408, "too_slow", said) from None
    return bytes(raw)


def faults(error: ValidationError) -> tuple[str | None, str]:
    """(the first field at fault, a sentence) of a body that isn't as its model says."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    first = found[0]
    if first["type"] == "json_invalid":
        return None, f"body: is no JSON ({first['msg'].partition(': ')[2]})"
    if not first["loc"]:
        return None, "body: must be a JSON object"
    if first["loc"][0] == "input" and len(first["loc"]) > 1:
        return "input", (
            "input: must be a text, a list of 1 to 32 texts, a list of {type: text, text} parts, "
            "or a list of chat messages {role, content}; no text may be empty"
        )
    name = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if first["type"] == "missing":
        return name, f"{name}: is missing{more}"
    if first["type"] == "extra_forbidden":
        return name[:80], f"{name[:80]}: there is no such field{more}"
    if first["type"] == "string_pattern_mismatch":
        wrong = "has characters that no name has" if name in NAMES else "must not be blank"
        return name, f"{name}: {wrong}{more}"
    return name, f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}{more}"


@asynccontextmanager
async def watched(receive: Receive) -> AsyncIterator[threading.Event]:
    """An event that is set as soon as the client hangs up; the body must have been read."""
    gone = threading.Event()

    async def watch() -> None:
        while not gone.is_set():
            if (await receive())["type"] == "http.disconnect":
                gone.set()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        try:
            yield gone
        finally:
            group.cancel_scope.cancel()


def raised(error: BaseException) -> BaseException:
    """The one error in a task group's wrapping."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class answered:
    """An ASGI endpoint of a coroutine: its errors are answered, and all of it is counted."""

    def __init__(self, path: str, metrics: Metrics, function: Endpoint) -> None:
        self.path, self.metrics, self.function = path, metrics, function

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, status, begun = time.perf_counter(), HUNG_UP, False

        async def noting(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
            await send(message)

        request = Request(scope, receive, noting)
        try:
            response = await self._response(request)
            if response is not None:
                await response(scope, receive, noting)
        except (ClientDisconnect, OSError):
            status = HUNG_UP
        finally:
            self.metrics.answered(self.path, status, time.perf_counter() - start)

    async def _response(self, request: Request) -> Response | None:
        """The endpoint's, or its error's; None where nobody is there to read it."""
        try:
            return await self.function(request)
        except Exception as error:
            cause = raised(error)
            if isinstance(cause, Gone | ClientDisconnect):
                return None
            if not isinstance(cause, Exception):
                raise
            return http_error(cause, request).answer()


def answer(body: BaseModel, headers: dict[str, str] | None = None) -> Response:
    """A model as JSON."""
    return Response(
        body.model_dump_json(), media_type="application/json", headers=HEADERS | (headers or {})
    )


def event(name: str, data: Mapping[str, Any]) -> bytes:
    """One server-sent event; JSON has no line breaks of its own."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
