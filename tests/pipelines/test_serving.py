"""Many who ask one moderator: together, as each would be answered alone, and free to go."""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipelines import base_models
from pipelines.classify import Mode, Moderator, Progress
from pipelines.engines.base import Sampling
from pipelines.engines.rows import Rows
from pipelines.engines.transformers import TransformersEngine
from pipelines.schema import GuardExample, InputError
from pipelines.serving import Serving, ServingClosed
from pipelines.template import GuardTemplate
from pipelines.together import Together, Unfit
from tests.tiny_runs import INSTRUCTION, ScriptedEngine, answer

LENGTH = 40
CONVERSATIONS = [("hello " * n, "So it is. " * n if n % 2 else None) for n in range(1, 10)]


@pytest.fixture(scope="module")
def moderator(tiny_base: Path) -> Iterator[Moderator]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tokenizer = base_models.load_tokenizer(tiny_base)
    # In bfloat16 padding changes the rounding, and with it now and then the likeliest token.
    engine = TransformersEngine(base_models.load_model(tiny_base, dtype="float32"), tokenizer)
    yield Moderator("tiny", engine, GuardTemplate(instruction=INSTRUCTION), tokenizer)
    torch.set_num_threads(threads)


@pytest.fixture
def serving(moderator: Moderator) -> Iterator[Serving]:
    made = Serving(moderator)
    yield made
    made.close()
    assert "moderator" not in {thread.name for thread in threading.enumerate()}


