"""Where one is in the inspector, as an address: filters, order, page and the open sample.

The query string is all the state there is: an address that is sent to a colleague shows the same,
and the server keeps nothing between two clicks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from db.samples import FLAGS, HARDNESS, ORDERS, REVIEWS, SampleFilter
from pipelines.schema import GuardTask

PAGE_ROWS = 25
ALL = "all"  # in the address: every kind of hardness
HARD = SampleFilter().hardness
LONGEST_WORD = 200
LARGEST = 2**31 - 1

# Field of the filter -> its name in the address. `job` is taken by the Jobs tab.
NAMES = {
    "job_id": "set",
    "task": "task",
    "source": "source",
    "model": "model",
    "direction": "error",
    "parse": "parse",
    "wrong": "wrong",
    "min_length": "longer",
    "max_length": "shorter",
    "min_weight": "heavier",
    "max_weight": "lighter",
    "review": "review",
    "flag": "flag",
    "hardness": "kind",
    "text": "text",
}
INTEGERS = ("job_id", "wrong", "min_length", "max_length")
FLOATS = ("min_weight", "max_weight")
ALLOWED: dict[str, tuple[str, ...]] = {
    "task": tuple(GuardTask),
    "direction": ("false_alarm", "miss"),
    "parse": ("clean", "failures"),
    "review": REVIEWS,
    "flag": FLAGS,
    "hardness": (*HARDNESS, ALL),
}


@dataclass(frozen=True, slots=True)
class Place:
    """What is shown: which samples, in which order, which page of them, and which one is open."""

    filter: SampleFilter = field(default_factory=SampleFilter)
    order: str = "mined"
    page: int = 1
    sample: int | None = None

    @property
    def offset(self) -> int:
        return (self.page - 1) * PAGE_ROWS

    @property
    def narrowed(self) -> dict[str, Any]:
        """The filters in force, less the set itself, which is always one."""
        start = SampleFilter()
        names = [name for name in NAMES if name != "job_id"]
        values = _values(self.filter)
        return {name: values[name] for name in names if values[name] != _values(start)[name]}


def _values(f: SampleFilter) -> dict[str, Any]:
    return {name: f.__getattribute__(name) for name in NAMES}


def read_place(query: str) -> Place:
    """The place that a query string names; what makes no sense in it is passed over."""
    given = dict(parse_qsl(query.lstrip("?"), max_num_fields=100))
    wanted: dict[str, Any] = {}
    for name, short in NAMES.items():
        value = _value(name, given.get(short, ""))
        if value not in ("", None):
            wanted[name] = "" if (name, value) == ("hardness", ALL) else value
    order = given.get("order", "")
    return Place(
        SampleFilter(**wanted),
        order if order in ORDERS else "mined",
        max(1, _integer(given.get("page", "")) or 1),
        _integer(given.get("sample", "")),
    )


def _value(name: str, text: str) -> Any:
    text = text.replace("\x00", "").strip()[:LONGEST_WORD]
    if name in INTEGERS:
        return _integer(text)
    if name in FLOATS:
        return _float(text)
    return text if text in ALLOWED.get(name, (text,)) else ""


def _integer(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    return min(int(text[:12]), LARGEST)


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < LARGEST else None


def write_place(place: Place) -> str:
    """The shortest query string that `read_place` reads as this place."""
    pairs: dict[str, Any] = {}
    if place.filter.job_id is not None:
        pairs[NAMES["job_id"]] = place.filter.job_id
    for name, value in place.narrowed.items():
        pairs[NAMES[name]] = value if value != "" else ALL
    if place.order != "mined":
        pairs["order"] = place.order
    if place.page > 1:
        pairs["page"] = place.page
    if place.sample is not None:
        pairs["sample"] = place.sample
    return urlencode(pairs)


def without(place: Place, name: str) -> Place:
    """The place with one filter taken back, on the first page."""
    start = _values(SampleFilter())[name]
    return replace(place, filter=replace(place.filter, **{name: start}), page=1)


def at_rest(place: Place) -> Place:
    """The same set with no filter at all."""
    return Place(SampleFilter(job_id=place.filter.job_id), place.order)


def with_values(place: Place, values: Mapping[str, Any]) -> Place:
    """The place with these filters set, on the first page."""
    return replace(place, filter=replace(place.filter, **values), page=1)
