"""Side and length: recovered where the truth is known, told where there is no answer."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from pipelines.preferences.report import report
from pipelines.preferences.sides import left_rate, length_controlled, longer_rate
from pipelines.preferences.votes import Vote
from pipelines.studies.design import StudyDesign
from tests.simulated_studies import Study


def drawn(seed: int, n: int, lean: float, left: float, length: float) -> list[Vote]:
    """Decisive votes whose log odds are the lean, the left side's, and those of twice the words."""
    rng = np.random.default_rng(seed)
    words = rng.integers(40, 400, (n, 2))
    side = rng.permutation(n) % 2
    odds = lean + left * (0.5 - side) + length * np.log2(words[:, 0] / words[:, 1])
    won = rng.random(n) < 1 / (1 + np.exp(-odds))
    return [
        Vote(1, i, i, f"p{i % 20}", 0, 1, 5 if won[i] else 1, int(side[i]),
             words=(int(words[i, 0]), int(words[i, 1])))
        for i in range(n)
    ]  # fmt: skip


def test_what_was_put_in_is_found() -> None:
    votes = drawn(0, 6000, lean=0.4, left=0.5, length=0.8)
    result = length_controlled(votes)
    assert result.rate.value == pytest.approx(1 / (1 + np.exp(-0.4)), abs=0.02)
    assert result.left_odds.value == pytest.approx(np.exp(0.5), rel=0.12)
    assert result.double_length_odds.value == pytest.approx(np.exp(0.8), rel=0.1)
    assert result.note == ""
    assert (result.longer_wins.value or 0) > 0.6
    assert (left_rate(votes).low or 0) > 0.5


def test_a_lead_by_length_alone_goes() -> None:
    votes = [
        replace(vote, words=(vote.words[0] * 3, vote.words[1]), score=score)
        for vote in drawn(1, 1500, 0, 0, 0)
        for score in [5 if np.random.default_rng(vote.item).random() < 1 / (1 + np.exp(
            -np.log2(3 * vote.words[0] / vote.words[1]))) else 1]
    ]  # fmt: skip
    result = length_controlled(votes)
    assert (longer_rate(votes).low or 0) > 0.6
    assert result.rate.low is not None
    assert result.rate.high is not None
    assert result.rate.low < 0.5 < result.rate.high
    wins = sum(vote.score > 3 for vote in votes) / len(votes)
    assert wins > 0.7


def test_people_apart_widen_it_as_they_do_the_rate() -> None:
    # Interval of the model against that of the plain rate, which the coverage bench vouches for.
    votes = [
        replace(vote, words=(100 + vote.item, 290 - vote.item))
        for vote in Study(5, people_apart=0.6).draw(np.random.default_rng(4))
    ]
    result = length_controlled(votes)
    from pipelines.preferences.clustered import two_way

    plain = two_way(votes)
    widths = [(one.high or 0) - (one.low or 0) for one in (result.rate, plain)]
    assert widths[0] == pytest.approx(widths[1], rel=0.3)


