"""Asking a moderator each conversation once, whatever is asked again of it, and after a stop on.

Benchmarks share conversations (the two of XSTest, the three of WildGuardTest), so answers are kept
by conversation and read as predictions of each benchmark's rows.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.classify import Mode, Moderator, classify, with_tokens
from pipelines.engines.base import OnEnded, Sampling
from pipelines.evaluations import Prediction
from pipelines.predictions import Rows
from pipelines.schema import GuardExample, GuardTask, StopRequested, Verdict

logger = logging.getLogger(__name__)

NO_LABEL = "the answer has no label for this task"


def conversation_key(example: GuardExample) -> str:
    """16 hex digits that tell a conversation from others, to the letter."""
    parts = json.dumps([example.prompt, example.response])
    return hashlib.blake2b(parts.encode(), digest_size=8).digest().hex()


def row_ids(examples: Sequence[GuardExample], task: GuardTask) -> list[str]:
    """An id a row that depends on its conversation, blanks aside, and its gold label alone.

    So the rows of a sample, or of a file of stored answers, have the ids of the benchmark's, in
    whatever order they stand: `8f0c…`, and `8f0c…-2` where such a row returns.
    """
    seen: Counter[str] = Counter()
    found = []
    for example in examples:
        words = (example.prompt, example.response or "", example.gold[task])
        parts = [" ".join(text.split()) for text in words]
        key = hashlib.blake2b("\0".join(parts).encode(), digest_size=6).digest().hex()
        seen[key] += 1
        found.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return found


def conversations(benchmarks: Sequence[Rows]) -> list[GuardExample]:
    """Each conversation of the benchmarks once, the longest first: like lengths stand together,
    so that little is padding, and what doesn't fit fails early."""
    once = {
        (example.prompt, example.response): example
        for one in benchmarks
        for example in one.examples
    }
    return sorted(once.values(), key=lambda e: -len(e.prompt) - len(e.response or ""))


@dataclass
class Answers:
    """What a moderator answered so far, by conversation; `seconds` is each one's share.

    `asked` says who was asked and how, and stands at the head of the file: answers of another
    moderator, or to another question, are put aside and not taken for this one's.
    """

    path: Path
    asked: Mapping[str, Any] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def ask(
        self,
        examples: Sequence[GuardExample],
        moderator: Moderator,
        *,
        mode: Mode,
        probabilities: bool,
        max_new_tokens: int,
        batch_size: int,
        seed: int,
        should_stop: Callable[[], bool],
        on_batch: Callable[[int], None],
        on_ended: OnEnded,
    ) -> None:
        """Answers the conversations that have no answer yet, greedily, and keeps each batch.

        `on_batch` hears how many are answered. Raises StopRequested between two batches.
        """
        self._read(examples, moderator)
        waiting = [one for one in examples if conversation_key(one) not in self.verdicts]
        sampling = Sampling(max_new_tokens=max_new_tokens, seed=seed)
        for start in range(0, len(waiting), batch_size):
            on_batch(len(self.verdicts))
            batch = waiting[start : start + batch_size]
            began = time.perf_counter()
            given = classify(
                batch,
                moderator.engine,
                moderator.template,
                moderator.tokenizer,
                sampling,
                should_stop,
                on_ended,
                mode=mode,
                probabilities=probabilities,
            )
            if should_stop():  # the batch may have been cut short
                raise StopRequested(
                    f"stopped after {len(self.verdicts):,} of {len(examples):,} conversations"
                )
            share = (time.perf_counter() - began) / len(batch)
            self._keep(batch, [one[0] for one in given], share)
        on_batch(len(self.verdicts))

    def _keep(
        self, batch: Sequence[GuardExample], verdicts: Sequence[Verdict], seconds: float
    ) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            if not file.tell():
                file.write(json.dumps({"asked": self.asked}) + "\n")
            for example, verdict in zip(batch, verdicts, strict=True):
                key = conversation_key(example)
                self.verdicts[key], self.seconds[key] = verdict, seconds
                row: dict[str, Any] = {
                    "conversation": key,
                    "raw": verdict.raw,
                    "error": verdict.error,
                    "tokens": verdict.tokens,
                    "seconds": round(seconds, 4),
                    "probabilities": {t.value: p for t, p in verdict.probabilities.items()},
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def _read(self, examples: Sequence[GuardExample], moderator: Moderator) -> None:
        """What an earlier attempt kept."""
        if not self.path.is_file():
            return
        by_key = {conversation_key(example): example for example in examples}
        whole, _, torn = self.path.read_bytes().rpartition(b"\n")
        if torn:  # the attempt was killed in the middle of this line
            self.path.write_bytes(whole + b"\n" if whole else b"")
        lines = whole.decode("utf-8").split("\n") if whole else []
        if lines and json.loads(lines[0]) != {"asked": dict(self.asked)}:
            logger.warning("%s: answers to another question, put aside", self.path.name)
            self.path.replace(self.path.with_suffix(".other"))
            return
        for line in lines[1:]:
            row = json.loads(line)
            example = by_key.get(row["conversation"])
            if example is None:
                continue
            if row["raw"]:
                verdict = with_tokens(moderator.template.parse(row["raw"], example), row["tokens"])
            else:
                verdict = Verdict({}, "", "", error=row["error"] or NO_LABEL)
            shares = {GuardTask(task): share for task, share in row["probabilities"].items()}
            key = row["conversation"]
            self.verdicts[key] = replace(verdict, probabilities=shares)
            self.seconds[key] = row["seconds"]

    def predictions(self, benchmarks: Sequence[Rows]) -> Iterator[Prediction]:
        """What the answers say of the rows of each benchmark, in their order."""
        for one in benchmarks:
            for example in one.examples:
                key = conversation_key(example)
                yield prediction(one, example, self.verdicts[key], self.seconds[key])


def prediction(rows: Rows, example: GuardExample, verdict: Verdict, seconds: float) -> Prediction:
    """A verdict on a row, on the task of its benchmark."""
    label = verdict.label(rows.task)
    return Prediction(
        benchmark=rows.benchmark,
        task=rows.task,
        row_id=example.row_id,
        prompt=example.prompt,
        response=example.response,
        gold=example.gold[rows.task],
        predicted=label,
        error="" if label else verdict.error or NO_LABEL,
        raw=verdict.raw,
        probability=verdict.probabilities.get(rows.task),
        tokens=verdict.tokens,
        seconds=seconds,
        category=example.category,
        source=example.source,
    )
