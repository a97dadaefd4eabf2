"""Preference studies drawn from a model whose true win rate is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.preferences.votes import Vote


@dataclass(frozen=True)
class Study:
    """A vote's latent preference is `lean` + the person's + the item's leaning + logistic noise.

    It is a tie within `tie` of zero. `people_apart` and `items_apart` are the standard deviations
    of the leanings; the first `overlap` of the items are rated by three people. `diligence` says
    how even the work is: 100 even, 3 such that one of five people often does half.
    """

    people: int
    items: int = 200
    overlap: float = 0.2
    people_apart: float = 0.3
    items_apart: float = 0.8
    lean: float = 0.45
    tie: float = 0.5
    diligence: float = 3.0
    left_habit: float = 0.0

    def truth(self) -> float:
        """The win rate with ties as halves over all people and items, by quadrature."""
        at, weight = np.polynomial.hermite_e.hermegauss(80)
        middle = self.lean + at * np.hypot(self.people_apart, self.items_apart)
        upper, lower = (1 / (1 + np.exp(-(middle + cut))) for cut in (self.tie, -self.tie))
        return float(weight @ (upper + lower) / 2 / weight.sum())

    def draw(self, rng: np.random.Generator) -> list[Vote]:
        items, people = self._who_rates_what(rng)
        person = rng.normal(0, self.people_apart, self.people)
        item = rng.normal(0, self.items_apart, self.items)
        left = rng.permutation(len(items)) % 2
        latent = (
            self.lean
            + person[people]
            + item[items]
            + self.left_habit * (1 - 2 * left)
            + rng.logistic(size=len(items))
        )
        scores = 3 + np.sign(latent) * ((abs(latent) > self.tie) + 0 + (abs(latent) > self.tie + 1))
        return [
            Vote(1, int(i), int(i), f"p{p}", 0, 1, int(score), int(side))
            for i, p, score, side in zip(items, people, scores, left, strict=True)
        ]

    def _who_rates_what(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        share = rng.dirichlet([self.diligence] * self.people)
        often = int(self.items * self.overlap) if self.people > 2 else 0
        # Ordering by Gumbel noise draws without replacement, in proportion to the shares.
        noise = rng.gumbel(size=(self.items, self.people)) + np.log(share + 1e-12)
        order = np.argsort(-noise, axis=1)
        items = np.concatenate([np.arange(self.items), *[np.arange(often)] * 2])
        people = np.concatenate([order[:, 0], *(order[:often, k] for k in (1, 2) if often)])
        return items, people.astype(int)