def test_as_statsmodels_own_sandwich() -> None:
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    votes = drawn(2, 400, 0.3, 0.2, 0.4)
    side = [0.5 if vote.left_arm == 0 else -0.5 for vote in votes]
    length = [np.log2(vote.words[0] / vote.words[1]) for vote in votes]
    people = [int(vote.annotator[1:]) for vote in votes]
    fit = GLM(
        [float(vote.score > 3) for vote in votes],
        np.column_stack([np.ones(400), side, length]),
        family=Binomial(),
    ).fit(cov_type="cluster", cov_kwds={"groups": np.array(people)})
    ours = length_controlled(votes)
    assert ours.rate.value == pytest.approx(1 / (1 + np.exp(-fit.params[0])))
    assert ours.double_length_odds.standard_error == pytest.approx(fit.bse[2], rel=0.06)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda vote: replace(vote, score=5), "All votes are the same"),
        (lambda vote: replace(vote, score=5 if vote.left_arm == 0 else 1), "separation"),
        (lambda vote: replace(vote, score=5 if vote.words[0] > vote.words[1] else 1), "separation"),
        # Half of a separation: left always wins, right as it comes.
        (lambda vote: replace(vote, score=5) if vote.left_arm == 0 else vote, "separation"),
        (lambda vote: replace(vote, words=(200, 100) if vote.left_arm == 0 else (100, 200)),
         "go together"),
    ],
)  # fmt: skip
def test_without_an_answer_it_says_why(change, why: str) -> None:
    votes = [change(vote) for vote in drawn(3, 200, 0, 0, 0)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = length_controlled(votes)
    assert (result.rate.value, result.rate.low) == (None, None)
    assert why in result.note


def near(seed: int, n: int, words: tuple[int, int], apart: int, length: float = 0) -> list[Vote]:
    """Votes on traces of about so many words each."""
    rng = np.random.default_rng(seed)
    count = np.array(words) + rng.integers(-apart, apart + 1, (n, 2))
    odds = length * np.log2(count[:, 0] / count[:, 1])
    won = rng.random(n) < 1 / (1 + np.exp(-odds))
    return [
        replace(vote, words=(int(count[i, 0]), int(count[i, 1])), score=5 if won[i] else 1)
        for i, vote in enumerate(drawn(seed, n, 0, 0, 0))
    ]


def test_lengths_nearly_alike_are_left_out_and_foretell_nothing() -> None:
    for seed in range(10):
        votes = near(seed, 60, (200, 200), 2)
        result = length_controlled(votes)
        assert "separation" not in result.note
        assert "too little" in result.note
        assert result.double_length_odds.value is None
        wins = sum(vote.score > 3 for vote in votes) / 60
        assert result.rate.value == pytest.approx(wins, abs=0.01)


def test_a_steep_slope_is_no_separation() -> None:
    result = length_controlled(near(0, 400, (200, 200), 40, length=10))
    assert result.note == ""
    assert result.double_length_odds.low is not None
    assert result.double_length_odds.high is not None
    assert np.log(result.double_length_odds.value or 1) > 8
    assert np.log(result.double_length_odds.low) < 10 < np.log(result.double_length_odds.high)


@pytest.mark.parametrize("apart", [0, 3])
def test_always_as_much_longer_tells_nothing_of_equal_length(apart: int) -> None:
    votes = near(0, 200, (300, 100), apart)
    result = length_controlled(votes)
    assert (result.rate.value, result.double_length_odds.value) == (None, None)
    assert "nothing tells what would be at equal length" in result.note
    assert result.left_odds.value is not None
    (remark,) = report(votes, ["A", "B"], StudyDesign()).remarks
    assert remark.startswith("No win rate at equal length for A against B: One arm is longer")
    # Longer by changing factors, it does.
    wide = length_controlled(near(0, 200, (300, 100), 60)).rate
    assert wide.low is not None
    assert wide.high is not None
    assert wide.high - wide.low > 0.1


def test_ties_lie_between_what_would_be_separated() -> None:
    votes = drawn(6, 60, 0, 0, 0)
    split = [replace(vote, score=5 if vote.left_arm == 0 else 1) for vote in votes]
    # Ties on both sides: the sides no longer part the votes.
    mixed = [replace(vote, score=3) if vote.item % 5 == 0 else vote for vote in split]
    assert "separation" in length_controlled(split).note
    assert length_controlled(mixed).rate.value is not None


def test_too_few_votes_and_no_words() -> None:
    assert "at least 20" in length_controlled(drawn(4, 19, 0, 0, 0)).note
    wordless = [replace(vote, words=(0, 0)) for vote in drawn(5, 100, 0.2, 0, 0)]
    result = length_controlled(wordless)
    assert result.rate.value is not None
    assert result.double_length_odds.value is None
    assert "length" in result.note
    assert result.longer_wins.n == 0


def test_left_rate_counts_decisive_votes() -> None:
    votes = [
        Vote(1, 1, 1, "a", 0, 1, 5, 0), Vote(1, 2, 2, "a", 0, 1, 1, 1),
        Vote(1, 3, 3, "a", 0, 1, 2, 0), Vote(1, 4, 4, "a", 0, 1, 3, 0),
    ]  # fmt: skip
    result = left_rate(votes)
    assert (result.value, result.n) == (pytest.approx(2 / 3), 3)
