"""Generation with transformers, on a CPU or a GPU."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipelines.base_models import stop_tokens
from pipelines.engines import scoring
from pipelines.engines.base import Answer, OnEnded, Sampling
from pipelines.engines.rows import Rows
from pipelines.schema import InputError

logger = logging.getLogger(__name__)

ROUND = 384
NEVER: Callable[[], bool] = lambda: False  # noqa: E731


class TransformersEngine:
    """Wraps a loaded model and its tokenizer; one call at a time."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.stop_ids = stop_tokens(model, tokenizer)
        self.context_length = int(model.config.get_text_config().max_position_embeddings)
        self._lock = threading.Lock()

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def tokens(self, text: str) -> list[int]:
        return self._tokens([text])[0]

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def rows(self, alike: Sequence[str] = ()) -> Rows | None:
        """Rows to read and write many texts together, which may come and go at any time; None for
        a model that needs masks of its own kind. What the texts `alike` begin with is read once.

        Rows and the other methods must not run at the same time.
        """
        if not scoring.can_pack(self.model.config):
            return None
        first, *others = self._tokens(alike) if alike else [[]]
        same = min((scoring.alike(first, other) for other in others), default=0)
        return Rows(self.model, self.stop_ids, self.tokenizer.pad_token_id, first[:same])

    def generate(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        should_stop: Callable[[], bool] = NEVER,
        on_ended: OnEnded = lambda _ended, _all: None,
    ) -> list[list[Answer]]:
        import torch

        written: list[list[int]] = [[] for _ in range(len(prompts) * sampling.n)]
        with self._lock, torch.inference_mode():
            torch.manual_seed(sampling.seed)
            given = [ids for ids in self._tokens(prompts) for _ in range(sampling.n)]
            pending = list(range(len(given)))
            # A batch takes as long as its longest answer. Most end early, so they are written in
            # rounds, and each round goes on with the unended ones alone.
            for start in range(0, sampling.max_new_tokens, ROUND):
                length = min(ROUND, sampling.max_new_tokens - start)
                rows = [given[row] + written[row] for row in pending]
                for row, more in zip(
                    list(pending), self._round(rows, length, sampling, should_stop), strict=True
                ):
                    written[row] += more
                pending = [row for row in pending if written[row][-1] not in self.stop_ids]
                on_ended(len(given) - len(pending), len(given))
                if not pending or should_stop():
                    break
        answers = [self._answer(tokens) for tokens in written]
        return [answers[i : i + sampling.n] for i in range(0, len(answers), sampling.n)]

    def _round(
        self,
        rows: list[list[int]],
        length: int,
        sampling: Sampling,
        should_stop: Callable[[], bool],
    ) -> list[list[int]]:
        """Up to `length` more tokens for each row, cut after a stop token.

        A batch that doesn't fit in the GPU's memory is done in halves.
        """
        import torch

        inputs = self._pad(rows)
        try:
            output = self.model.generate(**inputs, **self._options(sampling, length, should_stop))
        except torch.cuda.OutOfMemoryError:
            if len(rows) == 1:
                raise
        else:
            return [self._cut(row) for row in output[:, inputs["input_ids"].shape[1] :].tolist()]
        # Outside the handler: while it ran, the traceback kept the batch's memory in use.
        torch.cuda.empty_cache()
        half = len(rows) // 2
        logger.info("%d rows do not fit in memory: %d at once", len(rows), half)
        return [
            row
            for part in (rows[:half], rows[half:])
            for row in self._round(part, length, sampling, should_stop)
        ]

    def _cut(self, tokens: list[int]) -> list[int]:
        """The tokens up to and with the first stop token; what follows is padding."""
        ends = [tokens.index(stop) + 1 for stop in self.stop_ids if stop in tokens]
        return tokens[: min(ends, default=len(tokens))]

    def stream(
        self, prompt: str, sampling: Sampling, should_stop: Callable[[], bool] = NEVER
    ) -> Iterator[str]:
        import torch
        from transformers import TextIteratorStreamer

        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        closed = threading.Event()
        failure: list[BaseException] = []

        def work() -> None:
            try:
                with self._lock, torch.inference_mode():
                    torch.manual_seed(sampling.seed)
                    self.model.generate(
                        **self._pad(self._tokens([prompt])),
                        **self._options(
                            sampling,
                            sampling.max_new_tokens,
                            lambda: closed.is_set() or should_stop(),
                        ),
                        streamer=streamer,
                    )
            except BaseException as error:  # noqa: BLE001  handed to the reader below
                failure.append(error)
                streamer.end()

        thread = threading.Thread(target=work, name="generation", daemon=True)
        thread.start()
        try:
            yield from streamer
        finally:
            # The reader may have gone (a closed tab); the model must not write on for nobody.
            closed.set()
            thread.join()
        if failure:
            raise failure[0]

    def score(
        self,
        prompts: Sequence[str],
        continuations: Sequence[Sequence[str]],
        written: Sequence[str] = (),
    ) -> list[list[float]]:
        """See `Engine.score`. One forward pass reads a prompt with all its continuations."""
        import torch

        if not prompts:
            return []
        trees = []
        told = written or [""] * len(prompts)
        for prompt, so_far, texts in zip(self._tokens(prompts), told, continuations, strict=True):
            trees.append(self.tree(prompt, so_far, texts))
            if not trees[-1].prefix:
                raise InputError(f"prompts[{len(trees) - 1}]: it is empty; give a text to go on")
        with self._lock, torch.inference_mode():
            if scoring.can_pack(self.model.config):
                return [
                    row for part in scoring.parts(trees) for row in self._scores(part, packed=True)
                ]
            alone = iter(self._scores([one for t in trees for one in t.split()], packed=False))
            return [[next(alone)[0] for _ in tree.lasts] for tree in trees]

    def tree(self, prompt: Sequence[int], written: str, texts: Sequence[str]) -> scoring.Tree:
        """The texts that may go on behind a prompt's tokens and what was written after them."""
        first, *wholes = self._tokens([written, *(written + text for text in texts)])
        return scoring.grow(prompt, first, wholes, [not text.endswith("\n") for text in texts])

    def _scores(self, trees: list[scoring.Tree], *, packed: bool) -> list[list[float]]:
        """The scores of each tree; a batch that doesn't fit in the GPU's memory is halved."""
        import torch

        given = scoring.pack(trees, self.tokenizer.pad_token_id, packed=packed)
        kept = 1 + max(len(tree.tokens) for tree in trees)
        try:
            inputs = {name: values.to(self.model.device) for name, values in given.items()}
            logits = self.model(**inputs, use_cache=False, logits_to_keep=kept).logits
            return [
                scoring.read(tree, row[-kept:], self.stop_ids)
                for tree, row in zip(trees, logits, strict=True)
            ]
        except torch.cuda.OutOfMemoryError:
            if len(trees) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(trees) // 2
        logger.info("%d texts do not fit in memory: %d at once", len(trees), half)
        return self._scores(trees[:half], packed=packed) + self._scores(trees[half:], packed=packed)

    def _tokens(self, prompts: Sequence[str]) -> list[list[int]]:
        encoded = self.tokenizer(list(prompts), add_special_tokens=False)
        return [list(ids) for ids in encoded["input_ids"]]

    def _pad(self, rows: list[list[int]]) -> dict[str, Any]:
        """Token ids (B, T) with their mask, left-padded, on the model's device."""
        padded = self.tokenizer.pad({"input_ids": rows}, padding=True, return_tensors="pt")
        device = self.model.device
        return {
            "input_ids": padded["input_ids"].to(device),
            "attention_mask": padded["attention_mask"].to(device),
        }

    def _options(
        self, sampling: Sampling, length: int, should_stop: Callable[[], bool]
    ) -> dict[str, Any]:
        from transformers import GenerationConfig, StoppingCriteriaList

        draw: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            draw = {
                "do_sample": True,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": 0,
            }
        config = GenerationConfig(
            max_new_tokens=length,
            eos_token_id=self.stop_ids,
            pad_token_id=self.tokenizer.pad_token_id,
            **draw,
        )

        def stop(input_ids: Any, _scores: Any, **_kwargs: Any) -> Any:
            import torch

            return torch.full((len(input_ids),), should_stop(), device=input_ids.device)

        return {"generation_config": config, "stopping_criteria": StoppingCriteriaList([stop])}

    def _answer(self, tokens: list[int]) -> Answer:
        ended = bool(tokens) and tokens[-1] in self.stop_ids
        text = self.decode(tokens[:-1] if ended else tokens)
        return Answer(text, len(tokens) - ended, ended)
