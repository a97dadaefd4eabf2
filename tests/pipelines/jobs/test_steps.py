"""Which values reach which step of a recipe, and that none is lost unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipelines.jobs.steps import Recipe, Step, refuse_unused, values_of
from pipelines.schema import ConfigError, InputError
from pipelines.stages.base import StageConfig

FIRST = Step("first", "rsft", values={"steps": 1})
SECOND = Step("second", "rsft", values={"steps": 2}, links={"adapter": "first"})
DIG = Step("dig", "mine", links={"adapter": "first"})
STEPS = (FIRST, SECOND, DIG)


class Options(StageConfig):
    most: int = 3


RECIPE = Recipe("two-small", "Two", "", {"rsft": None, "mine": None}, lambda _v: STEPS, Options)


def test_the_more_particular_value_counts() -> None:
    values = {"seconds": 0.1, "rsft.seconds": 0.2, "second.seconds": 0.3, "second.steps": 9}
    assert values_of(FIRST, values) == {"seconds": 0.2, "steps": 1}
    assert values_of(SECOND, values) == {"seconds": 0.3, "steps": 9}
    assert values_of(DIG, values) == {}


@pytest.mark.parametrize(
    ("values", "presets", "said"),
    [
        ({"stepz": 1}, {}, "stepz: unknown setting"),
        ({"third.steps": 1}, {}, "third.steps: unknown setting"),
        ({"steps": 5}, {}, "steps=5: two-small sets steps of each step itself"),
        ({"mine.adapter": "x"}, {}, "mine.adapter=x: two-small sets adapter"),
        ({}, {"tune": "slow"}, "has no stage tune"),
    ],
)
def test_a_value_that_reaches_no_step_is_refused(
    values: Mapping[str, Any], presets: Mapping[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        refuse_unused(RECIPE, STEPS, values, presets)


def test_it_says_where_the_value_can_be_given() -> None:
    with pytest.raises(InputError) as told:
        refuse_unused(RECIPE, STEPS, {"rsft.steps": 5}, {})
    assert told.value.advice == "Name one of them: first.steps, second.steps."


def test_a_value_that_some_step_takes_is_fine() -> None:
    refuse_unused(RECIPE, STEPS, {"adapter": "x", "first.steps": 2, "most": 1}, {"second": "slow"})


@pytest.mark.parametrize("name", ["most", "two.most", "two-small.most"])
def test_options_are_read_by_name_or_family(name: str) -> None:
    assert RECIPE.read_options({name: 7, "steps": 1}) == {"most": 7}
    assert name in RECIPE.option_names()


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="most=x"):
        RECIPE.read_options({"two.most": "x"})
