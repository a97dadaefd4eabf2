"""Many at the live moderators: one load for all, places in the line, and who is put away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from db.session import Database, open_database
from guardui import live
from guardui.access import MINUTELY, RateLimited, Role, Visitor, acting_as, limiter
from guardui.live import BusyError, Live
from guardui.tabs.classify import moderate
from pipelines.base_models import DEMO_BASE
from pipelines.classify import Progress
from pipelines.schema import GuardTask, InputError, ModelError, Verdict
from pipelines.serving import ServingClosed
from pipelines.settings import Settings

VERDICT = Verdict({GuardTask.PROMPT_HARMFULNESS: "unharmful"}, "It is.", "It is.")


class Gated:
    """A moderator that does one at a time, each once it is let."""

    def __init__(self, ref: str = "") -> None:
        self.ref, self.let = ref, threading.Event()

    def together(self) -> None:
        return None

    def check(self, prompt: str, response: str | None) -> str:
        return prompt

    def stream(
        self, prompt: str, response: str | None, *, should_stop: Callable[[], bool], **_: Any
    ) -> Iterator[Progress]:
        while not self.let.wait(0.01):
            yield Progress("It", None, 1, 0.1)
            if should_stop():
                return
        yield Progress("It is.", VERDICT, 2, 0.1)


@pytest.fixture
def shared(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setattr(live, "detect_device", lambda: "cpu")
    database: Database = open_database(home.database_url)
    made = Live(database, home.model_copy(update={"max_waiting": 2}))
    yield made
    made.close()
    database.dispose()
    names = {thread.name for thread in threading.enumerate()}
    assert names.isdisjoint({"moderator", "loading"})


def opening(
    monkeypatch: pytest.MonkeyPatch, result: Callable[[str], Any], seconds: float = 0.0
) -> list[str]:
    """Opening gives this after so long; returns the references that were opened."""
    opened: list[str] = []

    def open_it(ref: str, _settings: Settings, *, device: str, progress: Any) -> Any:
        opened.append(ref)
        time.sleep(seconds)
        found = result(ref)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(live, "open_moderator", open_it)
    return opened


def last(moderation: Iterator[Progress]) -> Verdict | None:
    return list(moderation)[-1].verdict


def until(moderation: Iterator[Progress], found: Callable[[Progress], object]) -> Progress:
    return next(progress for progress in moderation if found(progress))


def test_the_first_visitors_share_one_load(shared: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Gated()
    guard.let.set()
    opened = opening(monkeypatch, lambda _ref: guard, 0.3)
    found: list[Verdict | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(last(shared.stream("hi", None, DEMO_BASE))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [VERDICT] * 2
    assert len(opened) == 1


def test_a_failed_load_is_told_to_all_and_tried_again(
    shared: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opening(monkeypatch, lambda _ref: ModelError("adapter=x: no safetensors"), 1.5)
    both = [shared.stream("hi", None, DEMO_BASE) for _ in range(2)]
    for one in both:
        next(one)
    for one in both:
        with pytest.raises(ModelError, match="no safetensors"):
            list(one)
    assert len(opened) == 1
    guard = Gated()
    guard.let.set()
    opening(monkeypatch, lambda _ref: guard)
    assert last(shared.stream("hi", None, DEMO_BASE)) == VERDICT


def test_who_waits_is_told_the_place_and_a_full_line_says_when_to_come(
    shared: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Gated()
    opening(monkeypatch, lambda _ref: guard)
    first = shared.stream("one", None, DEMO_BASE)
    until(first, lambda progress: progress.text)
    second, third = (moderate(shared, name, None, DEMO_BASE) for name in ("two", "three"))
    assert any("you are next" in str(card) for _, card, *_ in [next(second)])
    assert any("1 is before you" in str(card) for _, card, *_ in [next(third)])
    assert (shared.load().waiting, shared.load().running) == (2, 1)
    with pytest.raises(BusyError, match="Too many moderations are waiting") as caught:
        next(shared.stream("four", None, DEMO_BASE))
    assert caught.value.code == "busy"
    assert caught.value.retry_after >= 1
    with pytest.warns(UserWarning, match="Too many"):  # what Gradio shows, outside of a page
        refused = list(moderate(shared, "four", None, DEMO_BASE))
    assert "Try again in about" in str(refused[-1][1])
    third.close()
    assert shared.load().waiting == 1, "who leaves makes room"
    guard.let.set()
    assert last(first) == VERDICT
    assert list(second)
    done = shared.load()
    assert (done.waiting, done.running, done.moderations, done.tokens) == (0, 0, 2, 4)


def test_stopping_is_quick_wherever_one_is(shared: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Gated()
    opening(monkeypatch, lambda _ref: guard, 1.0)
    stop = threading.Event()
    for found in (
        lambda progress: "loading" in progress.activity,
        lambda progress: progress.text,
    ):
        stop.clear()
        moderation = shared.stream("one", None, DEMO_BASE, stop.is_set)
        until(moderation, found)
        stop.set()
        start = time.monotonic()
        assert all(progress.verdict is None for progress in moderation)
        assert time.monotonic() - start < 0.5
        assert shared.load().waiting == 0


def test_moderators_in_use_are_not_put_away(shared: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    guards: dict[str, Gated] = {}
    opened = opening(monkeypatch, lambda ref: guards.setdefault(ref, Gated(ref)))
    monkeypatch.setattr(live, "resolve_reference", lambda _database, _kind, ref: ref)
    held = shared.stream("hi", None, "a")
    until(held, lambda progress: progress.text)
    for ref in "bcd":
        guards[ref] = Gated(ref)
        guards[ref].let.set()
        assert last(shared.stream("hi", None, ref)) == VERDICT
    assert [key for key, _ in shared._kept] == ["a", "d"]
    guards["a"].let.set()
    assert last(held) == VERDICT
    assert last(shared.stream("hi", None, "b")) == VERDICT
    assert [key for key, _ in shared._kept] == ["d", "b"]
    assert opened == ["a", "b", "c", "d", "b"]
    assert shared.load().moderations == 5, "those of moderators put away count on"


def test_nobody_waits_for_a_load_that_others_gave_up(
    shared: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    guards = {ref: Gated(ref) for ref in "abc"}
    load = threading.Event()

    def made(ref: str) -> Gated:
        assert ref != "c" or load.wait(10)
        return guards[ref]

    opening(monkeypatch, made)
    monkeypatch.setattr(live, "resolve_reference", lambda _database, _kind, ref: ref)
    held = [shared.stream("hi", None, ref) for ref in "ab"]
    for one in held:
        until(one, lambda progress: progress.text)
    given_up = shared.stream("hi", None, "c")
    next(given_up)
    start = time.monotonic()
    given_up.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 5, "not the 10 s of the load"
    load.set()
    for one, ref in zip(held, "ab", strict=True):
        guards[ref].let.set()
        assert last(one) == VERDICT


def test_a_moderator_whose_thread_has_ended_is_loaded_anew(
    shared: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Gated()
    guard.let.set()
    opened = opening(monkeypatch, lambda _ref: guard)
    assert last(shared.stream("hi", None, DEMO_BASE)) == VERDICT
    (kept,) = shared._kept.values()
    assert kept.serving
    kept.serving.close()
    with pytest.raises(ServingClosed):
        list(shared.stream("hi", None, DEMO_BASE))
    assert last(shared.stream("hi", None, DEMO_BASE)) == VERDICT
    assert len(opened) == 2
    assert shared.load().moderations == 2


def test_a_visitor_who_asks_too_often_is_not_queued(
    shared: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Gated()
    guard.let.set()
    opening(monkeypatch, lambda _ref: guard)
    limiter().storage.reset()
    with acting_as(Visitor(Role.PUBLIC, client="192.0.2.7")):
        for _ in range(MINUTELY[Role.PUBLIC]):
            assert last(shared.stream("hi", None, DEMO_BASE)) == VERDICT
        with pytest.raises(RateLimited):
            next(shared.stream("hi", None, DEMO_BASE))
    limiter().storage.reset()


def test_a_length_that_makes_no_sense_is_refused(shared: Live) -> None:
    with pytest.raises(InputError, match="max_new_tokens=0: must be at least 1"):
        next(shared.stream("hi", None, DEMO_BASE, max_new_tokens=0))
