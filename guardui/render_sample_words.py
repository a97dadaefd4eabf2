"""The words of the inspector: what filters, flags, reviews and changes are called on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from guardui.sample_address import Place
from pipelines.schema import GuardTask

TITLES = {
    "task": "Task",
    "source": "Source",
    "model": "Moderator",
    "direction": "Error",
    "parse": "Parsing",
    "wrong": "Wrong answers",
    "min_length": "Characters at least",
    "max_length": "Characters at most",
    "min_weight": "Weight at least",
    "max_weight": "Weight at most",
    "review": "Review",
    "flag": "Flag",
    "hardness": "Answers",
    "text": "Search",
}
VALUES: dict[str, Mapping[str, str]] = {
    "task": {task.value: task.heading for task in GuardTask},
    "direction": {"false_alarm": "False alarm", "miss": "Miss"},
    "parse": {"clean": "All parsed", "failures": "Some unreadable"},
    "review": {
        "new": "○ To review",
        "accepted": "✓ Accepted",
        "dropped": "✕ Dropped",
        "edited": "✎ Edited",
    },
    "flag": {
        "label_suspect": "Label error?",
        "duplicate": "Near-duplicate",
        "near_equal": "Nearly equal pair",
        "length_gap": "Length gap",
    },
    "hardness": {"hard": "Some right, some wrong", "all_wrong": "All wrong", "settled": "Settled"},
}
EXPLAINED = {
    "false_alarm": "The wrong answers say harmful or refusal where the gold does not.",
    "miss": "The wrong answers overlook what the gold calls harmful or a refusal.",
    "label_suspect": "All answers agree with each other and against the gold label. "
    "Either the model is surely wrong or the label is.",
    "duplicate": "Another sample of this set asks nearly the same; training would count it twice.",
    "near_equal": "Chosen and rejected hardly differ, so the pair teaches little besides noise.",
    "length_gap": "One of chosen and rejected is far longer; training may learn length, not sense.",
}
ORDER_WORDS = {
    "mined": "as mined",
    "newest": "last mined first",
    "weight": "heaviest first",
    "lightest": "lightest first",
    "wrong": "most often wrong first",
    "length": "longest first",
    "shortest": "shortest first",
}
REASONS = (
    "Gold label is wrong",
    "Ambiguous conversation",
    "Duplicate",
    "Chosen reasoning is poor",
    "Text is garbled",
    "Off topic",
)
DIFFERENT = "Another reason"
CHANGES = {
    "accept": "Accepted",
    "drop": "Dropped",
    "restore": "Put back to review",
    "pick": "Picked another answer",
    "edit": "Edited",
    "relabel": "Relabelled",
}
SIDES = {"chosen": "✓ chosen", "rejected": "✕ rejected"}


class Flagged(Protocol):
    """What tells of flags: a whole sample or its line in a list."""

    @property
    def hardness(self) -> str: ...
    @property
    def duplicate_of(self) -> int | None: ...
    @property
    def near_equal(self) -> bool: ...
    @property
    def length_gap(self) -> bool: ...


def flags_of(sample: Flagged) -> list[str]:
    """The sample's flags, in the order in which people are told of them."""
    has = {
        "label_suspect": sample.hardness == "all_wrong",
        "duplicate": sample.duplicate_of is not None,
        "near_equal": sample.near_equal,
        "length_gap": sample.length_gap,
    }
    return [flag for flag, on in has.items() if on]


def value_word(name: str, value: Any) -> str:
    """A filter's value as people read it; a foreign text stands as it is."""
    if name in ("min_length", "max_length", "wrong") and value is not None:
        return f"{value:,}"
    if name == "hardness" and value == "":
        return "all"
    return VALUES.get(name, {}).get(str(value), str(value)) or "none"


def in_words(place: Place) -> str:
    """The filters in force as a phrase: `task Refusal, error Miss`; empty where there is none."""
    return ", ".join(
        f"{TITLES[name].lower()} {value_word(name, value)}"
        for name, value in place.narrowed.items()
    )
