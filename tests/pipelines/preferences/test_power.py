"""Sample sizes against the published four, and against the definition of power."""

from itertools import pairwise
from math import comb

import pytest

from pipelines.preferences.intervals import tango
from pipelines.preferences.power import (
    decisive_needed,
    pass_chance,
    power_of,
    rate_that_passes,
    ratings_needed,
)
from pipelines.schema import InputError


@pytest.mark.parametrize(
    ("rate", "power", "needed"),
    [(0.6, 0.8, 210), (0.65, 0.8, 97), (0.6, 0.9, 274), (0.65, 0.9, 121), (0.4, 0.8, 210)],
)
def test_the_numbers_that_studies_plan_with(rate: float, power: float, needed: int) -> None:
    assert decisive_needed(rate, power) == needed
    # A tooth before it falls short, none after it does.
    assert power_of(needed - 1, rate) < power
    assert min(power_of(n, rate) for n in range(needed, needed + 60)) >= power


def test_the_first_crossing_is_not_the_last() -> None:
    assert power_of(199, 0.6) > 0.8 > power_of(200, 0.6)


@pytest.mark.parametrize("n", [0, 5, 6, 30, 97])
def test_power_by_its_definition(n: int) -> None:
    def chance(k: int, p: float) -> float:
        return comb(n, k) * p**k * (1 - p) ** (n - k)

    def tail(k: int) -> float:
        return sum(chance(j, 0.5) for j in range(k + 1))

    rejected = [k for k in range(n + 1) if min(tail(k), tail(n - k)) <= 0.025]
    assert power_of(n, 0.65) == pytest.approx(sum(chance(k, 0.65) for k in rejected))


def test_small_and_large_differences() -> None:
    assert decisive_needed(0.99) < 12
    assert 7_000 < decisive_needed(0.516) < 8_500
    with pytest.raises(InputError, match=r"rate=0\.501"):
        decisive_needed(0.501)
    for rate in (0.0, 0.5, 1.0):
        with pytest.raises(InputError, match=f"rate={rate}"):
            decisive_needed(rate)
    with pytest.raises(InputError, match=r"power=1\.0"):
        decisive_needed(0.6, 1.0)


def test_ties_add_ratings() -> None:
    assert ratings_needed(210, 0.0) == 210
    assert ratings_needed(210, 0.3) == 300
    assert ratings_needed(97, 0.25) == 130
    with pytest.raises(InputError, match=r"tie_rate=1\.0"):
        ratings_needed(97, 1.0)


@pytest.mark.parametrize(("n", "ties"), [(1, 0.0), (50, 0.0), (40, 0.3)])
def test_the_chance_to_pass_by_the_rule_itself(n: int, ties: float) -> None:
    """Every outcome of wins and losses, held to the rule with the report's own interval."""
    rate, target = 0.62, 0.6
    won = (rate - ties / 2) / (1 - ties)
    chance = 0.0
    for decisive in range(n + 1):
        for wins in range(decisive + 1):
            seen = (wins + (n - decisive) / 2) / n
            if seen >= target and tango(wins, decisive - wins, n).low > 0.5 + 1e-12:
                chance += (
                    comb(n, decisive) * (1 - ties) ** decisive * ties ** (n - decisive)
                    * comb(decisive, wins) * won**wins * (1 - won) ** (decisive - wins)
                )  # fmt: skip
    assert pass_chance(n, rate, target, ties) == pytest.approx(chance, abs=1e-9)


@pytest.mark.parametrize(("rate", "power"), [(0.6, 0.8), (0.6, 0.9), (0.65, 0.8), (0.65, 0.9)])
def test_who_is_just_at_the_target_passes_about_half_the_time(rate: float, power: float) -> None:
    needed = decisive_needed(rate, power)
    assert 0.46 < pass_chance(needed, rate, rate) < 0.54
    assert 0.49 < pass_chance(10 * needed, rate, rate) < 0.53  # more ratings don't help
    plan = rate_that_passes(needed, rate)
    assert plan is not None
    assert rate + 0.02 < plan < rate + 0.05
    assert pass_chance(needed, plan, rate) == pytest.approx(0.8, abs=1e-3)
    chances = [pass_chance(needed, rate + step / 50, rate) for step in range(5)]
    assert all(before < after for before, after in pairwise(chances))


def test_a_short_study_needs_more_than_its_target() -> None:
    # 64% must be seen of 50 ratings without ties, so a true 60% passes one time in three.
    assert pass_chance(50, 0.6, 0.6) == pytest.approx(0.336, abs=5e-4)
    assert rate_that_passes(4, 0.6) == pytest.approx(0.8**0.25, abs=1e-5)  # all four must be wins
    assert rate_that_passes(3, 0.6) is None
    assert rate_that_passes(100, 0.6, tie_rate=0.9) is None
    with pytest.raises(InputError, match=r"rate=0\.6: impossible where 90% of ratings are ties"):
        pass_chance(100, 0.6, 0.6, 0.9)
    with pytest.raises(InputError, match=r"tie_rate=1"):
        pass_chance(100, 0.6, 0.6, 1)
