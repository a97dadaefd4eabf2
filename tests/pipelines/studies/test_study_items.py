"""Which rows become items, in which strata, compared by whom and how often."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from pipelines.schema import GuardExample, GuardTask, Verdict
from pipelines.studies.arms import Row
from pipelines.studies.design import DesignFields
from pipelines.studies.items import (
    draw,
    evenly,
    main_items,
    pattern,
    stratum,
    topics_of,
    wanted_ratings,
)
from tests.tiny_runs import answer

PROMPT = GuardTask.PROMPT_HARMFULNESS
DESIGN = DesignFields(overlap_share=0.25, overlap_ratings=3)


def row(number: int, *right: bool, topic: str = "", texts: tuple[str, ...] = ()) -> Row:
    """A row whose arms are right or wrong as told, each with words of its own."""
    example = GuardExample(
        f"thing {number}", None, {PROMPT: "harmful"}, row_id=str(number), category=topic
    )
    labels = ["harmful" if one else "unharmful" for one in right]
    said = texts or tuple(f"Arm {arm} thinks." for arm in range(len(right)))
    return Row(
        example,
        tuple(
            Verdict({PROMPT: label}, text, f"{text}\n{answer(label)}")
            for label, text in zip(labels, said, strict=True)
        ),
    )


def rows(**counts: int) -> list[Row]:
    kinds = {"tt": (True, True), "tf": (True, False), "ft": (False, True), "ff": (False, False)}
    found: list[Row] = []
    for kind, count in counts.items():
        found += [row(len(found) + n, *kinds[kind]) for n in range(count)]
    return found


def test_strata_are_those_of_the_two_arms() -> None:
    told = [stratum(a, b) for a in (True, False) for b in (True, False)]
    assert told == ["both", "first", "second", "neither"]
    assert stratum(None, True) == ""


@pytest.mark.parametrize(
    ("sizes", "count", "shares"),
    [
        ({"a": 100, "b": 100, "c": 100}, 60, [20, 20, 20]),
        ({"a": 100, "b": 4, "c": 100}, 60, [28, 4, 28]),
        ({"a": 3, "b": 4, "c": 5}, 60, [3, 4, 5]),
        ({"a": 10, "b": 10}, 5, [2, 3]),
        ({"a": 10}, 0, [0]),
    ],
)
def test_evenly_gives_all_where_there_is_room(
    sizes: dict[str, int], count: int, shares: list[int]
) -> None:
    assert list(evenly(sizes, count).values()) == shares


def test_equal_strata_are_as_even_as_the_rows_allow() -> None:
    drawn = draw(rows(tt=80, tf=12, ft=3, ff=5), 32, "equal", seed=1)
    found = Counter(map(pattern, drawn))
    assert len(drawn) == 32
    assert found[False, True] == 3
    assert found[False, False] == 5
    assert abs(found[True, True] - found[True, False]) <= 1


def test_as_drawn_keeps_the_shares_of_the_rows() -> None:
    drawn = draw(rows(tt=80, tf=10, ft=6, ff=4), 50, "as drawn", seed=1)
    found = Counter(map(pattern, drawn))
    assert sorted(found.values()) == [2, 3, 5, 40]


def test_the_draw_is_the_seeds_and_its_order_tells_no_stratum() -> None:
    pool = rows(tt=40, tf=40)
    first, again, other = (draw(pool, 20, "equal", seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert len({pattern(one) for one in first[:10]}) == 2, "strata are mixed"
    assert len({one.example.row_id for one in first}) == 20, "each row once"


def test_a_prompt_comes_again_only_where_there_are_too_few() -> None:
    pool = [
        Row(replace(one.example, prompt=f"thing {n % 10}", response=f"{n}"), one.verdicts)
        for n, one in enumerate(rows(tt=37, ff=3))
    ]
    few = draw(pool, 10, "equal", 0)
    assert len({one.example.prompt for one in few}) == 10
    assert Counter(map(pattern, few))[False, False] == 3, "the rare ones are the ones that stay"
    many = draw(pool, 25, "as drawn", 0)
    assert (len(many), len({one.example.prompt for one in many})) == (25, 10)
    assert len({one.example.response for one in many}) == 25


def test_kinds_keep_their_shares_within_a_stratum() -> None:
    pool = [row(n, True, True, topic=("tea", "rain")[n % 4 == 0]) for n in range(80)]
    topics = Counter(one.example.category for one in draw(pool, 40, "equal", 0))
    assert topics == {"tea": 30, "rain": 10}


def test_a_share_of_pairs_is_rated_by_more_people() -> None:
    wanted = wanted_ratings(40, DESIGN, 0)
    assert Counter(wanted) == {1: 30, 3: 10}
    assert wanted == wanted_ratings(40, DESIGN, 0) != wanted_ratings(40, DESIGN, 1)
    one = DesignFields(overlap_share=0)
    assert wanted_ratings(5, one, 0) == [1] * 5
    many = DesignFields(ratings_per_pair=5, overlap_ratings=3, overlap_share=0.5)
    assert wanted_ratings(4, many, 0) == [5] * 4, "nobody is asked less for being shared"
    assert Counter(wanted_ratings(3, DESIGN.model_copy(update={"overlap_share": 0.01}), 0))[3] == 1


def test_items_of_two_arms() -> None:
    (item,) = main_items([row(1, True, False, topic="tea")], DESIGN, 0, 0)
    assert (item.prompt, item.topic, item.gold) == ("thing 1", "tea", {PROMPT: "harmful"})
    assert [one.right for one in item.traces] == [True, False]
    assert [one.verdicts[PROMPT] for one in item.traces] == ["harmful", "unharmful"]
    assert item.traces[0].text.startswith("Arm 0 thinks.")
    assert item.traces[0].words == len(item.traces[0].text.split())
    assert all(0 <= (one.quality or 0) <= 1 for one in item.traces)
    assert [(one.first_arm, one.second_arm, one.stratum) for one in item.pairs] == [(0, 1, "first")]


def test_three_arms_are_compared_in_all_pairs_but_those_that_wrote_the_same() -> None:
    pool = [
        row(1, True, False, True),
        row(2, True, True, False, texts=("So it is.", "So  it is.", "Not at all.")),
    ]
    first, second = main_items(pool, DESIGN, 0, 0)
    assert [(one.first_arm, one.second_arm, one.stratum) for one in first.pairs] == [
        (0, 1, "first"),
        (0, 2, "both"),
        (1, 2, "second"),
    ]
    assert [(one.first_arm, one.second_arm) for one in second.pairs] == [(0, 2), (1, 2)]


def test_few_pairs_an_item_take_turns() -> None:
    pool = [row(n, True, True, True, True) for n in range(12)]
    items = main_items(pool, DESIGN, 1, 0)
    used = Counter((one.first_arm, one.second_arm) for item in items for one in item.pairs)
    assert set(used.values()) == {2}
    assert len(used) == 6


def test_topics_are_those_that_not_all_items_share() -> None:
    items = main_items(
        [row(n, True, True, topic=("tea", "rain")[n % 2]) for n in range(4)], DESIGN, 0, 0
    )
    assert topics_of(items, []) == (["rain", "tea"], [])
    assert topics_of(items, ["tea"]) == (["tea"], [])
    assert topics_of(items, ["tea", "war"]) == (["tea"], ["no item is about war"])
    assert topics_of(items[:1], []) == ([], [])


def test_what_a_database_refuses_is_taken_out() -> None:
    (item,) = main_items([row(1, True, True, texts=("a\0b", "half \ud800"))], DESIGN, 0, 0)
    assert item.traces[0].text.startswith("a\ufffdb")
    assert item.traces[1].text.startswith("half ?")
