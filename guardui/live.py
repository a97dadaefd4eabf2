"""The live moderators of the page and the API: loaded once, asked by many visitors at a time."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from db.jobs import artifacts, holder
from db.session import Database
from guardui.access import check_moderator, check_rate, current
from guardui.render import day
from pipelines.base_models import DEMO_BASE
from pipelines.classify import MODES, Mode, Progress, open_moderator
from pipelines.jobs.queue import detect_device, resolve_reference
from pipelines.schema import GuardUIError, InputError
from pipelines.serving import MAX_NEW_TOKENS, Serving
from pipelines.settings import Settings, get_settings
from pipelines.stages import all_stages
from pipelines.stages.base import kinds_taken

logger = logging.getLogger(__name__)

KEPT = 2
LOOK_SECONDS = 0.1
LONGEST_RETRY = 120


class BusyError(GuardUIError):
    """As many moderations wait as may; `retry_after` is in whole seconds."""

    code = "busy"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, advice=f"Try again in about {retry_after} s.")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class LiveLoad:
    """What is asked of the moderators now, and what they have done since the start: passes of a
    model that moderated something together, moderations with a verdict, tokens written."""

    waiting: int
    running: int
    batches: int
    moderations: int
    tokens: int


@dataclass(slots=True, eq=False)
class _Kept:
    """A loaded moderator, or one that is being loaded, and how many use it."""

    serving: Serving | None = None
    error: Exception | None = None
    activity: str = "loading the model"
    users: int = 0
    loaded: threading.Event = field(default_factory=threading.Event)
    loader: threading.Thread | None = None


def moderator_choices(database: Database) -> list[tuple[str, str]]:
    """(what people read, reference) of every adapter and exported model, newest first, and the
    bare base last."""
    with database.read() as session:
        found = artifacts(session, kind=kinds_taken("adapter"))
    choices = []
    for one in found:
        stage = all_stages().get(one.job.stage) if one.job else None
        made = f"{stage.title} #{one.job_id}" if stage and one.job else one.name or "adapter"
        preset = f" · {one.job.preset}" if one.job and one.job.preset else ""
        choices.append((f"{made}{preset} · {day(one.created_at)}", f"artifact:{one.id}"))
    named = [one.strip() for one in get_settings().adapters.split(",") if one.strip()]
    choices += [(name, name) for name in named]
    return [*choices, (f"{DEMO_BASE} · untrained base", DEMO_BASE)]


class Live:
    """Holds the last moderators in memory and runs what is asked of one together.

    All methods may be called from any thread. `close` ends its threads.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database, self.settings = database, settings
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._waiting = 0
        self._done = (0, 0, 0)

    def stream(
        self,
        prompt: str,
        response: str | None,
        ref: str,
        should_stop: Callable[[], bool] = lambda: False,
        mode: Mode = "reason",
        max_new_tokens: int = MAX_NEW_TOKENS,
    ) -> Iterator[Progress]:
        """Moderates a conversation, telling what is being done from the first moment.

        The verdict has probabilities in both modes. `should_stop`, which is asked in other threads
        too, ends it within half a second, without a verdict; so does closing the iterator. Raises
        InputError for what can't be moderated, RateLimited for a visitor who asked too often,
        BusyError where too many wait, and the errors of loading a moderator.
        """
        if mode not in MODES:
            raise InputError(f"mode={mode}: must be one of {', '.join(MODES)}")
        if max_new_tokens < 1:
            raise InputError(f"max_new_tokens={max_new_tokens}: must be at least 1")
        self.check(prompt, response, ref)
        check_rate(current())
        with self._place() as begun, self._held(ref) as kept:
            if not (yield from _loading(kept, should_stop)):
                return
            assert kept.serving
            yield from kept.serving.stream(
                prompt,
                response or None,
                mode=mode,
                max_new_tokens=max_new_tokens,
                should_stop=should_stop,
                begun=begun,
            )

    def load(self) -> LiveLoad:
        """How busy the moderators are."""
        with self._lock:
            servings = [one.serving for one in self._kept.values() if one.serving]
            batches, moderations, tokens = self._done
            return LiveLoad(
                waiting=self._waiting,
                running=sum(one.running for one in servings),
                batches=batches + sum(one.passes for one in servings),
                moderations=moderations + sum(one.moderations for one in servings),
                tokens=tokens + sum(one.tokens for one in servings),
            )

    def close(self) -> None:
        """Puts all moderators away; what is asked of them ends with an error."""
        with self._lock:
            gone, self._kept = list(self._kept.values()), {}
        self._put_away(gone)

    def check(self, prompt: str, response: str | None, ref: str) -> None:
        """Raises InputError for an empty or overlong text or a moderator that isn't on offer."""
        limit = self.settings.max_input_chars
        for name, text in (("prompt", prompt), ("response", response or "")):
            if len(text) > limit:
                raise InputError(
                    f"{name}: it has {len(text):,} characters; at most {limit:,} are read"
                )
        if not prompt.strip():
            raise InputError("prompt: it is empty; type the request to moderate")
        if not ref:
            raise InputError("adapter: none chosen; choose a moderator")
        check_moderator(
            self.settings, ref, [value for _, value in moderator_choices(self.database)]
        )

    @contextmanager
    def _place(self) -> Iterator[Callable[[], None]]:
        """A place among those who wait. Yields what gives it back, to be called on one's turn."""
        with self._lock:
            if self._waiting >= self.settings.max_waiting:
                found = [one.serving for one in self._kept.values() if one.serving]
                seconds = max((one.seconds_to_wait for one in found), default=1.0)
                raise BusyError(
                    f"Too many moderations are waiting ({self._waiting:,}); this one was not taken",
                    min(max(math.ceil(seconds), 1), LONGEST_RETRY),
                )
            self._waiting += 1
        left = False

        def leave() -> None:
            nonlocal left
            with self._lock:
                self._waiting -= not left
                left = True

        try:
            yield leave
        finally:
            leave()

    @contextmanager
    def _held(self, ref: str) -> Iterator[_Kept]:
        """The moderator of a reference, loaded or loading; while held it isn't put away."""
        path = str(resolve_reference(self.database, "adapter", ref))
        key = (path, self._device())
        with self._lock:
            kept = self._kept.pop(key, None) or _Kept()
            self._kept[key] = kept  # the last asked for is the last
            kept.users += 1
            if kept.loader is None:
                kept.loader = threading.Thread(
                    target=self._load, args=(key, kept), name="loading", daemon=True
                )
                kept.loader.start()
        try:
            yield kept
        finally:
            with self._lock:
                kept.users -= 1
                gone = self._surplus()
                failed = kept.error or (kept.serving and kept.serving.closed)
                if failed and self._kept.get(key) is kept:
                    gone.append(self._kept.pop(key))  # the next one tries again
            self._put_away(gone)

    def _surplus(self) -> list[_Kept]:
        """Takes out those that were asked for longest ago and that nobody uses or loads."""
        unused = [k for k, one in self._kept.items() if not one.users and one.loaded.is_set()]
        return [self._kept.pop(key) for key in unused[: max(len(self._kept) - KEPT, 0)]]

    def _put_away(self, gone: list[_Kept]) -> None:
        for one in gone:
            if one.loader:
                one.loader.join()
            if one.serving:
                one.serving.close()
                with self._lock:
                    batches, moderations, tokens = self._done
                    self._done = (
                        batches + one.serving.passes,
                        moderations + one.serving.moderations,
                        tokens + one.serving.tokens,
                    )

    def _load(self, key: tuple[str, str], kept: _Kept) -> None:
        def report(what: str, share: float) -> None:
            kept.activity = f"{what}, {100 * share:.0f}%" if 0 < share < 1 else what

        try:
            with self._opening:  # one at a time: two at once would need the memory of both
                opened = open_moderator(key[0], self.settings, device=key[1], progress=report)
                kept.serving = Serving(opened)
        except GuardUIError as error:
            kept.error = error
        except Exception as error:
            logger.exception("The moderator %s could not be loaded", key[0])
            kept.error = error
        finally:
            kept.loaded.set()

    def _device(self) -> str:
        """Where to run: a GPU that a job holds is left to the job."""
        wanted = self.settings.classify_device
        if wanted != "auto":
            return wanted
        found = detect_device()
        if found == "cpu":
            return "cpu"
        with self.database.read() as session:
            return "cpu" if holder(session, found) else "cuda"


def _loading(kept: _Kept, should_stop: Callable[[], bool]) -> Generator[Progress, None, bool]:
    """Tells what is being loaded; False where it was given up."""
    start = time.perf_counter()
    while not kept.loaded.wait(LOOK_SECONDS):
        if should_stop():
            return False
        yield Progress(activity=kept.activity, seconds=time.perf_counter() - start)
    if kept.error:
        raise kept.error
    return True
