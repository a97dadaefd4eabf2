"""Connections that never finish asking are closed: uvicorn waits for headers without a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

HEADER_SECONDS = 20.0
LOOK_SECONDS = 5.0


async def close_slow(connections: Callable[[], set[Any]]) -> None:
    """Runs beside the server; `connections` are uvicorn's protocols of the moment."""
    since: dict[Any, float] = {}
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        since = _closed(since, connections(), time.monotonic())


def _closed(since: dict[Any, float], found: set[Any], now: float) -> dict[Any, float]:
    """When each that is between requests was first seen so; those that are too long are closed."""
    waiting = {
        one: since.get(one, now)
        for one in found
        if one.cycle is None or one.cycle.response_complete
    }
    for one, first in waiting.items():
        if now - first >= HEADER_SECONDS and one.transport is not None:
            one.transport.close()
    return waiting
