"""How often a study passes its target of 60%, by the true win rate and how it ends.

    python tests/bench/preference_passes.py [--studies 400]

200 items, a fifth rated by three: 280 ratings. `all` looks once, at the end. `line` stops at the
vote by which the e-value reaches 20. `line and pass` goes on from there until the pass rule holds
too, looked at after every tenth vote. Prints the share that pass, and the mean number of ratings.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.preferences.clustered import two_way
from pipelines.preferences.comparison import verdict
from pipelines.preferences.sequential import evidence
from pipelines.preferences.votes import Vote
from tests.simulated_studies import Study

SEED = 20260
TARGET = 0.6
START = datetime(2026, 1, 1, tzinfo=UTC)
RATES = (0.5, 0.55, 0.6, 0.65)
CROWDS = ((5, 0.3), (5, 0.6), (20, 0.3))
EVERY = 10


def passes(votes: list[Vote]) -> bool:
    return verdict(two_way(votes), "A", "B", TARGET).passed is True


def until_the_line(votes: list[Vote]) -> list[Vote]:
    """The votes up to the one at which the e-value first reaches 20; all where it never does."""
    crossed = evidence(votes).crossed_at
    if crossed is None:
        return votes
    seen: set[int] = set()
    for place, vote in enumerate(votes, 1):
        if vote.score != 3:
            seen.add(vote.item)
        if len(seen) == crossed:
            return votes[:place]
    return votes


def until_it_passes(votes: list[Vote]) -> list[Vote]:
    """The votes up to the first at which the e-value has reached 20 and the pass rule holds."""
    crossed = len(until_the_line(votes))
    looks = range(crossed, len(votes), EVERY)
    return next((votes[:n] for n in looks if passes(votes[:n])), votes)


def outcomes(study: Study, studies: int) -> np.ndarray:
    """Share that pass and mean ratings (3, 2): with all votes, at the line, line and pass."""
    rng = np.random.default_rng(SEED)
    found = []
    for _ in range(studies):
        drawn = study.draw(rng)
        votes = [
            replace(drawn[place], created_at=START + timedelta(minutes=minute))
            for minute, place in enumerate(rng.permutation(len(drawn)))
        ]
        ways = votes, until_the_line(votes), until_it_passes(votes)
        found.append([(passes(these), len(these)) for these in ways])
    return np.mean(found, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=400, help="simulated studies a row")
    studies = parser.parse_args().studies
    print(f"{studies} studies a row, seed {SEED}\n")
    print("| people | true rate | all | line | line and pass |\n|---|---|---|---|---|")
    for people, apart in CROWDS:
        for rate in RATES:
            base = Study(people, people_apart=apart)
            lean = brentq(lambda x, s=base, r=rate: replace(s, lean=x).truth() - r, -3, 3)
            found = outcomes(replace(base, lean=lean), studies)
            cells = " | ".join(f"{share:.1%} of {n:.0f} ratings" for share, n in found)
            print(f"| {people}, apart {apart} | {rate:.0%} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
