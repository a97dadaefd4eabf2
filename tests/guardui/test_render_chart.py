"""The chart: ticks, thinning, and what it tells those who can't see it."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardui.render_chart import Series, finite, line_chart, number, thin, ticks

VALUES = st.floats(-1e9, 1e9, allow_nan=False)


@given(VALUES, VALUES)
def test_ticks_surround_the_range_evenly(one: float, other: float) -> None:
    low, high = sorted((one, other))
    found = ticks(low, high)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert 2 <= len(found) <= 12
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    steps = [after - before for before, after in pairwise(found)]
    assert min(steps) > 0
    assert max(steps) - min(steps) <= 1e-9 * max(abs(tick) for tick in found)


@given(st.lists(st.tuples(st.integers(0, 10**6), VALUES), min_size=1, max_size=2000))
def test_thinning_keeps_ends_and_extremes(points: list[tuple[int, float]]) -> None:
    ordered = sorted({float(x): y for x, y in points}.items())
    kept = thin(ordered, most=100)
    assert len(kept) <= 110
    assert kept[0] == ordered[0]
    assert kept[-1] == ordered[-1]
    assert min(y for _, y in kept) == min(y for _, y in ordered)
    assert max(y for _, y in kept) == max(y for _, y in ordered)


def test_what_is_not_finite_is_left_out() -> None:
    assert finite([(1, math.nan), (2, math.inf), (3, 0.5)]) == [(3, 0.5)]


@pytest.mark.parametrize(
    ("value", "text"), [(0.48312, "0.4831"), (1240.4, "1,240"), (5e-5, "5e-05"), (0, "0")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_chart_has_a_title_a_description_and_tooltips() -> None:
    html = line_chart("loss", Series("#7 R-SFT", [(1, 2.0), (2, 1.0)]))
    assert 'role="img"' in html
    assert "<title>loss by step</title>" in html
    assert "#7 R-SFT: loss from 2 at step 1 to 1 at step 2, lowest 1." in html
    assert "<title>step 2: 1</title>" in html


def test_a_second_job_is_dashed_and_in_the_legend() -> None:
    html = line_chart("loss", Series("#7", [(1, 2), (2, 1)]), Series("#5", [(1, 3), (2, 2)]))
    assert html.count('class="line second"') == 2
    assert re.search(r"#7: 1<.*#5: 2<", html, re.DOTALL)


def test_one_point_can_be_drawn_and_none_is_said() -> None:
    assert "NaN" not in line_chart("loss", Series("#7", [(1, 2)]))
    assert "No values of loss yet" in line_chart("loss", Series("#7", []))