def all_at_once(work: list[Callable[[], Any]]) -> list[Any]:
    """What each gives, or the error that it raises, all in threads of their own."""
    found: list[Any] = [None] * len(work)

    def run(place: int) -> None:
        try:
            found[place] = work[place]()
        except Exception as error:  # noqa: BLE001 - given to the test
            found[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def asking(
    serving: Serving, prompt: str, response: str | None = None, mode: Mode = "reason", **more: Any
) -> Callable[[], list[Progress]]:
    options = {"max_new_tokens": LENGTH, **more}
    return lambda: list(serving.stream(prompt, response, mode=mode, **options))


def together_of(serving: Serving) -> Together:
    assert serving.together is not None
    return serving.together


def wait_for(what: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)


def until(moderation: Iterator[Progress], activity: str) -> Progress:
    return next(progress for progress in moderation if progress.activity == activity)


def until_written(moderation: Iterator[Progress]) -> Progress:
    return next(progress for progress in moderation if progress.text)


def test_verdicts_together_are_those_of_each_alone(serving: Serving, moderator: Moderator) -> None:
    alone = [
        list(moderator.stream(p, r, max_new_tokens=LENGTH, probabilities=True))[-1]
        for p, r in CONVERSATIONS
    ]
    weighed = [moderator.fast(p, r) for p, r in CONVERSATIONS]
    modes: tuple[Mode, Mode] = ("reason", "fast")
    told = all_at_once([asking(serving, p, r, mode) for mode in modes for p, r in CONVERSATIONS])
    written, fast = told[: len(alone)], told[len(alone) :]
    assert [one[-1].text for one in written] == [one.text for one in alone]
    # Tokens are told as written; alone, they are counted again from the text.
    assert [replace(one[-1].verdict, tokens=0) for one in written] == [
        replace(one.verdict, tokens=0) for one in alone if one.verdict
    ]
    assert [one[-1].verdict.labels for one in fast] == [one.labels for one in weighed]
    for one, other in zip(fast, weighed, strict=True):
        assert one[-1].verdict.probabilities == pytest.approx(other.probabilities, abs=1e-4)
        assert one[-1].verdict.raw == other.raw == one[-1].text
    assert serving.moderations == 2 * len(CONVERSATIONS)
    assert serving.tokens == LENGTH * len(CONVERSATIONS)
    assert serving.passes < serving.tokens / 3, "they were moderated together"
    assert (serving.waiting, serving.running) == (0, 0)


def test_text_grows_by_whole_characters(moderator: Moderator) -> None:
    together = moderator.together()
    assert together is not None
    said = "A naïve 🪁 über 東京, 👩‍👩‍👧, done."
    conversation = together.conversation(
        moderator.check("hello"), GuardExample("hello"), writes=True, sampling=Sampling()
    )
    seen = []
    for token in moderator.engine.tokens(said):  # type: ignore[attr-defined]
        conversation.row.ids.append(token)
        together._advance(conversation)
        seen.append(conversation.text)
    assert seen[-1] == said
    assert len(set(seen)) > 5
    assert all(said.startswith(one) for one in seen)
    assert all(late.startswith(early) for early, late in pairwise(seen))


def test_a_trace_is_weighed_from_what_is_read_of_it(
    serving: Serving, moderator: Moderator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny model writes no answers, so its text is said to be one that has some."""
    trace = "It is clear.\n\n---\n\n" + answer("harmful")
    monkeypatch.setattr(moderator.engine, "decode", lambda tokens: trace if tokens else "")
    (told,) = all_at_once([asking(serving, "How do kites fly?")])
    monkeypatch.undo()
    verdict = told[-1].verdict
    assert verdict.labels["prompt_harmfulness"] == "harmful"
    prompt = moderator.check("How do kites fly?")
    before = trace.partition("Request: ")[0] + "Request: "
    ends = [label + "\n" for label in ("harmful", "unharmful")]
    ((yes, no),) = moderator.engine.score([prompt], [ends], [before])
    sure = 1 / (1 + math.exp(no - yes))
    assert verdict.probabilities["prompt_harmfulness"] == pytest.approx(sure, abs=1e-4)
    assert verdict.tokens == told[-1].tokens > 0


def test_fast_requests_do_not_wait_behind_a_trace(serving: Serving) -> None:
    together_of(serving).traces = 1
    trace = serving.stream("hello", max_new_tokens=1500)
    until_written(trace)
    waiting = serving.stream("hello", max_new_tokens=5)
    said = next(waiting)
    assert said.activity == "waiting: you are next"
    third = serving.stream("hello", max_new_tokens=5)
    assert next(third).activity == "waiting: 1 is before you"
    fast = all_at_once([asking(serving, p, r, "fast") for p, r in CONVERSATIONS])
    assert all(one[-1].verdict for one in fast)
    assert (serving.running, serving.waiting) == (1, 2)
    trace.close()  # type: ignore[attr-defined]
    assert [progress.verdict is not None for progress in waiting][-1]
    assert list(third)[-1].verdict


def test_who_has_gone_is_not_written_for(serving: Serving) -> None:
    stop = threading.Event()
    stopped = serving.stream("hello", max_new_tokens=1500, should_stop=stop.is_set)
    closed = serving.stream("you there", max_new_tokens=1500)
    stays = serving.stream("stay", max_new_tokens=LENGTH)
    for one in (stopped, closed):
        until_written(one)
    stop.set()
    start = time.monotonic()
    assert all(progress.verdict is None for progress in stopped)
    closed.close()  # type: ignore[attr-defined]
    wait_for(lambda: serving.running <= 1, 5)
    assert time.monotonic() - start < 5
    assert list(stays)[-1].verdict
    wait_for(lambda: not together_of(serving).rows.rows)
    assert together_of(serving).idle


def test_what_goes_wrong_with_one_is_told_to_that_one(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = together_of(serving)
    real = together.rows.model

    class Failing:
        """The model, but a text with this token makes it fail."""

        device, bad = real.device, together.engine.tokens("é")[0]

        def __call__(self, input_ids: Any, **more: Any) -> Any:
            if (input_ids == self.bad).any():
                raise RuntimeError("a text it can't take")
            return real(input_ids=input_ids, **more)

    together.rows.model = Failing()

    def hang_up() -> bool:
        raise ValueError("whoever asked fails")

    work = [asking(serving, p, r) for p, r in CONVERSATIONS]
    work += [asking(serving, "é", mode="fast"), asking(serving, "é hello")]
    work += [asking(serving, "hello", should_stop=hang_up)]
    *good, fast, written, own = all_at_once(work)
    assert isinstance(fast, Unfit)
    assert isinstance(written, Unfit)
    assert isinstance(own, ValueError)
    assert all(one[-1].verdict is not None for one in good)
    assert all_at_once([asking(serving, "hello")])[0][-1].verdict


def test_out_of_memory_halves_the_batch_and_loses_nothing(
    serving: Serving, moderator: Moderator
) -> None:
    import torch

    alone = [list(moderator.stream(p, r, max_new_tokens=LENGTH))[-1].text for p, r in CONVERSATIONS]
    together = together_of(serving)
    real, most = together.rows.model, []

    class Small:
        """The model on a GPU that holds three rows."""

        device = real.device

        def __call__(self, input_ids: Any, **more: Any) -> Any:
            most.append(len(together.rows.rows))
            if len(together.rows.rows) > 3:
                raise torch.OutOfMemoryError("no room")
            return real(input_ids=input_ids, **more)

    together.rows.model = Small()
    told = all_at_once([asking(serving, p, r) for p, r in CONVERSATIONS])
    assert [one[-1].text for one in told] == alone
    assert max(most) > 3 >= most[-1]
    assert together.traces <= 3

    class Full(Small):
        def __call__(self, input_ids: Any, **more: Any) -> Any:
            raise torch.OutOfMemoryError("no room")

    together.rows.model = Full()
    (error,) = all_at_once([asking(serving, "hello")])
    assert isinstance(error, Unfit)
    assert "not enough memory" in str(error)


def test_rows_that_cannot_be_left_end_those_who_run_and_nobody_else(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = together_of(serving)
    moderation = serving.stream("hello", max_new_tokens=1500)
    until_written(moderation)

    def fail(_rows: Any, _row: Any) -> None:
        raise RuntimeError("the device is lost")

    with monkeypatch.context() as patched:
        patched.setattr(Rows, "leave", fail)
        (stopped,) = all_at_once([asking(serving, "hello", mode="fast")])
        assert isinstance(stopped, RuntimeError)
        with pytest.raises(RuntimeError, match="device is lost"):
            list(moderation)
    assert together.idle
    assert all_at_once([asking(serving, "hello")])[0][-1].verdict


@pytest.mark.parametrize("mode", ["reason", "fast"])
def test_a_prompt_being_read_can_be_left_at_any_look(
    serving: Serving, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = threading.Event()
    turn = together_of(serving).turn
    monkeypatch.setattr(together_of(serving), "turn", lambda: (reading.wait(20), turn())[1])
    moderation = serving.stream("hello", mode=mode, max_new_tokens=5)
    until(moderation, "reading the conversation")
    assert [next(moderation).activity for _ in range(2)] == ["reading the conversation"] * 2
    moderation.close()  # type: ignore[attr-defined]
    reading.set()


def test_closing_ends_those_who_wait(moderator: Moderator) -> None:
    serving = Serving(moderator)
    moderation = serving.stream("hello", max_new_tokens=1500)
    until_written(moderation)
    serving.close()
    with pytest.raises(ServingClosed):
        list(moderation)
    with pytest.raises(ServingClosed):
        list(serving.stream("hello"))
    with pytest.raises(InputError, match="prompt: it is empty"):
        list(serving.stream(" "))


def test_an_engine_that_does_one_at_a_time_keeps_the_order_and_whose_call_it_is(
    moderator: Moderator,
) -> None:
    engine = ScriptedEngine(lambda _prompt, _i: answer("harmful"))
    guard = Moderator("scripted", engine, moderator.template, moderator.tokenizer)
    whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody")
    seen = []
    stream = guard.stream

    def told(*given: Any, **more: Any) -> Iterator[Progress]:
        seen.append(whose.get())
        yield from stream(*given, **{**more, "probabilities": False})

    guard.stream = told  # type: ignore[method-assign]
    serving = Serving(guard)
    assert serving.together is None

    def ask(name: str) -> Callable[[], Any]:
        def one() -> Any:
            whose.set(name)
            return asking(serving, name)()

        return lambda: contextvars.Context().run(one)

    found = all_at_once([ask(name) for name in "abc"])
    serving.close()
    assert all(one[-1].verdict.label("prompt_harmfulness") == "harmful" for one in found)
    assert sorted(seen) == ["a", "b", "c"]
    assert serving.moderations == serving.passes == 3
