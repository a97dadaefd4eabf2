"""The live moderator: what it says while it loads and writes, and that it stops when left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from db.session import open_database
from guardui import live
from guardui.api import read_mode
from guardui.live import Live
from guardui.tabs.classify import moderate, reasoning_card
from pipelines.base_models import DEMO_BASE
from pipelines.classify import Progress
from pipelines.schema import GuardTask, InputError, ModelError, Verdict
from pipelines.settings import Settings

TRACE = "# Task 1\n## Reasoning Step 1: Look.\nIt is harmless."
REQUEST = GuardTask.PROMPT_HARMFULNESS
VERDICT = Verdict({REQUEST: "unharmful"}, TRACE, TRACE)


class Writer:
    """Stands for a loaded moderator that does one at a time; writes until it is told to stop."""

    def __init__(self, pieces: int) -> None:
        self.pieces, self.written, self.closed = pieces, 0, False

    def together(self) -> None:
        return None

    def check(self, prompt: str, response: str | None) -> str:
        return prompt

    def stream(
        self,
        prompt: str,
        response: str | None,
        *,
        max_new_tokens: int,
        should_stop: Callable[[], bool],
        probabilities: bool,
    ) -> Iterator[Progress]:
        try:
            while self.written < self.pieces and not should_stop():
                self.written += 1
                time.sleep(0.02)
                yield Progress(TRACE[: self.written], None, self.written, 0.02 * self.written)
            yield Progress(TRACE, VERDICT, self.written, 0.5)
        finally:
            self.closed = True


@pytest.fixture
def shared(home: Settings) -> Iterator[Live]:
    database = open_database(home.database_url)
    made = Live(database, home)
    yield made
    made.close()
    database.dispose()


def loading(monkeypatch: pytest.MonkeyPatch, result: Any, seconds: float = 0.5) -> list[str]:
    """Makes opening a moderator take so long and give this; returns what was opened."""
    opened: list[str] = []

    def open_it(ref: str, _settings: Settings, *, device: str, progress: Any) -> Any:
        opened.append(f"{ref} on {device}")
        progress("loading the model", 0.5)
        time.sleep(seconds)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(live, "open_moderator", open_it)
    monkeypatch.setattr(live, "detect_device", lambda: "cpu")
    return opened


def test_loading_is_said_then_the_text_then_the_verdict(
    shared: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = loading(monkeypatch, Writer(20))
    said = list(shared.stream("hello", None, DEMO_BASE))
    assert said[0].activity == "loading the model, 50%"
    assert said[-1].verdict == VERDICT
    texts = [progress.text for progress in said if progress.text and progress.verdict is None]
    assert 1 < len(texts) < 20, "redrawn at most ten times a second"
    assert opened == [f"{DEMO_BASE} on cpu"]


def test_a_moderator_is_loaded_once(shared: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = loading(monkeypatch, Writer(1), seconds=0)
    for _ in range(2):
        assert list(shared.stream("hello", None, DEMO_BASE))[-1].verdict == VERDICT
    assert len(opened) == 1


def test_a_model_that_cannot_be_loaded_says_why_and_frees_the_next(
    shared: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading(monkeypatch, ModelError("adapter=x: no safetensors"), seconds=0)
    with pytest.raises(ModelError, match="no safetensors"):
        list(shared.stream("hello", None, DEMO_BASE))
    loading(monkeypatch, Writer(1), seconds=0)
    assert list(shared.stream("hello", None, DEMO_BASE))[-1].verdict == VERDICT


def test_a_closed_tab_stops_the_writing(shared: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(10_000)
    loading(monkeypatch, writer, seconds=0)
    page = moderate(shared, "hello", None, DEMO_BASE)
    while writer.written == 0:
        next(page)
    page.close()  # what Gradio does when the visitor has gone
    shared.close()
    assert writer.closed
    assert writer.written < 100
    writer.pieces = writer.written + 20
    following = moderate(shared, "hello", None, DEMO_BASE)
    assert any("tokens" in str(card) for _, card, *_ in following), "the next visitor gets a turn"


def test_fast_mode_gives_a_verdict_without_a_trace(
    shared: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    weighed = Verdict(VERDICT.labels, "", "Answers:", probabilities={REQUEST: 0.02})

    class Weigher(Writer):
        def fast(self, prompt: str, response: str | None) -> Verdict:
            return weighed

    writer = Weigher(3)
    loading(monkeypatch, writer, seconds=0)
    pages = list(moderate(shared, "hello", None, DEMO_BASE, "fast"))
    assert writer.written == 0
    cards, card, *_ = pages[-1]
    assert "98% sure of unharmful" in cards.value  # type: ignore[attr-defined]
    assert "No reasoning" in str(card)
    with pytest.raises(InputError, match="mode=slow: must be one of reason, fast"):
        next(shared.stream("hello", None, DEMO_BASE, mode="slow"))  # type: ignore[arg-type]


def test_programs_may_still_say_reasoning() -> None:
    assert [read_mode(mode) for mode in ("reason", "fast", "reasoning")] == [
        "reason",
        "fast",
        "reason",
    ]
    with pytest.raises(InputError, match="mode=quick"):
        read_mode("quick")


def test_what_is_being_done_is_shown_until_there_is_text() -> None:
    assert "loading the model" in reasoning_card(Progress(activity="loading the model"))
    writing = reasoning_card(Progress(TRACE, None, 12, 3.0))
    assert "gu-writing" in writing
    assert "12 tokens, 3.0 s" in writing
    assert "gu-writing" not in reasoning_card(Progress(TRACE, VERDICT, 12, 3.0))


def test_an_unread_answer_is_shown_escaped_and_closed() -> None:
    verdict = Verdict({}, "", "", error="no answers block")
    card = reasoning_card(Progress("<img src=x>", verdict, 3, 1.0))
    assert "no answers block" in card
    assert "Fail-closed" in card
    assert "&lt;img src=x&gt;" in card[card.index("<details") :]
