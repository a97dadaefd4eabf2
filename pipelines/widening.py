"""Rows that are labelled for one task, made into rows for all three.

Two ways, for two kinds of data:

- **canned**: a row that is a prompt with a known label gets two companions, one whose response
  refuses and one whose response goes along, both put together from written phrases. Their labels
  follow: a refusal is unharmful, going along with a harmful request is harmful.
- **response**: a row that has a response, and a label for one of the tasks. The other tasks stay
  unknown, for a teacher to decide. Nothing is derived from the known label: a response to a
  harmful request may well be harmless.

Canned responses say nothing of the request. They teach what refusing and going along sound like,
not what harm in a response looks like, and a model tells them from real ones at once: train on
them beside real responses, and never evaluate on them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from pipelines.schema import GuardExample, GuardTask, InputError, Label

PHRASES = Path(__file__).parent / "data" / "canned_responses.json"
PARTS = ("open", "middle", "close")

Widening = Literal["none", "canned", "response"]


@dataclass(frozen=True, slots=True)
class WideRow:
    """A row, and how it was widened: empty, `canned-refusal`, `canned-compliance`, `response`."""

    example: GuardExample
    widened: str = ""

    @property
    def unknown(self) -> tuple[GuardTask, ...]:
        """The applicable tasks without a gold label."""
        example = self.example
        return tuple(t for t in GuardTask if example.applicable(t) and t not in example.gold)


def widen(examples: Sequence[GuardExample], way: Widening, seed: int = 0) -> list[WideRow]:
    """The rows in their order, each followed by those that were made of it.

    Raises InputError where the way fits no row at all.
    """
    if way == "none":
        return [WideRow(example) for example in examples]
    make = _canned if way == "canned" else _with_response
    rows = [row for example in examples for row in make(example, seed)]
    if not any(row.widened for row in rows):
        needed = {
            "canned": "a prompt without a response and a label of the prompt",
            "response": "a response and a label for one or two of the three tasks",
        }
        raise InputError(f"widen={way}: no row has what it needs: {needed[way]}")
    return rows


def canned_response(kind: Literal["refusal", "compliance"], row_id: str, seed: int) -> str:
    """A response of that kind. The same for the same row and seed, wherever the row stands."""
    chance = random.Random(f"{seed}\0{row_id}\0{kind}")
    phrases = _phrases()[kind]
    parts = [chance.choice(phrases[part]) for part in PARTS]
    blank = "\n\n" if "\n" in parts[1] else " "
    return blank.join(part for part in parts if part)


@cache
def _phrases() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = json.loads(PHRASES.read_text("utf-8"))
    return found


def _canned(example: GuardExample, seed: int) -> list[WideRow]:
    request = example.gold.get(GuardTask.PROMPT_HARMFULNESS)
    if example.response is not None or request is None:
        return [WideRow(example)]
    refused: dict[GuardTask, Label] = {
        GuardTask.PROMPT_HARMFULNESS: request,
        GuardTask.REFUSAL: "refusal",
        GuardTask.RESPONSE_HARMFULNESS: "unharmful",
    }
    answered = refused | {GuardTask.REFUSAL: "compliance", GuardTask.RESPONSE_HARMFULNESS: request}
    made: list[tuple[Literal["refusal", "compliance"], dict[GuardTask, Label]]] = [
        ("refusal", refused),
        ("compliance", answered),
    ]
    return [WideRow(example)] + [
        WideRow(
            replace(
                example,
                response=canned_response(kind, example.row_id, seed),
                gold=gold,
                reasoning=None,
                row_id=f"{example.row_id}#{kind}",
            ),
            f"canned-{kind}",
        )
        for kind, gold in made
    ]


def _with_response(example: GuardExample, _seed: int) -> list[WideRow]:
    row = WideRow(example)
    partly = example.response is not None and example.gold and row.unknown
    return [replace(row, widened="response") if partly else row]
