"""Conversations plus an engine make verdicts. The live tab, the API and mining all come here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines import base_models
from pipelines.engines.base import Engine, OnEnded, Sampling
from pipelines.schema import GuardExample, GuardUIError, InputError, Verdict
from pipelines.settings import Settings
from pipelines.template import GuardTemplate, Tokenizer

MIN_ANSWER_TOKENS = 64


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
) -> list[list[Verdict]]:
    """N conversations -> N lists of `sampling.n` verdicts, generated as one batch.

    A conversation that leaves no room for an answer gets verdicts with the error `too long`
    instead of stopping the others.
    """
    prompts = [template.prompt_text(example, tokenizer) for example in examples]
    fits = [
        engine.count_tokens(prompt) + MIN_ANSWER_TOKENS <= engine.context_length
        for prompt in prompts
    ]
    answered = iter(
        engine.generate(
            [p for p, fit in zip(prompts, fits, strict=True) if fit],
            sampling,
            should_stop,
            on_ended,
        )
        if any(fits)
        else []
    )
    results: list[list[Verdict]] = []
    for example, fit in zip(examples, fits, strict=True):
        if not fit:
            too_long = Verdict({}, "", "", error="the conversation is too long for the model")
            results.append([too_long] * sampling.n)
            continue
        results.append(
            [with_tokens(template.parse(a.text, example), a.tokens) for a in next(answered)]
        )
    return results


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
    ) -> Iterator[Progress]:
        """Moderates one conversation greedily, yielding as the reasoning is written."""
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
        yield Progress(written, with_tokens(verdict, tokens), tokens, time.perf_counter() - start)


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
