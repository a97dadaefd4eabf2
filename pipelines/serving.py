"""Moderations asked for by many threads, run together by one thread for each loaded moderator.

The thread takes what is asked first come, first served, lets conversations join and leave between
any two passes of the model (`pipelines.together`), and waits without using a core while there are
none. Conversations weighed without a trace have room of their own, so they don't wait behind
traces. A moderator that can't do several at once does them one after the other, in the same order.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipelines.classify import Mode, Moderator, Progress
from pipelines.engines.base import Sampling
from pipelines.schema import GuardExample, GuardUIError
from pipelines.together import Conversation

logger = logging.getLogger(__name__)

MAX_NEW_TOKENS = 1024
# How often a waiting thread looks whether it may go, and reads on.
LOOK_SECONDS = 0.1


class ServingClosed(GuardUIError):
    """The moderator was put away while it was being asked."""

    code = "closed"
    advice = "Ask again."


@dataclass(slots=True, eq=False)
class Request:
    """One conversation on its way through: waiting, then running, then done."""

    work: Conversation
    prompt: str
    response: str | None
    mode: Mode
    should_stop: Callable[[], bool]
    begun: Callable[[], None]
    context: contextvars.Context
    start: float = field(default_factory=time.perf_counter)
    runs: bool = False
    gone: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    def left(self) -> bool:
        """Whether nobody waits for it any more."""
        if not self.gone:
            self.gone = self.should_stop()
        return self.gone

    def ended(self, error: Exception | None = None) -> None:
        self.work.error = self.work.error or error
        self.done.set()


class Serving:
    """Serves one moderator. All methods may be called from any thread; `close` ends its own."""

    def __init__(self, moderator: Moderator) -> None:
        self.moderator = moderator
        self.together = moderator.together()
        self.moderations = self.tokens = self.passes = 0
        self._seconds = 1.0
        self._waiting: list[Request] = []
        self._running: list[Request] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def stream(
        self,
        prompt: str,
        response: str | None = None,
        *,
        mode: Mode = "reason",
        max_new_tokens: int = MAX_NEW_TOKENS,
        should_stop: Callable[[], bool] = lambda: False,
        begun: Callable[[], None] = lambda: None,
    ) -> Iterator[Progress]:
        """One moderation: that it waits, its text as it grows, and the verdict last.

        Ends without one soon after `should_stop`, which is asked in other threads too. `begun` is
        called once it no longer waits. Raises InputError where the conversation is empty or too
        long, and what went wrong with it.
        """
        request = self._asked(prompt, response, mode, max_new_tokens, should_stop, begun)
        try:
            yield from self._followed(request)
        finally:
            request.gone = True
            with self._changed:
                if request in self._waiting:
                    self._waiting.remove(request)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def seconds_to_wait(self) -> float:
        """About how long one who came now would wait, by how long the last ones took."""
        at_once = self.together.traces if self.together else 1
        return self._seconds * (1 + self.waiting / at_once)

    def close(self) -> None:
        """Ends what is asked, and the thread. Waits for the pass that goes on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread and thread is not threading.current_thread():
            thread.join()

    # In the threads of those who ask

    def _asked(
        self,
        prompt: str,
        response: str | None,
        mode: Mode,
        max_new_tokens: int,
        should_stop: Callable[[], bool],
        begun: Callable[[], None],
    ) -> Request:
        text = self.moderator.check(prompt, response)
        example = GuardExample(prompt, response or None)
        writes = mode == "reason"
        if self.together:
            room = self.moderator.engine.context_length - self.moderator.engine.count_tokens(text)
            sampling = Sampling(max_new_tokens=min(max_new_tokens, room))
            work = self.together.conversation(text, example, writes=writes, sampling=sampling)
        else:
            work = Conversation(example, [], writes, max_new_tokens)
        context = contextvars.copy_context()
        request = Request(work, prompt, response, mode, should_stop, begun, context)
        with self._changed:
            if self._closed:
                raise ServingClosed("The moderator was closed.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="moderator", daemon=True)
                self._thread.start()
            self._waiting.append(request)
            self._changed.notify_all()
        return request

    def _followed(self, request: Request) -> Iterator[Progress]:
        work = request.work
        while not request.done.wait(LOOK_SECONDS):
            if request.left():
                return
            seconds = time.perf_counter() - request.start
            # Something at every look: whoever closes this iterator can do so at a yield alone.
            if not request.runs:
                yield Progress(activity=self._place(request), seconds=seconds)
            elif text := work.text:
                yield Progress(text, None, work.tokens, seconds)
            else:
                yield Progress(activity="reading the conversation", seconds=seconds)
        if request.left():
            return
        if work.error is not None:
            raise work.error
        seconds = time.perf_counter() - request.start
        yield Progress(work.text, work.verdict, work.tokens, seconds)

    def _place(self, request: Request) -> str:
        with self._changed:
            same = [one for one in self._waiting if one.work.writes == request.work.writes]
            before = same.index(request) if request in same else 0
        if not before:
            return "waiting: you are next"
        return f"waiting: {before} {'is' if before == 1 else 'are'} before you"

    # In the moderator's own thread

    def _run(self) -> None:
        try:
            while self._wait():
                try:
                    self._leave()
                    self._admit()
                    self._turn()
                except Exception as error:  # the thread's outer edge
                    logger.exception("The moderator failed")
                    self._failed(error)
        finally:
            with self._changed:
                self._closed = True
                left = [*self._waiting, *self._running]
                self._waiting, self._running = [], []
            for request in left:
                request.ended(ServingClosed("The moderator was closed."))

    def _failed(self, error: Exception) -> None:
        """Ends all that run, without asking the model's rows for anything."""
        with self._changed:
            failed, self._running = self._running, []
        if self.together:
            self.together.clear()
        for request in failed:
            request.ended(error)

    def _wait(self) -> bool:
        """Sleeps until there is something to do; False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._running or self._closed)
            return not self._closed

    def _leave(self) -> None:
        for request in [*self._waiting, *self._running]:
            try:
                left = request.left()
            except Exception as error:  # noqa: BLE001 - the asker's function; its asker hears it
                self._end(request, error)
                continue
            if left:
                self._end(request)

    def _admit(self) -> None:
        for writes in (False, True):
            with self._changed:
                room = self.together.room(writes=writes) if self.together else 1 - self.running
                same = [one for one in self._waiting if one.work.writes == writes]
                if not self.together:
                    same = self._waiting[:1]
                taken = same[: max(room, 0)]
                for request in taken:
                    self._waiting.remove(request)
                    self._running.append(request)
                    request.runs = True
            for request in taken:
                request.begun()
                if self.together:
                    self.together.add(request.work)

    def _turn(self) -> None:
        if self.together:
            ended = set(map(id, self.together.turn()))
            self.passes = self.together.rows.passes
            for request in list(self._running):
                if id(request.work) in ended:
                    self._end(request)
        else:
            for request in list(self._running):
                request.context.run(self._alone, request)
                self._end(request)

    def _alone(self, request: Request) -> None:
        """A whole moderation by a moderator that does one at a time."""
        work, self.passes = request.work, self.passes + 1
        try:
            if request.mode == "fast":
                work.verdict = self.moderator.fast(request.prompt, request.response)
                work.text = work.verdict.raw
                return
            written = self.moderator.stream(
                request.prompt,
                request.response,
                max_new_tokens=work.most,
                should_stop=lambda: request.left() or self._closed,
                probabilities=True,
            )
            for progress in written:
                work.text, work.tokens = progress.text, progress.tokens
                work.verdict = progress.verdict
        except Exception as error:  # noqa: BLE001 - whoever asked hears it
            work.error = error

    def _end(self, request: Request, error: Exception | None = None) -> None:
        work = request.work
        if self.together:
            self.together.drop(work)  # should it fail, `_failed` finds the request still running
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)
            if request in self._running:
                self._running.remove(request)
        if work.verdict is not None:
            self.moderations += 1
            self.tokens += work.tokens
            if work.writes:
                spent = time.perf_counter() - request.start
                self._seconds += 0.2 * (spent - self._seconds)
        request.ended(error)
