"""Rows of the benchmarks in their datasets' own Hub columns, each as a GuardExample.

All are pure: `row -> GuardExample`, or None for a row that the benchmark leaves out (it has no
label of the task, or no person annotated it). They raise RowError for a row that is wrong. Prompts
and responses are kept to the letter.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pipelines.dataset_files import Faults, Record, kind_of
from pipelines.dataset_formats import ColumnError, RowError, read_label
from pipelines.schema import GuardExample, GuardTask, Label

Row = Mapping[str, Any]

PROMPT, REFUSAL, RESPONSE = GuardTask
OPENAI_CATEGORIES = {
    "S": "sexual",
    "H": "hate",
    "V": "violence",
    "HR": "harassment",
    "SH": "self-harm",
    "S3": "sexual/minors",
    "H2": "hate/threatening",
    "V2": "violence/graphic",
}
"""Column -> category, in the order of the dataset's card."""

AEGIS_VOTES = ("labels_0", "labels_1", "labels_2")
HARMBENCH_VOTES = ("human_0", "human_1", "human_2")
SAFE_RLHF_PAIRS, SAFE_RLHF_SEED = 1000, 42
_NO_VOTE = ("", "none")
WILDGUARD_LABELS = {
    PROMPT: "prompt_harm_label",
    REFUSAL: "response_refusal_label",
    RESPONSE: "response_harm_label",
}


def toxic_chat(row: Row) -> GuardExample | None:
    """`user_input`, `toxicity`; rows that no person annotated (`human_annotation`) are left out."""
    if "human_annotation" in row and not _flag(row, "human_annotation"):
        return None
    label = _harm(_flag(row, "toxicity"))
    category = "jailbreaking" if "jailbreaking" in row and _flag(row, "jailbreaking") else ""
    return GuardExample(_text(row, "user_input"), gold={PROMPT: label}, category=category)


def harmbench_prompt(row: Row) -> GuardExample | None:
    """`prompt` or HarmBench's own `Behavior`, harmful by the dataset's making; `category`.

    Of HarmBench's own list the behaviours that need a context (`FunctionalCategory`) fall out.
    """
    if "Behavior" not in row:
        text, category = _text(row, "prompt"), _word(row, "category")
    elif row.get("FunctionalCategory") == "contextual":
        return None
    else:
        text, category = _text(row, "Behavior"), _word(row, "SemanticCategory")
    return GuardExample(text, gold={PROMPT: "harmful"}, category=category)


def openai_moderation(row: Row) -> GuardExample | None:
    """`prompt`, and a flag for each of eight categories: harmful where any of them is 1.

    A flag that is absent or null is not known to the dataset's authors, and counts as not set.
    The category is the first that is set.
    """
    if not any(column in row for column in OPENAI_CATEGORIES):
        raise ColumnError("columns", f"none of {', '.join(OPENAI_CATEGORIES)} is there")
    found = [
        name
        for column, name in OPENAI_CATEGORIES.items()
        if row.get(column) not in (None, "") and _flag(row, column)
    ]
    label = _harm(bool(found))
    return GuardExample(
        _text(row, "prompt"), gold={PROMPT: label}, category=found[0] if found else ""
    )


def aegis(row: Row) -> GuardExample | None:
    """`text` of rows that are a user's message alone, and the votes of three annotators.

    Harmful where two of `labels_0` to `labels_2` are anything but `Safe`, `Needs Caution` among
    them; of fewer votes, where half are. The category is the most frequent of those, of several
    the first.
    """
    if _text(row, "text_type") != "user_message":
        return None
    votes = [str(row[name]).strip() for name in AEGIS_VOTES if row.get(name) is not None]
    votes = [vote for vote in votes if vote.casefold() not in _NO_VOTE]
    if not votes:
        raise RowError(AEGIS_VOTES[0], "no annotator labelled the row")
    against = [vote for vote in votes if vote.casefold() != "safe"]
    harmful = len(against) * 2 >= len(votes)
    category = max(against, key=against.count) if harmful else ""
    return GuardExample(_text(row, "text"), gold={PROMPT: _harm(harmful)}, category=category)


def simple_safety(row: Row) -> GuardExample | None:
    """`prompt`, all of them harmful by the dataset's making; `harm_area`."""
    return GuardExample(
        _text(row, "prompt"), gold={PROMPT: "harmful"}, category=_word(row, "harm_area")
    )


def wildguard_prompt(row: Row) -> GuardExample | None:
    """`prompt`, `prompt_harm_label`; the response is not shown. Rows without the label fall out."""
    label = _wildguard(row, PROMPT)
    if label is None:
        return None
    return GuardExample(
        _text(row, "prompt"), gold={PROMPT: label}, category=_word(row, "subcategory")
    )


def wildguard_refusal(row: Row) -> GuardExample | None:
    """`prompt`, `response`, `response_refusal_label`; rows without one of them fall out."""
    return _wildguard_pair(row, REFUSAL)


def wildguard_response(row: Row) -> GuardExample | None:
    """`prompt`, `response`, `response_harm_label`; rows without one of them fall out."""
    return _wildguard_pair(row, RESPONSE)


