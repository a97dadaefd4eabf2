"""Conversations plus an engine make verdicts. The live tab, the API and mining all come here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines import base_models
from pipelines.engines.base import Engine, OnEnded, Sampling
from pipelines.schema import GuardExample, GuardTask, GuardUIError, InputError, Verdict
from pipelines.settings import Settings
from pipelines.slots import Slots, blank_slots, written_slots
from pipelines.template import GuardTemplate, Tokenizer

if TYPE_CHECKING:
    from pipelines.together import Together

MIN_ANSWER_TOKENS = 64
Mode = Literal["reason", "fast"]
MODES: tuple[Mode, ...] = ("reason", "fast")
"""`reason` writes a trace and then the labels; `fast` weighs the labels without a trace."""


class InputTooLong(InputError):
    """The conversation leaves no room for an answer in the model's context."""

    code = "too_long"


@dataclass(frozen=True, slots=True)
class Progress:
    """A live moderation so far: the text written, and at the end the verdict."""

    text: str = ""
    verdict: Verdict | None = None
    tokens: int = 0
    seconds: float = 0.0
    activity: str = ""


def classify(
    examples: Sequence[GuardExample],
    engine: Engine,
    template: GuardTemplate,
    tokenizer: Tokenizer,
    sampling: Sampling,
    should_stop: Callable[[], bool] = lambda: False,
    on_ended: OnEnded = lambda _ended, _all: None,
    *,
    mode: Mode = "reason",
    probabilities: bool = False,
) -> list[list[Verdict]]:
    """N conversations -> N lists of `sampling.n` verdicts, generated as one batch.

    With `probabilities`, each verdict has that of the positive class of each task it labels. In
    `fast` mode nothing is drawn: each list has one verdict, made from its probabilities. A
    conversation that leaves no room for an answer gets verdicts with the error `too long` instead
    of stopping the others.
    """
    prompts = [template.prompt_text(example, tokenizer) for example in examples]
    fits = [
        engine.count_tokens(prompt) + MIN_ANSWER_TOKENS <= engine.context_length
        for prompt in prompts
    ]
    read = [e for e, fit in zip(examples, fits, strict=True) if fit]
    texts = [p for p, fit in zip(prompts, fits, strict=True) if fit]
    given: list[list[Verdict]] = []
    if read and mode == "fast":
        given = [[verdict] for verdict in _fast(read, texts, engine, template)]
    elif read:
        answers = engine.generate(texts, sampling, should_stop, on_ended)
        given = [
            [with_tokens(template.parse(a.text, example), a.tokens) for a in drawn]
            for example, drawn in zip(read, answers, strict=True)
        ]
        if probabilities:
            given = _weighed(given, texts, engine)
    too_long = Verdict({}, "", "", error="the conversation is too long for the model")
    rest = iter(given)
    number = 1 if mode == "fast" else sampling.n
    return [next(rest) if fit else [too_long] * number for fit in fits]


def _fast(
    examples: Sequence[GuardExample],
    prompts: Sequence[str],
    engine: Engine,
    template: GuardTemplate,
) -> list[Verdict]:
    """A verdict for each conversation from its labels' probabilities; 0.5 counts as positive."""
    slots = [blank_slots(template, example) for example in examples]
    return [weighed(template, found) for found in _probabilities(prompts, slots, engine)]


def weighed(template: GuardTemplate, found: Mapping[GuardTask, float]) -> Verdict:
    """The verdict of probabilities alone, its text as the template writes one without a trace."""
    labels = dict.fromkeys(GuardTask) | {
        task: task.labels[0] if share >= 0.5 else task.labels[1] for task, share in found.items()
    }
    return Verdict(labels, "", template.format_answer("", labels), probabilities=dict(found))


def _weighed(
    given: Sequence[Sequence[Verdict]], prompts: Sequence[str], engine: Engine
) -> list[list[Verdict]]:
    """The same verdicts with the probabilities of their labels, where they have any."""
    slots = [[written_slots(verdict) for verdict in drawn] for drawn in given]
    asked = [
        (prompt, one)
        for prompt, found in zip(prompts, slots, strict=True)
        for one in found
        if one is not None
    ]
    scored = iter(_probabilities([p for p, _ in asked], [one for _, one in asked], engine))
    return [
        [
            verdict if one is None else replace(verdict, probabilities=next(scored))
            for verdict, one in zip(drawn, found, strict=True)
        ]
        for drawn, found in zip(given, slots, strict=True)
    ]


def _probabilities(
    prompts: Sequence[str], slots: Sequence[Slots], engine: Engine
) -> list[dict[GuardTask, float]]:
    if not slots:
        return []
    texts = [list(one.continuations.values()) for one in slots]
    scores = engine.score(prompts, texts, [one.written for one in slots])
    return [one.probabilities(found) for one, found in zip(slots, scores, strict=True)]


