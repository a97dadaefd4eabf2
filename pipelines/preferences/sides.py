"""What else than the reasoning may have won: the side it stood on, and its length."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING

from pipelines.preferences.clustered import (
    NOTHING,
    TIE,
    clustered_error,
    clustered_rate,
    points,
    quantile,
)
from pipelines.preferences.results import Estimate, LengthControlled
from pipelines.preferences.votes import Vote

if TYPE_CHECKING:
    from numpy import ndarray

FEWEST_VOTES = 20
LEAST_SPREAD = 0.1
"""Lengths tell something from here on: the standard deviation of the base-2 logarithm of their
ratio, 7% in words. Below, what twice the words would do is guessed from far away."""
NO_SPREAD = "The lengths differ too little, or always alike, to tell what they do, so left out."
NEVER_EQUAL = (
    "One arm is longer by nearly the same factor in every pair, so nothing tells what would be at "
    "equal length."
)


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted model: parameters (k,), and each vote's influence on them (n, k)."""

    parameters: ndarray
    influence: ndarray


def left_rate(votes: Sequence[Vote]) -> Estimate:
    """How often the left trace was preferred, among decisive votes."""
    decisive = [vote for vote in votes if vote.score != TIE]
    left = [(vote.score > TIE) == (vote.left_arm == vote.first_arm) for vote in decisive]
    return clustered_rate([float(value) for value in left], decisive)


def longer_rate(votes: Sequence[Vote]) -> Estimate:
    """How often the longer trace was preferred, among decisive votes on traces unlike in length."""
    unlike = [vote for vote in votes if vote.score != TIE and vote.words[0] != vote.words[1]]
    longer = [(vote.score > TIE) == (vote.words[0] > vote.words[1]) for vote in unlike]
    return clustered_rate([float(value) for value in longer], unlike)


def length_controlled(votes: Sequence[Vote]) -> LengthControlled:
    """The win rate at equal length and no side, by logistic regression, ties as halves.

    log odds of winning = rate + side (1/2 left, -1/2 right) + log2 (words of first / of second).
    The model is statsmodels' GLM, which is GEE with working independence; its sandwich takes
    people and items as clusters at once, as the win rate's interval does, where statsmodels' own
    GEE takes one of them. Without an answer, `note` says what stood in the way.
    """
    import numpy as np

    longer = longer_rate(votes)
    if len(votes) < FEWEST_VOTES:
        return _unknown(longer, f"{len(votes)} votes; at least {FEWEST_VOTES} are needed.")
    outcome = np.array([points(vote) for vote in votes])
    if outcome.min() == outcome.max():
        return _unknown(longer, "All votes are the same, so nothing can be told apart.")
    side = np.array([0.5 if vote.left_arm == vote.first_arm else -0.5 for vote in votes])
    words = np.array([[max(count, 1) for count in vote.words] for vote in votes], float)
    length = np.log2(words[:, 0] / words[:, 1])
    told = {"side": side.std() > 0, "length": length.std() >= LEAST_SPREAD}
    columns = {"side": side, "length": length}
    varying = [name for name in columns if told[name]]
    design = np.column_stack([np.ones(len(votes)), *(columns[name] for name in varying)])
    try:
        fit = _fit(outcome, design)
    except ArithmeticError as error:
        return _unknown(longer, str(error))
    odds = {name: _told(votes, fit, place, exp) for place, name in enumerate(varying, 1)}
    apart = not told["length"] and abs(length.mean()) > LEAST_SPREAD
    return LengthControlled(
        rate=NOTHING if apart else _told(votes, fit, 0, lambda logit: 1 / (1 + exp(-logit))),
        left_odds=odds.get("side", NOTHING),
        double_length_odds=odds.get("length", NOTHING),
        longer_wins=longer,
        note=NEVER_EQUAL if apart else _left_out(told),
    )


def _left_out(told: Mapping[str, bool]) -> str:
    """Why the model does without a column; empty where it has both."""
    reasons = {"side": "The side never differs, so left out.", "length": NO_SPREAD}
    return " ".join(reason for name, reason in reasons.items() if not told[name])


def _fit(outcome: ndarray, design: ndarray) -> Fit:
    """Logistic regression of `outcome` (n,) on `design` (n, k). Raises ArithmeticError without a
    finite answer."""
    import numpy as np
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise ArithmeticError("Side and length go together, so they can't be told apart.")
    if _separated(outcome, design):
        raise ArithmeticError("Side or length foretells every vote (separation): no estimate.")
    with warnings.catch_warnings():
        # It warns of what is looked at below; as errors they would hit other threads as well.
        warnings.simplefilter("ignore")
        result = GLM(outcome, design, family=Binomial()).fit()
    if not result.converged:
        raise ArithmeticError("The regression did not converge: no estimate.")
    mean = result.fittedvalues
    information = design.T @ (design * (mean * (1 - mean))[:, None])
    scores = design * (outcome - mean)[:, None]
    return Fit(result.params, scores @ np.linalg.inv(information))


def _separated(outcome: ndarray, design: ndarray) -> bool:
    """Whether some weights of the columns (n, k) put wins on one side and losses on the other, so
    that the likelihood grows for ever (Albert & Anderson 1984, Biometrika 71:1-10).

    A linear programme finds them: no vote may be on its wrong side, and their sum is made largest.
    A tie is half a win and half a loss, so it must lie on the line.
    """
    import numpy as np
    from scipy.optimize import linprog

    scaled = design / np.abs(design).max(axis=0)
    decided = outcome != 0.5
    signed = scaled[decided] * np.sign(outcome[decided] - 0.5)[:, None]
    ties = scaled[~decided] if not decided.all() else None
    found = linprog(
        -signed.sum(axis=0),
        A_ub=-signed,
        b_ub=np.zeros(len(signed)),
        A_eq=ties,
        b_eq=None if ties is None else np.zeros(len(ties)),
        bounds=(-1, 1),
    )
    # Weights that do it can be as large as one likes; where there are none, only zero is left.
    return bool(found.success and np.abs(found.x).max() > 0.5)


def _told(votes: Sequence[Vote], fit: Fit, place: int, scale: Callable[[float], float]) -> Estimate:
    """A parameter with its clustered interval, both put on another scale."""
    influence = fit.influence[:, place]
    spread = clustered_error(influence, votes, least=float((influence**2).sum()))
    value = float(fit.parameters[place])
    half = quantile(spread.freedom) * spread.variance**0.5
    low, middle, high = (
        scale(min(max(x, -50.0), 50.0)) for x in (value - half, value, value + half)
    )
    return Estimate(
        middle, low, high, len(votes), spread.method,
        spread.variance**0.5, spread.stored_freedom,
        len({vote.item for vote in votes}), len({vote.annotator for vote in votes}),
    )  # fmt: skip


def _unknown(longer: Estimate, why: str) -> LengthControlled:
    return LengthControlled(NOTHING, NOTHING, NOTHING, longer, why)
