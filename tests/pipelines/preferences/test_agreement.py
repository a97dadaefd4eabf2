"""Agreement against an independent implementation, textbook values, and real annotations."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.preferences.agreement import (
    agreement,
    gwet_ac1,
    krippendorff_alpha,
    raw,
    table,
)
from pipelines.preferences.votes import Vote

LABELS = ["1_full_compliance", "3_partial_refusal", "2_full_refusal"]


def evalica_alpha(units: Sequence[Sequence[int]], level: str) -> float:
    import evalica

    people = max(map(len, units))
    rows = [[unit[k] if k < len(unit) else np.nan for unit in units] for k in range(people)]
    return float(evalica.alpha(pd.DataFrame(rows), distance=level).alpha)


def ac1_by_hand(units: Sequence[Sequence[int]], categories: int) -> float:
    """Gwet's AC1, pair of people by pair of people."""
    alike = [
        np.mean([a == b for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j])
        for unit in units
    ]
    share = [
        np.mean([unit.count(k) / len(unit) for unit in map(list, units)]) for k in range(categories)
    ]
    chance = sum(one * (1 - one) for one in share) / (categories - 1)
    return float((np.mean(alike) - chance) / (1 - chance))


@pytest.mark.parametrize("seed", range(3))
def test_as_an_independent_implementation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    units = [
        [int(np.clip(rng.normal(rng.integers(5), 1), 0, 4)) for _ in range(rng.integers(2, 5))]
        for _ in range(60)
    ]
    counts = table(units, 5)
    for level in ("nominal", "ordinal"):
        found = krippendorff_alpha(counts, level).value
        assert found == pytest.approx(evalica_alpha(units, level), abs=1e-9)
    assert gwet_ac1(counts).value == pytest.approx(ac1_by_hand(units, 5))


def test_units_with_one_rating_say_nothing() -> None:
    counts = table([[0, 0], [1, 1], [0, 1], [2], [2, 2], [1, 2]], 3)
    assert raw(counts) == raw(counts[[0, 1, 2, 4, 5]])
    assert raw(counts).value == pytest.approx(3 / 5)


# Krippendorff 2011, "Computing Krippendorff's alpha-reliability", example C: four observers.
PUBLISHED = [
    [1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
    [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [5, 5, 5], [1, 1], [3],
]  # fmt: skip


def test_alpha_as_published() -> None:
    counts = table([[label - 1 for label in unit] for unit in PUBLISHED], 5)
    assert krippendorff_alpha(counts).value == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(counts, "ordinal").value == pytest.approx(0.815, abs=5e-4)


def test_one_category_has_no_alpha_but_agreement() -> None:
    counts = table([[0, 0]] * 30, 3)
    assert krippendorff_alpha(counts).value is None
    assert raw(counts).value == gwet_ac1(counts).value == 1.0
    low = raw(counts).low
    assert low is not None
    assert 0.85 < low < 0.9  # Wilson's, of 30 of 30


def test_full_agreement_keeps_a_width() -> None:
    alpha = krippendorff_alpha(table([[0, 0], [1, 1], [2, 2]] * 8, 3))
    assert (alpha.value, alpha.high) == (1.0, 1.0)
    assert alpha.low is not None
    assert 0.7 < alpha.low < 0.9


def test_of_votes() -> None:
    base = Vote(1, 1, 1, "a", 0, 1, 5, 0)
    pairs = [(5, 4), (3, 3), (1, 5), (2, 1), (4, 4), (3, 2)]
    votes = [
        replace(base, item=n, pair=n, annotator=person, score=score)
        for n, scores in enumerate(pairs)
        for person, score in zip("ab", scores, strict=True)
    ] + [replace(base, item=99, pair=99)]
    outcome, five = agreement(votes)
    assert (outcome.pairs, outcome.votes, outcome.annotators) == (6, 12, 2)
    assert outcome.raw.value == pytest.approx(4 / 6)
    assert five.raw.value == pytest.approx(2 / 6)
    assert "no intervals" in agreement(votes[:8])[0].note
    assert "No pair has two ratings" in agreement(votes[-1:])[0].note
    assert agreement([]) == ()


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("model", "same", "nominal", "ordinal", "ac1"),
    [
        ("gpt4", 0.984444, 0.970135, 0.989043, 0.978975),
        ("mistralguard", 0.937778, 0.892415, 0.939956, 0.912504),
    ],
)
def test_real_annotations(
    realdata: Path, model: str, same: float, nominal: float, ordinal: float, ac1: float
) -> None:
    """The figures are those of krippendorff 0.9.0, evalica 0.4.2 (alpha) and irrCAC 0.4.4 (AC1)."""
    path = realdata / "annotations" / f"xstest_{model}_two_annotators.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    units = [[LABELS.index(row[f"annotation_{k}"]) for k in (1, 2)] for row in rows]
    counts = table(units, 3)
    assert len(counts) == 450
    assert raw(counts).value == pytest.approx(same, abs=1e-6)
    assert krippendorff_alpha(counts).value == pytest.approx(nominal, abs=1e-6)
    assert krippendorff_alpha(counts).value == pytest.approx(evalica_alpha(units, "nominal"))
    assert krippendorff_alpha(counts, "ordinal").value == pytest.approx(ordinal, abs=1e-6)
    assert krippendorff_alpha(counts, "ordinal").value == pytest.approx(
        evalica_alpha(units, "ordinal")
    )
    assert gwet_ac1(counts).value == pytest.approx(ac1, abs=1e-6)
    assert gwet_ac1(counts).value == pytest.approx(ac1_by_hand(units, 3))
