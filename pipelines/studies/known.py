"""Items with a known answer: those that people practise on, and those that show who reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.dataset_files import Faults, Record, data_files, read_records
from pipelines.dataset_formats import RowError, check_storable
from pipelines.reasoning_quality import score_trace
from pipelines.schema import GuardExample, Verdict
from pipelines.studies.arms import Row
from pipelines.studies.artifact import Item, ItemKind, Pair, Trace
from pipelines.template import GuardTemplate

PRACTICE = Path(__file__).parents[1] / "data" / "practice.jsonl"
DONORS_LOOKED_AT = 12
LONGEST_TOPIC = 100
_READER = GuardTemplate.default()


def conversation(example: GuardExample) -> dict[str, Any]:
    """The fields of an item that are about its conversation."""
    return {
        "prompt": _plain(example.prompt),
        "response": None if example.response is None else _plain(example.response),
        "source": _plain(example.source)[:200],
        "row_id": _plain(example.row_id)[:200],
        "topic": _plain(example.category)[:LONGEST_TOPIC],
    }


def trace(arm: int, verdict: Verdict, example: GuardExample, right: bool | None = None) -> Trace:
    """What an arm wrote, with its automatic score and its length."""
    return Trace(
        arm=arm,
        text=_plain(verdict.raw),
        verdicts={task.value: label for task, label in verdict.labels.items()},
        right=right,
        quality=round(score_trace(verdict, example).total, 4),
        words=len(verdict.raw.split()),
        error=_plain(verdict.error or ""),
    )


def _plain(text: str) -> str:
    """The text without what a database refuses: NUL, and half a character."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def attention_items(
    rows: Sequence[Row], donors: Sequence[Row], count: int, seed: int
) -> list[Item]:
    """So many items, at most one a row, of which one trace is about another conversation.

    The real one is better, whoever wrote it. The other is the same arm's, of a donor of the same
    form; of some by lot, the one that has the least to do with this conversation.
    """
    lot = random.Random(f"{seed}:attention")
    items: list[Item] = []
    for row in lot.sample(list(rows), len(rows)):
        if len(items) == count:
            break
        arm = lot.randrange(len(row.verdicts))
        others = [
            one
            for one in donors
            if (one.example.response is None) == (row.example.response is None)
            and one.example.prompt != row.example.prompt
        ]
        looked_at = lot.sample(others, min(len(others), DONORS_LOOKED_AT))
        if looked_at:
            foreign = min(looked_at, key=lambda one: _relevance(one.verdicts[arm], row.example))
            items.append(
                _known(
                    "attention",
                    row.example,
                    row.verdicts[arm],
                    foreign.verdicts[arm],
                    expected=lot.randrange(2),
                )
            )
    return items


def _relevance(verdict: Verdict, example: GuardExample) -> float:
    return score_trace(verdict, example).relevance


def _known(
    kind: ItemKind,
    example: GuardExample,
    better: Verdict,
    worse: Verdict,
    *,
    expected: int,
    feedback: str = "",
) -> Item:
    """An item with a known answer; `expected` is the place of the better trace, 0 or 1."""
    traces = [trace(expected, better, example), trace(1 - expected, worse, example)]
    return Item(
        kind=kind,
        **conversation(example),
        traces=sorted(traces, key=lambda one: one.arm),
        pairs=[Pair(first_arm=0, second_arm=1)],
        expected_arm=expected,
        feedback=feedback,
    )


def known_items(path: Path | str, kind: ItemKind) -> list[Item]:
    """Practice or attention items of a file: rows of `prompt`, `response` (or none), `better`,
    `worse`, `feedback` and `topic`; the better trace stands first and second by turns.

    Raises DataError with every `file:row: field: what`.
    """
    path = Path(path).expanduser()
    faults, items = Faults(), list[Item]()
    for file in data_files(path):
        for record in read_records(file, file.name, faults):
            try:
                items.append(_known_item(record, kind, len(items) % 2))
            except RowError as error:
                faults.add(record.file, record.row, error.name, error.what)
    if not items and not faults.count:
        faults.add(path.name, None, "file", "has no rows")
    faults.raise_any(str(path))
    return items


def _known_item(record: Record, kind: ItemKind, expected: int) -> Item:
    texts = {}
    for name in ("prompt", "better", "worse", "response", "feedback", "topic"):
        text = record.values.get(name)
        if name in ("prompt", "better", "worse") and not (isinstance(text, str) and text.strip()):
            raise RowError(name, "must be a text that is not empty")
        if text is not None and not isinstance(text, str):
            raise RowError(name, "must be a text")
        check_storable(text or "", name)
        texts[name] = text or ""
    if kind == "practice" and not texts["feedback"].strip():
        raise RowError("feedback", "is missing: say why one trace is better")
    example = GuardExample(
        texts["prompt"],
        texts["response"] if texts["response"].strip() else None,
        source=record.file,
        row_id=f"{record.file}:{record.row}",
        category=texts["topic"],
    )
    better, worse = (_READER.parse(texts[name], example) for name in ("better", "worse"))
    return _known(kind, example, better, worse, expected=expected, feedback=texts["feedback"])
