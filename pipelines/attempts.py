"""What a teacher was asked and said, one line an attempt: the memory of a stopped synthesis."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request for one row. `output` is the training target, `reason` why there is none;
    `final` where asking again would not help."""

    row_id: str
    text: str = ""
    output: str = ""
    reason: str = ""
    detail: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    final: bool = False


@dataclass
class AttemptLog:
    """The attempts so far, in memory without their texts and on disk with them.

    A line is whole or it is not read: an attempt that was being written when the process was
    killed is asked again.
    """

    path: Path
    outputs: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    tried: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @classmethod
    def open(cls, path: Path) -> AttemptLog:
        """The log of this file, with what an earlier run left in it."""
        log = cls(path)
        for attempt in read_attempts(path):
            log._count(attempt)
        return log

    @property
    def count(self) -> int:
        """How many attempts there were."""
        return sum(self.tried.values())

    def settled(self, row_id: str, tries: int) -> bool:
        """Whether the row was kept, or needs not be asked about any more."""
        return row_id in self.closed or self.tried[row_id] >= tries

    def cost(self, price_in: float, price_out: float) -> float:
        """What all attempts cost together, at prices for a million tokens."""
        return (self.prompt_tokens * price_in + self.completion_tokens * price_out) / 1e6

    def add(self, attempt: Attempt) -> None:
        """Writes the attempt down; it was paid for, so it goes to the disk at once."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(attempt), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._count(attempt)

    def _count(self, attempt: Attempt) -> None:
        self.tried[attempt.row_id] += 1
        self.prompt_tokens += attempt.prompt_tokens
        self.completion_tokens += attempt.completion_tokens
        if attempt.final or not attempt.reason:
            self.closed.add(attempt.row_id)
        if attempt.reason:
            self.reasons[attempt.reason] += 1
        else:
            self.outputs[attempt.row_id] = attempt.output


def read_attempts(path: Path) -> Iterator[Attempt]:
    """The whole lines of the file; one that was torn at the end is cut off for good."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        for line in file:
            if not line.endswith(b"\n"):
                file.seek(-len(line), os.SEEK_END)
                file.truncate()
                return
            yield Attempt(**json.loads(line))
