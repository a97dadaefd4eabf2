"""A trace as statements: one sentence or line each, with the task that it stands under."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.schema import GuardExample, GuardTask
from pipelines.template import GuardTemplate
from pipelines.trace_words import words

LONGEST = 60
"""Words of a statement; a longer one is cut into such pieces, so that a loop without a full stop
is seen as what it is."""
MAX_CHARACTERS = 200_000

_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
_DIGITS = re.compile(r"\d+")
_SPEAKS_OF = {
    GuardTask.PROMPT_HARMFULNESS: re.compile(r"\b(?:request|user|prompt|question)", re.I),
    GuardTask.REFUSAL: re.compile(r"\b(?:refus|compl[iy])", re.I),
    GuardTask.RESPONSE_HARMFULNESS: re.compile(r"\b(?:response|assistant|answer|repl)", re.I),
}
_SECTIONS = dict(zip(("Request", "Refusal", "Response"), GuardTask, strict=True))
# Reads outputs of any template: the layout of answers is the same for all.
_READER = GuardTemplate.default()


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence. `task` is that of its section, None outside the three; `repeated` says that
    the trace had it before."""

    text: str
    words: list[str]
    task: GuardTask | None
    repeated: bool

    def speaks_of(self, task: GuardTask) -> bool:
        return bool(_SPEAKS_OF[task].search(self.text))


def read_statements(raw: str, example: GuardExample) -> list[Statement]:
    """The statements of an output, its answers left out. Only the first 200,000 characters and
    the last 2,000 are read of one that is longer: no real trace is."""
    raw = raw.strip()
    if len(raw) > MAX_CHARACTERS + 2_000:
        raw = f"{raw[:MAX_CHARACTERS]}\n{raw[-2_000:]}"
    found: list[Statement] = []
    seen: set[object] = set()
    for title, steps in _READER.steps(raw):
        task = _SECTIONS.get(title)
        # Of a response that isn't there, two tasks can only say the same.
        place = None if task is None or example.applicable(task) else task
        for step in steps:
            for sentence in _ENDS.split(step):
                for text, piece in _pieces(sentence):
                    plain = (w if w.isalpha() else _DIGITS.sub("", w) for w in piece)
                    key = (place, *plain)
                    loops = len(piece) > 20 and len(set(piece)) * 4 < len(piece)
                    found.append(Statement(text, piece, task, loops or key in seen))
                    seen.add(key)
    return found


def _pieces(sentence: str) -> list[tuple[str, list[str]]]:
    every = words(sentence)
    if len(every) <= LONGEST:
        return [(sentence.strip()[:1000], every)] if every else []
    pieces = [every[i : i + LONGEST] for i in range(0, len(every), LONGEST)]
    return [(" ".join(piece)[:1000], piece) for piece in pieces]
