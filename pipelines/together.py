"""Conversations that one model moderates at once, each at its own point of reading and writing.

Between any two passes of the model conversations may come and go. Nothing here waits or starts a
thread: `pipelines.serving` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipelines.classify import weighed
from pipelines.engines.base import Sampling
from pipelines.engines.rows import Row, Rows
from pipelines.schema import GuardExample, GuardUIError, Verdict
from pipelines.slots import Slots, blank_slots, written_slots
from pipelines.template import GuardTemplate

if TYPE_CHECKING:
    from pipelines.engines.transformers import TransformersEngine

logger = logging.getLogger(__name__)

# Rows of (traces, weighings without one) and tokens read in one pass. Small ones on a CPU: while a
# pass goes on, nobody's text grows.
LIMITS = {"cpu": (16, 8, 512), "cuda": (64, 64, 8192)}


class Unfit(GuardUIError):
    """The model could not moderate this conversation; the log knows why."""

    code = "model"


@dataclass(slots=True, eq=False)
class Conversation:
    """A conversation under moderation; without `writes`, its labels are weighed at once.

    `text` and `tokens` grow while it is written; at the end there is a `verdict` or an `error`.
    """

    example: GuardExample
    prompt: list[int]
    writes: bool
    most: int
    row: Row = field(default_factory=lambda: Row([]))
    text: str = ""
    tokens: int = 0
    verdict: Verdict | None = None
    error: Exception | None = None
    slots: Slots | None = None
    shown: int = 0

    @property
    def ended(self) -> bool:
        return self.verdict is not None or self.error is not None

    @property
    def written(self) -> list[int]:
        return self.row.ids[len(self.prompt) :]


class Together:
    """Moderates any number of conversations, so many at once as there is room for."""

    def __init__(self, engine: TransformersEngine, template: GuardTemplate, rows: Rows) -> None:
        self.engine, self.template, self.rows = engine, template, rows
        kind = "cpu" if engine.model.device.type == "cpu" else "cuda"
        self.traces, self.weighings, self.most_read = LIMITS[kind]
        self.running: list[Conversation] = []
        self._set_back: list[Conversation] = []

    def conversation(
        self, text: str, example: GuardExample, *, writes: bool, sampling: Sampling
    ) -> Conversation:
        """What `add` takes, from a model input. May be called from any thread."""
        prompt = self.engine.tokens(text)
        made = Conversation(example, prompt, writes, sampling.max_new_tokens)
        if writes:
            made.row = Row(list(prompt))
        else:
            made.slots = blank_slots(self.template, example)
            self._weigh(made)
        return made

    def room(self, *, writes: bool) -> int:
        """How many conversations of this kind `add` may take now."""
        if self._set_back:
            return 0
        taken = sum(one.writes == writes for one in self.running)
        return max((self.traces if writes else self.weighings) - taken, 0)

    def add(self, conversation: Conversation) -> None:
        """Takes a conversation in; the next `turn` begins to read it."""
        self.running.append(conversation)
        try:
            self.rows.join(conversation.row)
        except Exception as error:  # noqa: BLE001 - this one's alone
            self._failed([conversation], error)

    def drop(self, conversation: Conversation) -> None:
        """Forgets a conversation, ended or not."""
        if conversation in self._set_back:
            self._set_back.remove(conversation)
        if conversation in self.running:
            self.running.remove(conversation)
            if conversation.row in self.rows.rows:
                self.rows.leave(conversation.row)

    def clear(self) -> None:
        """Forgets all conversations and what was read of them."""
        self.running, self._set_back = [], []
        self.rows.clear()

    @property
    def idle(self) -> bool:
        return not self.running and not self._set_back

    def turn(self) -> list[Conversation]:
        """Weighs and reads for a while, then writes one token of each text. Gives those that have
        ended, which are forgotten."""
        while self._set_back and len(self.running) < self.traces:
            self.add(self._set_back.pop(0))
        self._pass(self._read, [one for one in self.running if one.row.tree])
        self._pass(self._read, [one for one in self.running if not one.row.tree])
        self._pass(self.rows.step, [one for one in self.running if _writing(one)])
        for one in self.running:
            try:
                self._advance(one)
            except Exception as error:  # noqa: BLE001 - this one's alone
                one.error = _named(error)
        ended = [one for one in self.running if one.ended]
        for one in ended:
            self.drop(one)
        return ended

    def _read(self, rows: Sequence[Row]) -> None:
        self.rows.read([row for row in rows if row.must_read], self.most_read)

    def _pass(self, work: Callable[[Sequence[Row]], None], group: list[Conversation]) -> None:
        group = [one for one in group if not one.ended]
        if not group:
            return
        try:
            work([one.row for one in group])
        except Exception as error:  # noqa: BLE001 - one conversation's must not end the others
            self._failed(group, error, work)

    def _failed(
        self,
        group: list[Conversation],
        error: Exception,
        work: Callable[[Sequence[Row]], None] | None = None,
    ) -> None:
        """Out of memory: all begin again, half as many at once. Else halves find whose it is."""
        if _out_of_memory(error) and len(self.running) > 1:
            self._begin_again()
        elif len(group) > 1 and work:
            half = len(group) // 2
            self._pass(work, group[:half])
            self._pass(work, group[half:])
        else:
            for one in group:
                logger.error("A conversation could not be moderated", exc_info=error)
                one.error = _named(error)

    def _begin_again(self) -> None:
        import torch

        half = max(len(self.running) // 2, 1)
        logger.info("%d conversations do not fit in memory: %d at once", len(self.running), half)
        self.traces, self.weighings = min(self.traces, half), min(self.weighings, half)
        self.most_read = max(self.most_read // 2, 64)
        self.rows.clear()
        # What is written stays: it is read again behind its prompt.
        self._set_back = [one for one in self.running if not one.ended] + self._set_back
        self.running = [one for one in self.running if one.ended]
        torch.cuda.empty_cache()

    def _advance(self, one: Conversation) -> None:
        if one.row.tree:
            if one.row.scores is not None and one.slots:
                found = one.slots.probabilities(one.row.scores)
                if one.writes:
                    one.verdict = replace(self._parsed(one), probabilities=found)
                else:
                    one.verdict = weighed(self.template, found)
                    one.text = one.verdict.raw
            return
        written = one.written
        if len(written) == one.tokens:
            return
        stopped = written[-1] in self.rows.stop_ids
        one.tokens = len(written) - stopped
        if not stopped and len(written) < one.most:
            self._show(one, written)
            return
        one.text = self.engine.decode(written[: one.tokens])
        verdict = self._parsed(one)
        one.slots = written_slots(verdict)
        if one.slots:
            self._weigh(one)
        else:
            one.verdict = verdict

    def _parsed(self, one: Conversation) -> Verdict:
        return replace(self.template.parse(one.text, one.example), tokens=one.tokens)

    def _weigh(self, one: Conversation) -> None:
        assert one.slots
        texts = list(one.slots.continuations.values())
        one.row.weigh(self.engine.tree(one.prompt, one.slots.written, texts))

    def _show(self, one: Conversation, written: list[int]) -> None:
        """Adds to the text what the last tokens say, once no character of it is cut in two.

        Decoded with the tokens before, since a token's blank depends on its neighbour.
        """
        before = self.engine.decode(written[max(one.shown - 4, 0) : one.shown])
        after = self.engine.decode(written[max(one.shown - 4, 0) :])
        if not after.endswith("\ufffd"):
            one.text += after[len(before) :]
            one.shown = len(written)


def _writing(one: Conversation) -> bool:
    return not one.row.tree and not one.row.must_read


def _named(error: Exception) -> Exception:
    if isinstance(error, GuardUIError):
        return error
    if _out_of_memory(error):
        return Unfit("There was not enough memory to moderate this conversation.")
    return Unfit("The model failed at this conversation. The server's log has the details.")


def _out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError)
