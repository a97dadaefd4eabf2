"""The rule for a rising loss, on curves of every kind that a training shows."""

import math
import random

import pytest

from pipelines.rising import PATIENCE, WINDOW, RisingLoss


def first_stop(losses):
    """The number of records after which it stops, or None."""
    rising = RisingLoss()
    for number, loss in enumerate(losses, 1):
        if rising.see(loss):
            return number
    return None


def noisy(mean, count, seed, sigma=0.5):
    """Log-normal noise around a curve: single rows of a small batch differ as much as that."""
    draw = random.Random(seed)
    return [mean(step) * draw.lognormvariate(0, sigma) for step in range(count)]


HEALTHY = {
    "falls": lambda step: 0.4 + 2 * math.exp(-step / 200),
    "stays": lambda step: 1.3,
    "falls to almost nought in steps": lambda step: 1.5 * 0.4 ** (step // 300),
    "rises a little": lambda step: 0.8 + step / 10_000,
}


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_noisy_run_goes_on(name, seed):
    assert first_stop(noisy(HEALTHY[name], 3000, seed)) is None


def test_bursts_that_end_are_let_pass():
    calm = [0.02] * 400
    for at in (100, 200, 300):
        calm[at : at + 5] = [4.0] * 5
    assert first_stop(calm) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_run_that_climbs_from_its_best_is_stopped(seed):
    def curve(step):
        return 0.5 + math.exp(-step / 50) if step < 300 else min(0.5 + (step - 300) / 50, 9)

    stopped = first_stop(noisy(curve, 1000, seed, sigma=0.3))
    assert 300 < stopped < 300 + 150


def test_a_run_that_jumps_at_once_is_stopped_as_soon_as_the_rule_allows():
    assert first_stop([2.0] + [11.0] * 200) == WINDOW + PATIENCE - 1


@pytest.mark.parametrize("seed", range(5))
def test_a_run_that_stays_high_is_no_rise(seed):
    # Losses near that of chance differ little from batch to batch.
    assert first_stop(noisy(lambda _step: 11.0, 1000, seed, sigma=0.15)) is None


def test_it_says_where_it_came_from():
    rising = RisingLoss()
    said = [rising.see(loss) for loss in [1.0] * 30 + [5.0] * 60]
    words = next(one for one in said if one)
    assert "the first loss was 1" in words
    assert "the lowest median 1)" in words
