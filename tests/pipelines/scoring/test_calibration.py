import numpy as np
import pytest
from sklearn import metrics as sk

from pipelines.schema import InputError
from pipelines.scoring.calibration import (
    best_threshold,
    brier,
    expected_calibration_error,
    known,
    precision_recall,
    reliability,
    roc,
    threshold_at,
)

GENERATOR = np.random.default_rng(4)
CHANCE = GENERATOR.random(3000).round(2)
HONEST = GENERATOR.random(3000) < CHANCE
nan = float("nan")


@pytest.mark.parametrize("binning", ["equal_width", "equal_mass"])
def test_honest_probabilities_have_little_error(binning):
    assert expected_calibration_error(HONEST, CHANCE, binning=binning) < 0.03
    assert expected_calibration_error(HONEST, CHANCE**4, binning=binning) > 0.25


def test_the_error_by_hand():
    gold, chance = [True, False, True, True], [0.1, 0.1, 0.9, 0.7]
    # (0, 0.5]: mean 0.1, half positive; (0.5, 1]: mean 0.8, all positive.
    assert expected_calibration_error(gold, chance, bins=2) == pytest.approx((0.4 + 0.2) / 2)
    assert brier(gold, chance) == pytest.approx((0.81 + 0.01 + 0.01 + 0.09) / 4)


def test_bins_hold_every_row_once():
    for binning in ("equal_width", "equal_mass"):
        bins = reliability(HONEST, CHANCE, 10, binning)
        assert sum(one.rows for one in bins) == 3000
        assert sum(round(one.share_positive * one.rows) for one in bins) == HONEST.sum()
        assert all(one.low <= one.mean_probability <= one.high for one in bins)
        assert all(one.interval[0] <= one.share_positive <= one.interval[1] for one in bins)
    assert max(one.rows for one in bins) < 1.2 * min(one.rows for one in bins)


def test_equal_width_bins_are_closed_above():
    bins = reliability([True] * 4, [0.0, 0.5, 0.51, 1.0], 2)
    assert [(one.low, one.high, one.rows) for one in bins] == [(0.0, 0.5, 2), (0.5, 1.0, 2)]


def test_equal_mass_never_parts_equal_probabilities():
    bins = reliability([True, False] * 50, [0.2] * 100, 5, "equal_mass")
    assert [(one.low, one.high, one.rows) for one in bins] == [(0.2, 0.2, 100)]
    bins = reliability([True, False] * 50, [0.2] * 90 + [0.9] * 10, 5, "equal_mass")
    assert [(one.low, one.rows) for one in bins] == [(0.2, 90), (0.9, 10)]


def test_curves_are_scikit_learns():
    curve = roc(HONEST, CHANCE)
    assert curve.area == pytest.approx(sk.roc_auc_score(HONEST, CHANCE))
    assert curve.x.shape == curve.y.shape == curve.thresholds.shape
    curve = precision_recall(HONEST, CHANCE)
    assert curve.area == pytest.approx(sk.average_precision_score(HONEST, CHANCE))
    assert curve.x.shape == curve.y.shape == curve.thresholds.shape
    assert curve.base == pytest.approx(HONEST.mean())


def test_the_best_threshold_beats_every_other():
    best = best_threshold(HONEST, CHANCE)
    every = {value: sk.f1_score(HONEST, value <= CHANCE) for value in np.unique(CHANCE)}
    assert best.f1 == pytest.approx(max(every.values()))
    assert every[best.value] == pytest.approx(best.f1)
    said = best.value <= CHANCE
    assert best.precision == pytest.approx(sk.precision_score(HONEST, said))
    assert best.recall == pytest.approx(sk.recall_score(HONEST, said))


@pytest.mark.parametrize("target", [0.0, 0.01, 0.1, 1.0])
def test_a_threshold_for_a_false_positive_rate(target):
    found = threshold_at(HONEST, CHANCE, target)
    rate = {value: (value <= CHANCE)[~HONEST].mean() for value in np.unique(CHANCE)}
    assert found.false_positive_rate <= target
    assert found.value == min([v for v, r in rate.items() if r <= target], default=np.inf)


def test_where_no_threshold_is_low_enough_nothing_is_called_positive():
    found = threshold_at([True, False], [0.5, 0.9], 0.0)
    assert (found.value, found.recall, found.precision) == (float("inf"), 0.0, None)


def test_rows_without_a_probability_are_left_out():
    gold, chance = known([True, False, True], [0.2, nan, 0.4])
    assert (gold.tolist(), chance.tolist()) == ([True, True], [0.2, 0.4])
    with_gaps = np.append(CHANCE, [nan] * 50), np.append(HONEST, [True] * 50)
    assert roc(with_gaps[1], with_gaps[0]).area == roc(HONEST, CHANCE).area
    assert brier(with_gaps[1], with_gaps[0]) == brier(HONEST, CHANCE)


@pytest.mark.parametrize(
    ("gold", "chance"), [([], []), ([True, False], [nan, nan]), ([True, False], [0.5, nan])]
)
def test_one_class_or_none_has_no_curve(gold, chance):
    assert roc(gold, chance) is None
    assert precision_recall(gold, chance) is None
    assert best_threshold(gold, chance) is None
    assert threshold_at(gold, chance, 0.1) is None


def test_no_probabilities_have_no_error_and_no_bins():
    assert expected_calibration_error([True], [nan]) is None
    assert brier([True], [nan]) is None
    assert reliability([True], [nan]) == []
    assert expected_calibration_error([True, True], [1.0, 1.0]) == 0.0


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: brier([True], [1.5]), r"probability=1\.5"),
        (lambda: brier([True], [0.5, 0.5]), "probability="),
        (lambda: reliability([True], [0.5], 0), "bins=0"),
        (lambda: reliability([True], [0.5], 5, "narrow"), "binning=narrow"),
        (lambda: threshold_at([True], [0.5], 2), "false_positive_rate=2"),
    ],
)
def test_wrong_values_are_named(call, named):
    with pytest.raises(InputError, match=named):
        call()
