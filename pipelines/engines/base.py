"""What every engine offers: prompts in, generations out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn. Temperature 0 is greedy; `n` answers are drawn for each prompt."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 1024
    n: int = 1
    seed: int = 0


OnEnded = Callable[[int, int], None]
"""Called as (answers that have ended, answers of the batch) while a batch is generated."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A generated text without its end token. `ended` is False where it hit the length limit."""

    text: str
    tokens: int
    ended: bool


class Engine(Protocol):
    """Runs one model on whole model inputs, as `GuardTemplate.prompt_text` writes them."""

    context_length: int
    """Most tokens that prompt and answer may have together."""

    def count_tokens(self, text: str) -> int: ...

    def generate(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        should_stop: Callable[[], bool] = lambda: False,
        on_ended: OnEnded = lambda _ended, _all: None,
    ) -> list[list[Answer]]:
        """P prompts -> P lists of `sampling.n` answers, in the prompts' order.

        Answers that `should_stop` cut off come back unended. `on_ended` hears now and then how
        many have ended; an engine that can't tell doesn't call it.
        """

    def stream(
        self, prompt: str, sampling: Sampling, should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[str]:
        """Pieces of one answer as they are written."""

    def score(
        self,
        prompts: Sequence[str],
        continuations: Sequence[Sequence[str]],
        written: Sequence[str] = (),
    ) -> list[list[float]]:
        """log P(continuation | prompt, what was written so far), in nats, as (P, C) lists.

        P prompts as `generate` takes them, C texts for each (C may differ), and for each the text
        that the model has already written, none where `written` is empty. Prompt and answer are
        tokenised apart, written text and continuation together, as generation has them. Every
        token counts, and so does the end: a continuation that doesn't close with a line break is
        followed by the model's end token. Where a written blank becomes part of a label's first
        token, it is scored with all of a prompt's continuations alike. Raises EndpointError where
        an engine can't score.
        """
