"""Rank correlations against scipy's, resamples included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from pipelines.preferences import correlations as module
from pipelines.preferences.correlations import correlations
from pipelines.preferences.votes import Vote


def drawn(n: int, link: float) -> list[Vote]:
    """Votes on n items whose scores and preference follow the automatic score by `link`."""
    rng = np.random.default_rng(0)
    base = Vote(1, 0, 0, "a", 0, 1, 3, 0)
    votes, shifts = [], np.array([[1.5], [2.0]])
    for item in range(n):
        first, second = np.round(rng.random(2), 2)
        heard = link * np.array([first, second]) * 4 + rng.normal(0, 0.8, 2)
        scores = [(int(a), int(b)) for a, b in np.clip(np.round(heard + shifts), 1, 5)]
        score = int(np.clip(round(3 + heard[0] - heard[1]), 1, 5))
        votes.append(
            replace(
                base, item=item, pair=item, score=score, quality=(float(first), float(second)),
                criteria=dict(zip(("coherence", "relevance"), scores, strict=True)),
            )
        )  # fmt: skip
    return votes


def test_as_scipy() -> None:
    scores, preference = correlations(drawn(60, 0.6))
    for one, n in ((scores, 120), (preference, 60)):
        automatic, human = zip(*one.points, strict=True)
        assert len(automatic) == one.spearman.n == n
        assert one.spearman.value == pytest.approx(spearmanr(automatic, human)[0], abs=1e-5)
        assert one.kendall.value == pytest.approx(kendalltau(automatic, human)[0], abs=1e-5)
        assert one.spearman.low is not None
        assert one.spearman.high is not None
        assert -1 <= one.spearman.low < one.spearman.value < one.spearman.high <= 1
        assert one.spearman.low > 0


def test_weights_are_repetitions() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 8, 25), rng.integers(0, 8, 25)
    times = rng.multinomial(25, np.full(25, 1 / 25))
    signs = [module._signs(list(values)) for values in (x, y)]
    weights = times[None, :].astype("f4")
    again = [np.repeat(values, times) for values in (x, y)]
    assert module._spearman(weights, *signs)[0] == pytest.approx(spearmanr(*again)[0], abs=1e-5)
    assert module._kendall(weights, *signs)[0] == pytest.approx(kendalltau(*again)[0], abs=1e-5)


def test_nothing_to_correlate() -> None:
    for votes in ([], drawn(2, 0.5), [replace(v, quality=(None, None)) for v in drawn(30, 0.5)]):
        for one in correlations(votes):
            assert (one.spearman.value, one.kendall.low) == (None, None)
    flat = [replace(vote, quality=(0.5, 0.5)) for vote in drawn(30, 0.5)]
    assert correlations(flat)[0].spearman.value is None


def test_a_perfect_order_keeps_a_width() -> None:
    base = Vote(1, 0, 0, "a", 0, 1, 3, 0)
    votes = [
        replace(base, item=n, pair=n, score=n % 5 + 1, quality=(n % 5 / 5, 0.0)) for n in range(30)
    ]
    found = correlations(votes)[1].kendall
    assert found.value == pytest.approx(1)
    assert found.low == pytest.approx(0.9)
