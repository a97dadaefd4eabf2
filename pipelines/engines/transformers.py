"""Generation with transformers, on a CPU or a GPU."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipelines.base_models import stop_tokens
from pipelines.engines.base import Answer, Sampling

logger = logging.getLogger(__name__)

# A static cache compiles once (about 35 s on an H200) and then generates 6 times as fast.
STATIC_CACHE_FROM = 1024
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

    def generate(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        should_stop: Callable[[], bool] = NEVER,
    ) -> list[list[Answer]]:
        import torch

        with self._lock, torch.inference_mode():
            torch.manual_seed(sampling.seed)
            rows = [prompt for prompt in prompts for _ in range(sampling.n)]
            answers = self._generate(rows, sampling, should_stop)
        return [answers[i : i + sampling.n] for i in range(0, len(answers), sampling.n)]

    def _generate(
        self, rows: list[str], sampling: Sampling, should_stop: Callable[[], bool]
    ) -> list[Answer]:
        """One answer a row; a batch that doesn't fit in the GPU's memory is done in halves."""
        import torch

        inputs = self._encode(rows)
        try:
            output = self.model.generate(
                **inputs, **self._options(sampling, should_stop, rows=len(rows))
            )
        except torch.cuda.OutOfMemoryError:
            if len(rows) == 1:
                raise
        else:
            written = output[:, inputs["input_ids"].shape[1] :].tolist()
            return [self._answer(tokens) for tokens in written]
        # Outside the handler: while it ran, the traceback kept the batch's memory in use.
        torch.cuda.empty_cache()
        half = len(rows) // 2
        logger.info("%d rows do not fit in memory: %d at once", len(rows), half)
        return [
            answer
            for part in (rows[:half], rows[half:])
            for answer in self._generate(part, sampling, should_stop)
        ]

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
                        **self._encode([prompt]),
                        **self._options(sampling, lambda: closed.is_set() or should_stop(), rows=1),
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

    def _encode(self, prompts: list[str]) -> dict[str, Any]:
        """Token ids (P, T) with their mask, left-padded, on the model's device."""
        encoded = self.tokenizer(
            prompts, return_tensors="pt", padding=True, add_special_tokens=False
        )
        return {
            "input_ids": encoded["input_ids"].to(self.model.device),
            "attention_mask": encoded["attention_mask"].to(self.model.device),
        }

    def _options(
        self, sampling: Sampling, should_stop: Callable[[], bool], rows: int
    ) -> dict[str, Any]:
        from transformers import GenerationConfig, StoppingCriteriaList

        draw = (
            {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
            if sampling.temperature > 0
            else {"do_sample": False}
        )
        static = self.model.device.type == "cuda" and rows >= STATIC_CACHE_FROM
        config = GenerationConfig(
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=self.stop_ids,
            pad_token_id=self.tokenizer.pad_token_id,
            top_k=0 if sampling.temperature > 0 else None,
            cache_implementation="static" if static else None,
            **draw,
        )

        def stop(input_ids: Any, _scores: Any, **_kwargs: Any) -> Any:
            import torch

            return torch.full((len(input_ids),), should_stop(), device=input_ids.device)

        return {"generation_config": config, "stopping_criteria": StoppingCriteriaList([stop])}

    def _answer(self, tokens: list[int]) -> Answer:
        ends = [tokens.index(stop) for stop in self.stop_ids if stop in tokens]
        length = min(ends, default=len(tokens))
        text = self.tokenizer.decode(tokens[:length], skip_special_tokens=True)
        return Answer(text, length, bool(ends))
