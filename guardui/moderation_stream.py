"""`POST /v1/guard` with `stream`: what is being done, what is written, and the decision, as it
comes (server-sent events).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from guardui.access import Visitor
from guardui.moderation import Asked, Decision, Gone, Moderation
from guardui.moderation_http import HEADERS, event, http_error, raised, watched
from pipelines.classify import Progress

PING_SECONDS = 10.0
PING = b": still here\n\n"
"""A comment, which clients skip: proxies in between end connections on which nothing moves."""
Step = Progress | Decision | None


async def steps(
    service: Moderation, visitor: Visitor, asked: Asked, gone: threading.Event
) -> AsyncGenerator[Step, None]:
    """The newest progress whenever there is one, None after a long silence, last the decision.

    A reader who is slower than the model misses steps between, never text: that is cumulative.
    """
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    newest: list[Progress] = []

    def put(progress: Progress) -> None:
        newest[:] = [progress]
        news.set()

    def follow(progress: Progress) -> None:
        loop.call_soon_threadsafe(put, progress)

    task = asyncio.create_task(service.decide(visitor, asked, gone, follow))
    task.add_done_callback(lambda _task: news.set())
    try:
        while not task.done() or newest:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await news.wait()
            except TimeoutError:
                yield None
                continue
            news.clear()
            while newest:
                yield newest.pop()
        yield task.result()
    finally:
        gone.set()
        await asyncio.wait([task])


class EventStream(Response):
    """The events of one moderation; what fails before the first is an answer with its status."""

    media_type = "text/event-stream"

    def __init__(
        self,
        service: Moderation,
        visitor: Visitor,
        asked: Asked,
        final: Callable[[Decision], dict[str, Any]],
    ) -> None:
        super().__init__(headers=HEADERS | {"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.service, self.visitor, self.asked, self.final = service, visitor, asked, final
        self.sent = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False
        try:
            async with (
                watched(receive) as gone,
                aclosing(steps(self.service, self.visitor, self.asked, gone)) as found,
            ):
                async for step in found:
                    if not begun:
                        begun = True
                        await self._begin(send)
                    for part in self._events(step):
                        await _send(send, part)
        except Exception as error:  # noqa: BLE001 - the API's outer edge; http_error logs it
            cause = raised(error)
            if isinstance(cause, Gone | OSError) or not isinstance(cause, Exception):
                return
            refusal = http_error(cause)
            if not begun:
                await refusal.answer()(scope, receive, send)
                return
            await _send(send, event("error", refusal.json()))
        await _send(send, b"", more=False)

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

    def _events(self, step: Step) -> Iterator[bytes]:
        match step:
            case None:
                yield PING
            case Progress():
                if step.text:
                    yield from self._text(step.text, step.tokens)
                elif step.activity:
                    told = {"activity": step.activity, "seconds": round(step.seconds, 1)}
                    yield event("activity", told)
            case Decision():
                if self.asked.mode == "reason":
                    yield from self._text(step.verdict.raw, step.verdict.tokens)
                yield event("verdict", self.final(step))

    def _text(self, text: str, tokens: int) -> Iterator[bytes]:
        if len(text) > len(self.sent) and text.startswith(self.sent):
            yield event("text", {"delta": text[len(self.sent) :], "tokens": tokens})
            self.sent = text


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
