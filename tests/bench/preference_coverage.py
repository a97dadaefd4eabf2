"""How often the interval of a win rate holds the true one, in simulated studies.

    python tests/bench/preference_coverage.py [--studies 2000]

Prints a row for each kind of study: coverage of ours and of the interval that takes votes as
independent (Wilson's, with ties as halves), the ratio of their misses, and their median widths.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.preferences.clustered import independent_rate, two_way
from tests.simulated_studies import Study

SEED = 20260
DESIGNS = [
    Study(people, overlap=overlap, people_apart=apart, diligence=diligence)
    for people, overlap, apart, diligence in product((5, 20), (0.0, 0.2), (0.3, 0.6), (100, 3))
]
EDGES = {
    "people don't differ, 5": Study(5, people_apart=0.0),
    "people don't differ, 20": Study(20, people_apart=0.0),
    "60 items, 3 people": Study(3, items=60),
    "40 items, once each, 5 people": Study(5, items=40, overlap=0.0),
    "12 items by 20 people": Study(20, items=12, overlap=1.0),
    "true rate 78%, 5 people": Study(5, lean=1.5),
    "true rate 93%, 20 people": Study(20, lean=3.0),
}


def measured(study: Study, studies: int, seed: int = SEED) -> tuple[float, float, float, float]:
    """(coverage of ours, of the independent one, median width of ours, of that)."""
    rng, truth = np.random.default_rng(seed), study.truth()
    held, widths = [], []
    for _ in range(studies):
        votes = study.draw(rng)
        both = two_way(votes), independent_rate(votes)
        held.append([one.low <= truth <= one.high for one in both])
        widths.append([one.high - one.low for one in both])
    ours, naive = np.mean(held, axis=0)
    wide, narrow = np.median(widths, axis=0)
    return float(ours), float(naive), float(wide), float(narrow)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies a row")
    studies = parser.parse_args().studies
    print(f"{studies} studies a row, seed {SEED}; a coverage is known to within")
    print(f"{196 * (0.95 * 0.05 / studies) ** 0.5:.1f} points.\n")
    print("| study | true rate | ours | independent | misses, independent : ours | widths |")
    print("|---|---|---|---|---|---|")
    named = {
        f"{s.people} people, {'20% by three' if s.overlap else 'once each'}, apart "
        f"{s.people_apart}, {'even' if s.diligence > 3 else 'uneven'} work": s
        for s in DESIGNS
    }
    for name, study in {**named, **EDGES}.items():
        ours, naive, wide, narrow = measured(study, studies)
        ratio = (1 - naive) / max(1 - ours, 1 / studies)
        print(
            f"| {name} | {study.truth():.1%} | {ours:.1%} | {naive:.1%} | {ratio:.1f} "
            f"| {wide:.3f}, {narrow:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
