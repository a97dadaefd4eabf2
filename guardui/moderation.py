"""The moderation service under `/v1`, LiteLLM's guardrail and MCP: one conversation, one decision.

What a program asks for is checked here and moderated by the page's own moderator. Who asks, how
often and with what key is settled in `guardui/access.py`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import anyio
from anyio.to_thread import run_sync

from db.session import Database
from guardui.access import Visitor, acting_as, check_moderator, require_moderation
from guardui.live import BusyError, Live, moderator_choices
from guardui.moderation_metrics import Metrics
from pipelines.classify import Mode, Progress
from pipelines.jobs.queue import resolve_reference
from pipelines.schema import GuardTask, GuardUIError, HubError, InputError, ModelError, Verdict
from pipelines.serving import MAX_NEW_TOKENS
from pipelines.settings import Settings

logger = logging.getLogger(__name__)

OnFailure = Literal["closed", "open"]
"""What an answer that can't be read counts as: `closed` blocks, `open` allows."""
HARM = (GuardTask.PROMPT_HARMFULNESS, GuardTask.RESPONSE_HARMFULNESS)
UNREAD = "unread"
MOST_AT_ONCE = 128
"""Moderations that programs have under way, each with a thread that waits; more are told to come
again. The moderator's own line is shorter."""
MOST_OF_ONE = 8
"""Of those, so many may be one request's."""
DEFAULT_NAMES = (
    "",
    "default",
    "omni-moderation-latest",
    "omni-moderation-2024-09-26",
    "text-moderation-latest",
    "text-moderation-stable",
    "text-moderation-007",
)
"""Names of no moderator in particular: the newest is meant, as by clients made for OpenAI."""


class Gone(GuardUIError):
    """Whoever asked has hung up; there is nobody to answer."""

    code = "gone"


class Unready(GuardUIError):
    """The default moderator can't be used now: no fault of whoever asks."""

    code = "unready"


@dataclass(frozen=True, slots=True)
class Asked:
    """A conversation to decide on, and how."""

    prompt: str
    response: str | None = None
    adapter: str = ""
    mode: Mode = "reason"
    on_failure: OnFailure = "closed"
    max_new_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and what follows from it; `seconds` is the moderator's time, `waited` all of it."""

    asked: Asked
    verdict: Verdict
    seconds: float
    waited: float

    def applies(self, task: GuardTask) -> bool:
        """Whether the task asks something of this conversation."""
        return not task.needs_response or self.asked.response is not None

    @property
    def failure(self) -> str | None:
        """Why there is no full verdict, or None."""
        missing = [t.value for t in HARM if self.applies(t) and self.verdict.label(t) is None]
        if self.verdict.error or not missing:
            return self.verdict.error
        return f"The model gave no label for {' and '.join(missing)}."

    @property
    def reasons(self) -> list[str]:
        """Why it is blocked: tasks found harmful, `unread` for a failure; empty where it isn't."""
        found = [t.value for t in HARM if self.verdict.label(t) == "harmful"]
        if self.failure and self.asked.on_failure == "closed":
            found.append(UNREAD)
        return found

    @property
    def blocked(self) -> bool:
        return bool(self.reasons)


class Moderation:
    """Decides for many callers at once. All of its methods may be called from any task."""

    def __init__(self, database: Database, settings: Settings, live: Live) -> None:
        self.database, self.settings, self.live = database, settings, live
        self.metrics = Metrics(live)
        self._under_way = 0
        self._threads: anyio.CapacityLimiter | None = None

    def stream(self, asked: Asked, should_stop: Callable[[], bool]) -> Iterator[Progress]:
        """What the moderator does and writes, the verdict last; as the visitor now acting.

        Raises AccessError, RateLimited, BusyError, InputError, and the errors of loading.
        """
        require_moderation(self.settings)
        yield from self.live.stream(
            asked.prompt,
            asked.response,
            asked.adapter,
            should_stop,
            asked.mode,
            asked.max_new_tokens or MAX_NEW_TOKENS,
        )

    async def decide(
        self,
        visitor: Visitor,
        asked: Asked,
        gone: threading.Event,
        follow: Callable[[Progress], None] = lambda _progress: None,
    ) -> Decision:
        """Decides in a thread of its own. `gone` ends it early, and then it raises Gone.

        `follow` is called in that thread with each step; it must not take long.
        """
        if self._threads is None:  # made in the loop that uses it
            self._threads = anyio.CapacityLimiter(MOST_AT_ONCE)
        if self._under_way >= MOST_AT_ONCE:
            raise BusyError(f"{MOST_AT_ONCE} moderations are under way, and no more fit", 5)
        self._under_way += 1
        try:
            work = partial(self._decide, visitor, asked, gone, follow)
            return await run_sync(work, limiter=self._threads)
        except BaseException:
            gone.set()
            raise
        finally:
            self._under_way -= 1

    async def decide_all(
        self, visitor: Visitor, asked: Sequence[Asked], gone: threading.Event
    ) -> list[Decision]:
        """Decides on several together, in their order; the first that fails ends the others."""
        with acting_as(visitor):
            require_moderation(self.settings)
        found: dict[int, Decision] = {}
        errors: list[Exception] = []

        turn = anyio.CapacityLimiter(MOST_OF_ONE)

        async def one(place: int, what: Asked) -> None:
            try:
                async with turn:
                    found[place] = await self.decide(visitor, what, gone)
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)

        async with anyio.create_task_group() as group:
            for place, what in enumerate(asked):
                group.start_soon(one, place, what)
        if errors:
            # Those that were ended because of the first one say only that they were.
            raise next((e for e in errors if not isinstance(e, Gone)), errors[0])
        return [found[place] for place in range(len(asked))]

    def _decide(
        self,
        visitor: Visitor,
        asked: Asked,
        gone: threading.Event,
        follow: Callable[[Progress], None],
    ) -> Decision:
        start, named = time.perf_counter(), asked.adapter not in DEFAULT_NAMES
        with acting_as(replace(visitor, entrance="api")):
            require_moderation(self.settings)
            asked = replace(asked, adapter=self._named(asked.adapter))
            last = Progress()
            try:
                for last in self.stream(asked, gone.is_set):
                    if last.verdict is None:
                        follow(last)
            except (ModelError, HubError) as error:
                if named:
                    raise
                raise Unready(str(error), advice=error.advice) from error
        if last.verdict is None or gone.is_set():
            raise Gone("the caller has gone")
        decision = Decision(asked, last.verdict, last.seconds, time.perf_counter() - start)
        self.metrics.decided(decision)
        return decision

    def offered(self) -> list[tuple[str, str]]:
        """(what people read, reference) of each moderator, the one meant by default first."""
        return moderator_choices(self.database)

    def _named(self, ref: str) -> str:
        """The moderator that a caller means. Raises InputError where the name can't be one's."""
        known = [value for _, value in self.offered()]
        if ref in DEFAULT_NAMES:
            return known[0]
        if ref not in known:
            check_moderator(self.settings, ref, known)
            try:
                Path(resolve_reference(self.database, "adapter", ref)).expanduser().is_dir()
            except (OSError, ValueError, RuntimeError):  # no name of a file, no user's home
                raise InputError(f"adapter={ref[:80]}: can't be the name of a moderator") from None
        return ref