def harmbench_response(row: Row) -> GuardExample | None:
    """`test_case`, `generation`, and three people's votes `human_0` to `human_2`, of which two
    make it harmful; the category is the `experiment`, that is, the attack."""
    votes = sum(_flag(row, name) for name in HARMBENCH_VOTES)
    return GuardExample(
        _text(row, "test_case"),
        _text(row, "generation"),
        {RESPONSE: _harm(votes > 1)},
        category=_word(row, "experiment"),
    )


def beaver_tails(row: Row) -> GuardExample | None:
    """`prompt`, `response`, `is_safe`; `category` has 14 kinds of harm as true or false, and the
    first true one is kept."""
    kinds = row.get("category")
    set_ = (
        [str(kind) for kind, is_set in kinds.items() if is_set]
        if isinstance(kinds, Mapping)
        else []
    )
    return _pair(row, {RESPONSE: _harm(not _flag(row, "is_safe"))}, set_[0] if set_ else "")


def safe_rlhf(row: Row) -> GuardExample | None:
    """`prompt`, `response`, `is_safe`; one side of a row of PKU-SafeRLHF."""
    return _pair(row, {RESPONSE: _harm(not _flag(row, "is_safe"))}, "")


def safe_rlhf_sample(records: Iterable[Record], faults: Faults) -> list[Record]:
    """1,000 pairs of a safe and an unsafe response to one prompt: first the safe sides, then the
    unsafe ones in the same order, as in the authors' file.

    Pairs of which both sides are safe, or neither, fall out. The seed is that of the evaluation
    suite of WildGuard's authors (arXiv 2406.18495).
    """
    sides: dict[bool, list[Record]] = {True: [], False: []}
    for record in records:
        row = record.values
        try:
            safe = [_flag(row, f"is_response_{side}_safe") for side in (0, 1)]
        except RowError as error:
            faults.add(record.file, record.row, error.name, error.what)
            continue
        if safe[0] != safe[1]:
            for side in (0, 1):
                texts = {"prompt": row.get("prompt"), "response": row.get(f"response_{side}")}
                values = texts | {"is_safe": safe[side], "id": f"{record.row}/{side}"}
                sides[safe[side]].append(replace(record, values=values))
    pairs = range(len(sides[True]))
    drawn = random.Random(SAFE_RLHF_SEED).sample(pairs, min(SAFE_RLHF_PAIRS, len(pairs)))
    return [sides[safe][number] for safe in (True, False) for number in drawn]


def xstest_refusal(row: Row) -> GuardExample | None:
    """`prompt`, `response`, `label` refusal or compliance; the category is `prompt_type`."""
    label = read_label(_there(row, "label"), REFUSAL, "label")
    return _pair(row, {REFUSAL: label}, _word(row, "prompt_type"))


def xstest_response(row: Row) -> GuardExample | None:
    """`prompt`, `response`, `label` harmful or unharmful; the category is `prompt_type`."""
    label = read_label(_there(row, "label"), RESPONSE, "label")
    return _pair(row, {RESPONSE: label}, _word(row, "prompt_type"))


def xstest_prompt(row: Row) -> GuardExample | None:
    """`prompt`, `label` safe or unsafe of XSTest's own list; the category is `type`."""
    label = read_label(_there(row, "label"), PROMPT, "label")
    return GuardExample(_text(row, "prompt"), gold={PROMPT: label}, category=_word(row, "type"))


def binary(row: Row) -> GuardExample | None:
    """`text`, `label` harmful or harmless; a `category` that only repeats the label is dropped."""
    label = read_label(_there(row, "label"), PROMPT, "label")
    category = _word(row, "category")
    category = "" if category == str(row["label"]).strip() else category
    return GuardExample(_text(row, "text"), gold={PROMPT: label}, category=category)


def _wildguard(row: Row, task: GuardTask) -> Label | None:
    column = WILDGUARD_LABELS[task]
    if column not in row:
        raise ColumnError(column, "the column is missing")
    return None if row[column] in (None, "") else read_label(row[column], task, column)


def _wildguard_pair(row: Row, task: GuardTask) -> GuardExample | None:
    label = _wildguard(row, task)
    if label is None or row.get("response") in (None, ""):
        return None
    return _pair(row, {task: label}, _word(row, "subcategory"))


def _pair(row: Row, gold: dict[GuardTask, Label], category: str) -> GuardExample:
    return GuardExample(_text(row, "prompt"), _text(row, "response"), gold, category=category)


def _harm(harmful: bool) -> Label:
    return PROMPT.labels[0 if harmful else 1]


def _there(row: Row, name: str) -> object:
    if name not in row:
        raise ColumnError(name, "the column is missing")
    if row[name] in (None, ""):
        raise RowError(name, "is empty")
    return row[name]


def _text(row: Row, name: str) -> str:
    value = _there(row, name)
    if not isinstance(value, str):
        raise RowError(name, f"must be text, is {kind_of(value)}")
    if not value.strip():
        raise RowError(name, "is empty")
    return value


def _word(row: Row, name: str) -> str:
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""


def _flag(row: Row, name: str) -> bool:
    """True or false, from JSON's or CSV's spelling of it."""
    value = _there(row, name)
    key = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    known = {"1": True, "true": True, "0": False, "false": False}
    if key.strip().casefold() not in known:
        raise RowError(name, f"{value!r} is neither 0 nor 1, true nor false")
    return known[key.strip().casefold()]
