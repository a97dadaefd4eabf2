"""How often an e-value looked at after every vote reaches 20 although there is no preference.

    python tests/bench/preference_looking.py [--studies 20000]

Votes are decisive; a study has at most 1,000. Prints the share of studies that cross at any time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.special import betaln

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.preferences.sequential import PRIOR, STOP_AT, e_value

SEED = 20260
VOTES = 1000
PART = 1000


def crossings(won: np.ndarray) -> np.ndarray:
    """won (studies, votes) -> whether the e-value ever reaches the stop line (studies,)."""
    wins = won.cumsum(1)
    n = np.arange(1, won.shape[1] + 1)
    logged = betaln(PRIOR + wins, PRIOR + n - wins) - betaln(PRIOR, PRIOR) + n * np.log(2)
    return (logged >= np.log(STOP_AT)).any(1)


def independent(rng: np.random.Generator, studies: int) -> np.ndarray:
    return rng.random((studies, VOTES)) < 0.5


def crowd(
    rng: np.random.Generator, studies: int, people: int, apart: float, panel: bool
) -> np.ndarray:
    """People who come at random; with `panel` their own leanings cancel, else those of all do."""
    chance = 1 / (1 + np.exp(-rng.normal(0, apart, (studies, people))))
    if panel:
        chance = np.clip(chance - chance.mean(1, keepdims=True) + 0.5, 0, 1)
    who = rng.integers(people, size=(studies, VOTES))
    return rng.random((studies, VOTES)) < np.take_along_axis(chance, who, 1)


def items_thrice(
    rng: np.random.Generator, studies: int, apart: float, first_only: bool
) -> np.ndarray:
    """Each item is rated by three in a row; all votes enter, or the first of each item only."""
    items = -(-VOTES // (1 if first_only else 3))
    chance = 1 / (1 + np.exp(-rng.normal(0, apart, (studies, items))))
    chance = np.repeat(chance, 1 if first_only else 3, axis=1)[:, :VOTES]
    return rng.random((studies, VOTES)) < chance


CASES = {
    "independent votes": independent,
    "items apart 0.8, three ratings each, the first enters": lambda rng, n: items_thrice(
        rng, n, 0.8, True
    ),
    "items apart 0.8, three ratings each, all entered": lambda rng, n: items_thrice(
        rng, n, 0.8, False
    ),
} | {
    f"{people} people apart {apart}, {'no preference in this panel' if panel else 'none in all'}": (
        lambda rng, n, people=people, apart=apart, panel=panel: crowd(rng, n, people, apart, panel)
    )
    for panel in (True, False)
    for people in (5, 20)
    for apart in (0.3, 0.6)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=20_000, help="simulated studies a row")
    studies = parser.parse_args().studies
    assert np.isclose(e_value(30, 20), np.exp(betaln(35, 25) - betaln(5, 5) + 50 * np.log(2)))
    print(f"{studies} studies a row, at most {VOTES} votes, seed {SEED}\n")
    print("| no preference, and | ever at 20 |\n|---|---|")
    for name, draw in CASES.items():
        rng = np.random.default_rng(SEED)
        parts = [crossings(draw(rng, PART)) for _ in range(-(-studies // PART))]
        print(f"| {name} | {np.concatenate(parts).mean():.2%} |", flush=True)


if __name__ == "__main__":
    main()