def with_tokens(verdict: Verdict, tokens: int) -> Verdict:
    """The same verdict with the number of tokens that its text took."""
    return replace(verdict, tokens=tokens)


class Moderator:
    """A loaded moderator: an engine, and the template its adapter was trained with."""

    def __init__(
        self, name: str, engine: Engine, template: GuardTemplate, tokenizer: Tokenizer
    ) -> None:
        self.name, self.engine, self.template, self.tokenizer = name, engine, template, tokenizer

    def check(self, prompt: str, response: str | None = None) -> str:
        """The model input for a conversation. Raises InputError where it is empty or too long."""
        if not prompt.strip():
            raise InputError("prompt: it is empty; give the request to moderate")
        example = GuardExample(prompt, response or None)
        text = self.template.prompt_text(example, self.tokenizer)
        tokens, limit = self.engine.count_tokens(text), self.engine.context_length
        if tokens + MIN_ANSWER_TOKENS > limit:
            raise InputTooLong(
                f"prompt: the conversation takes {tokens:,} tokens; {self.name} reads "
                f"{limit - MIN_ANSWER_TOKENS:,} at most"
            )
        return text

    def stream(
        self,
        prompt: str,
        response: str | None = None,
        *,
        max_new_tokens: int = 1024,
        should_stop: Callable[[], bool] = lambda: False,
        probabilities: bool = False,
    ) -> Iterator[Progress]:
        """Moderates one conversation greedily, yielding as the reasoning is written.

        With `probabilities` the whole text is read once more at the end, to weigh its labels.
        """
        text = self.check(prompt, response)
        room = self.engine.context_length - self.engine.count_tokens(text)
        sampling = Sampling(max_new_tokens=min(max_new_tokens, room))
        start, written = time.perf_counter(), ""
        yield Progress(activity="reading the conversation")
        for piece in self.engine.stream(text, sampling, should_stop):
            written += piece
            if piece:
                yield Progress(
                    written, None, self.engine.count_tokens(written), time.perf_counter() - start
                )
        tokens = self.engine.count_tokens(written)
        verdict = self.template.parse(written, GuardExample(prompt, response or None))
        if probabilities and not should_stop():
            ((verdict,),) = _weighed([[verdict]], [text], self.engine)
        yield Progress(written, with_tokens(verdict, tokens), tokens, time.perf_counter() - start)

    def together(self) -> Together | None:
        """What moderates many conversations at once on this moderator's model; None where its
        engine can't, and then `stream` and `fast` are called for one after the other.

        Where a GPU is lent for each call, as on ZeroGPU, put functions of your own in the place of
        `stream` and `fast`, with the same parameters, and one that returns None in the place of
        this: `pipelines.serving` calls the two in the context (contextvars) of whoever asked.
        """
        from pipelines.engines.transformers import TransformersEngine
        from pipelines.together import Together

        if not isinstance(self.engine, TransformersEngine):
            return None
        unlike = [GuardExample("One"), GuardExample("two", "Three")]
        alike = [self.template.prompt_text(example, self.tokenizer) for example in unlike]
        rows = self.engine.rows(alike)
        return Together(self.engine, self.template, rows) if rows else None

    def fast(self, prompt: str, response: str | None = None) -> Verdict:
        """One conversation's verdict from the labels' probabilities, without any reasoning.

        Raises InputError where it is empty or too long.
        """
        text = self.check(prompt, response)
        example = GuardExample(prompt, response or None)
        return _fast([example], [text], self.engine, self.template)[0]


def open_moderator(
    ref: str | Path,
    settings: Settings,
    *,
    device: str = "cpu",
    progress: base_models.Progress | None = None,
) -> Moderator:
    """Loads the moderator of an adapter folder or Hub id, or a bare base model by its name.

    A bare base model gets the default template. Raises the errors of `base_models`.
    """
    from pipelines.engines.transformers import TransformersEngine

    dtype = "bfloat16" if base_models.fast_bf16(device) else "float32"
    report = progress or (lambda _what, _share: None)
    try:
        adapter = base_models.read_adapter(ref)
    except GuardUIError:
        if str(ref) not in base_models.demo_base.ALIASES:
            raise
        base = base_models.resolve_base(str(ref), settings, progress)
        report("loading the model", 0.0)
        tokenizer = base_models.load_tokenizer(base.path)
        model = base_models.load_model(base.path, device=device, dtype=dtype)
        template = GuardTemplate.default()
    else:
        report("loading the model", 0.0)
        tokenizer = base_models.load_tokenizer(adapter.path)
        model = base_models.load_adapter(adapter, device=device, dtype=dtype, progress=progress)
        template = (
            GuardTemplate.load(adapter.path) if adapter.has_template else GuardTemplate.default()
        )
        if not adapter.full:
            # Merged, a token takes one matrix product a layer instead of three.
            model = model.merge_and_unload()
    report("loading the model", 1.0)
    return Moderator(str(ref), TransformersEngine(model, tokenizer), template, tokenizer)
