"""The inspector's address: what is written is read again, and nonsense is passed over."""

from __future__ import annotations

import pytest

from db.samples import SampleFilter
from guardui.sample_address import Place, read_place, write_place

FULL = Place(
    SampleFilter(
        job_id=3,
        task="refusal",
        source="Aegis & co",
        model="artifact:1",
        direction="miss",
        parse="failures",
        wrong=0,
        min_length=10,
        max_length=2000,
        min_weight=0.9,
        max_weight=1.1,
        review="dropped",
        flag="near_equal",
        hardness="",
        text="two words",
    ),
    "weight",
    4,
    17,
)


@pytest.mark.parametrize("place", [Place(), FULL, Place(SampleFilter(hardness="all_wrong"))])
def test_what_is_written_is_read_again(place: Place) -> None:
    assert read_place(write_place(place)) == place


def test_what_stands_at_rest_is_not_written() -> None:
    assert write_place(Place(SampleFilter(job_id=3))) == "set=3"


@pytest.mark.parametrize(
    "query",
    ["task=x&page=-1&sample=1e9", "wrong=two&heavier=nan&order=DROP", "?page=0&__theme=dark&job=5"],
)
def test_nonsense_is_passed_over(query: str) -> None:
    assert read_place(query) == Place()


def test_the_filters_in_force_are_told_without_the_set() -> None:
    place = read_place("set=3&kind=all&wrong=0")
    assert place.narrowed == {"wrong": 0, "hardness": ""}
