"""The live moderator of the page and the API: loaded once, used by one visitor at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from queue import Empty, Queue

from db.jobs import artifacts, holder
from db.session import Database
from guardui.access import check_moderator
from guardui.render import day
from pipelines.base_models import DEMO_BASE
from pipelines.classify import MODES, Mode, Moderator, Progress, open_moderator
from pipelines.jobs.queue import detect_device, resolve_reference
from pipelines.schema import GuardUIError, InputError
from pipelines.settings import Settings
from pipelines.stages import all_stages
from pipelines.stages.base import kinds_taken

logger = logging.getLogger(__name__)

KEPT = 2
# The page redraws at most so often while the model writes.
REDRAW_SECONDS = 0.1


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
    return [*choices, (f"{DEMO_BASE} · untrained base", DEMO_BASE)]


class Live:
    """Holds the last moderators in memory. `stream` may be called from any thread."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database, self.settings = database, settings
        self._kept: dict[tuple[str, str], Moderator] = {}
        self._opening = threading.Lock()
        self._generating = threading.Lock()

    def stream(
        self,
        prompt: str,
        response: str | None,
        ref: str,
        should_stop: Callable[[], bool] = lambda: False,
        mode: Mode = "reason",
    ) -> Iterator[Progress]:
        """Moderates a conversation, telling what is being done from the first moment.

        The verdict has probabilities in both modes. Raises InputError for what can't be
        moderated, and the errors of loading a moderator.
        """
        if mode not in MODES:
            raise InputError(f"mode={mode}: must be one of {', '.join(MODES)}")
        self.check(prompt, response, ref)
        moderator = yield from self._open(ref)
        while not self._generating.acquire(timeout=0.2):
            yield Progress(activity="waiting for another visitor's moderation to end")
            if should_stop():
                return
        try:
            if mode == "fast":
                yield from _fast(moderator, prompt, response or None)
                return
            written = moderator.stream(
                prompt, response or None, should_stop=should_stop, probabilities=True
            )
            yield from _paced(written)
        finally:
            self._generating.release()

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

    def _open(self, ref: str) -> Generator[Progress, None, Moderator]:
        path = str(resolve_reference(self.database, "adapter", ref))
        key = (path, self._device())
        if key in self._kept:
            return self._kept[key]
        said: Queue[str] = Queue()
        done: list[Moderator | Exception] = []
        loader = threading.Thread(target=self._load, args=(key, said, done), daemon=True)
        loader.start()
        start, activity = time.perf_counter(), "loading the model"
        while loader.is_alive():
            with suppress(Empty):
                activity = said.get(timeout=0.3)
            yield Progress(activity=activity, seconds=time.perf_counter() - start)
        result = done[0]
        if isinstance(result, Exception):
            raise result
        return result

    def _load(
        self, key: tuple[str, str], said: Queue[str], done: list[Moderator | Exception]
    ) -> None:
        def report(what: str, share: float) -> None:
            said.put(f"{what}, {100 * share:.0f}%" if 0 < share < 1 else what)

        try:
            # One at a time: two visitors who ask for the same moderator load it once.
            with self._opening:
                if key not in self._kept:
                    opened = open_moderator(key[0], self.settings, device=key[1], progress=report)
                    while len(self._kept) >= KEPT:
                        self._kept.pop(next(iter(self._kept)))
                    self._kept[key] = opened
                done.append(self._kept[key])
        except GuardUIError as error:
            done.append(error)
        except Exception as error:
            logger.exception("The moderator %s could not be loaded", key[0])
            done.append(error)

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


def _fast(moderator: Moderator, prompt: str, response: str | None) -> Iterator[Progress]:
    yield Progress(activity="reading the conversation")
    start = time.perf_counter()
    verdict = moderator.fast(prompt, response)
    yield Progress(verdict.raw, verdict, 0, time.perf_counter() - start)


def _paced(moderation: Iterator[Progress]) -> Iterator[Progress]:
    last = 0.0
    for progress in moderation:
        now = time.perf_counter()
        if progress.verdict is not None or now - last >= REDRAW_SECONDS:
            last = now
            yield progress
