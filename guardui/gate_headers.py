"""What every answer says to the browser, and how a body is taken in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from guardui.identity import on_space

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

BODY_SECONDS = 30.0
"""Longest wait for the next piece of a body."""


def security_headers(secure: bool) -> dict[bytes, bytes]:
    """Headers of an answer; a route's own of the same name win.

    Gradio's page has inline scripts and makes functions of text, so scripts can't be told apart
    here; what is kept is that nothing comes from or goes to another machine.
    """
    frames = "'self' https://huggingface.co https://*.huggingface.co" if on_space() else "'self'"
    policy = {
        "default-src": "'self'",
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "font-src": "'self' data:",
        # Gradio asks the Hub about the Space that it runs on.
        "connect-src": "'self' https://huggingface.co" if on_space() else "'self'",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self' https://huggingface.co" if on_space() else "'self'",
        "frame-ancestors": frames,
    }
    headers = {
        b"content-security-policy": "; ".join(f"{k} {v}" for k, v in policy.items()).encode(),
        b"x-content-type-options": b"nosniff",
        b"referrer-policy": b"same-origin",
        b"cross-origin-opener-policy": b"same-origin-allow-popups",
        b"permissions-policy": b"camera=(), microphone=(), geolocation=(), payment=()",
    }
    if not on_space():
        headers[b"x-frame-options"] = b"SAMEORIGIN"
    if secure:
        headers[b"strict-transport-security"] = b"max-age=31536000"
    return headers


def with_headers(send: Send, wanted: dict[bytes, bytes]) -> Send:
    """The same `send`, which adds the headers that an answer hasn't got."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            held = list(message.get("headers", []))
            have = {name.lower() for name, _ in held}
            message["headers"] = held + [pair for pair in wanted.items() if pair[0] not in have]
        await send(message)

    return sending


class Body:
    """A request's body, piece by piece, cut off where it is too long or too slow.

    The app behind may take its end for something else, so `fault` is what was wrong, and nothing
    of what the app then answers goes out.
    """

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most = receive, most
        self._got, self._whole = 0, False
        self.fault: tuple[int, str, str] | None = None
        self.answered = False

    async def receive(self) -> Message:
        """The next piece; as if the client had gone once something is wrong."""
        if self._whole:
            return await self._receive()
        if self.fault:
            return {"type": "http.disconnect"}
        try:
            message = await asyncio.wait_for(self._receive(), BODY_SECONDS)
        except TimeoutError:
            self.fault = (408, "slow", f"body: nothing came for {BODY_SECONDS:.0f} s")
            return {"type": "http.disconnect"}
        self._got += len(message.get("body", b""))
        if self._got > self._most:
            self.fault = (413, "size", f"body: at most {self._most:,} bytes")
            return {"type": "http.disconnect"}
        self._whole = not message.get("more_body", False)
        return message

    def sender(self, send: Send) -> Send:
        """The same `send` while nothing is wrong with the body."""

        async def sending(message: Message) -> None:
            if self.fault and not self.answered:
                return
            self.answered = True
            await send(message)

        return sending
