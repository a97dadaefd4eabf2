"""How fast a server may be asked: requests a minute, what it says of waiting, and backing off."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipelines.schema import StopRequested

TICK_SECONDS = 0.1
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


class Pace:
    """Spreads the requests of all threads evenly over the minute; 0 a minute means no limit."""

    def __init__(self, requests_per_minute: float) -> None:
        self._spacing = 60.0 / requests_per_minute if requests_per_minute > 0 else 0.0
        self._lock = threading.Lock()
        self._next_slot = self._held_until = 0.0

    def take(self, should_stop: Callable[[], bool]) -> None:
        """Waits for this thread's turn. Raises StopRequested."""
        with self._lock:
            slot = max(time.monotonic(), self._next_slot)
            self._next_slot = slot + self._spacing
        wait_until(slot, should_stop)
        while (held := self._held_until) > time.monotonic():
            wait_until(held, should_stop)

    def hold(self, seconds: float) -> None:
        """Lets nobody ask for so long: the server told one of the threads to wait."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)


def wait_until(moment: float, should_stop: Callable[[], bool]) -> None:
    """Sleeps until this `time.monotonic()`. Raises StopRequested as soon as it is asked for."""
    while True:
        if should_stop():
            raise StopRequested("stopped while waiting for the endpoint")
        left = moment - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, TICK_SECONDS))


def backoff(attempt: int) -> float:
    """Seconds before attempt + 2: twice as long each time, less a random part so that threads
    which failed together don't come back together."""
    longest = min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.5, 1.0)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait (RFC 9110, 10.2.3: seconds or a date), or None."""
    named = {name.lower(): value.strip() for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(named[name]) / unit)
        except (KeyError, ValueError):
            continue
    try:
        when = parsedate_to_datetime(named["retry-after"])
    except (KeyError, ValueError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
