"""Resampling whole groups of rows, exactly and fast, and intervals from what comes of it.

Rows of one prompt hang together: a moderator that misreads the prompt misses all of its
responses. So whole groups are drawn, as many as there are, with replacement (the cluster
bootstrap). All that scores need of a group is how many of its rows fall in each cell of a table;
groups with equal counts are interchangeable, so one multinomial draw over the distinct kinds of
group is the same lottery as drawing every group by itself, at the cost of the kinds alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipelines.schema import InputError

Interval = tuple[float, float]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_UNDEFINED = 0.05
"""With more of the resamples undefined than this there is no interval."""
_SAME = 1e-12
_CHUNK = 4_000_000  # drawn numbers held at once, 32 MB


def group_kinds(cells: NDArray[np.integer], size: int, group: Ints | None) -> tuple[Ints, Ints]:
    """cells (N,) of 0..size-1, group (N,) -> the distinct count vectors (K, size) of the groups
    and how many groups have each (K,). Without groups every row is one by itself."""
    single = np.eye(size, dtype=np.int64)
    if group is None:
        often = np.bincount(cells, minlength=size)
        return single[often > 0], often[often > 0]
    if len(group) != len(cells):
        raise InputError(f"group={len(group):,} rows: must be {len(cells):,}, one a row")
    _, number = np.unique(group, return_inverse=True)
    alone = np.bincount(number)[number] == 1
    often = np.bincount(cells[alone], minlength=size)
    kinds, counts = single[often > 0], often[often > 0]
    if alone.all():
        return kinds, counts
    _, number = np.unique(number[~alone], return_inverse=True)
    flat = np.bincount(number * size + cells[~alone], minlength=(int(number.max()) + 1) * size)
    shared, many = np.unique(flat.reshape(-1, size), axis=0, return_counts=True)
    return np.concatenate([kinds, shared]), np.concatenate([counts, many])


def resample(kinds: Ints, often: Ints, resamples: int, seed: int | Sequence[int]) -> Ints:
    """(K, size) count vectors, (K,) groups of each -> cell counts of each resample (R, size)."""
    if resamples < 1:
        raise InputError(f"resamples={resamples}: must be at least 1")
    groups = int(often.sum())
    if not groups:
        return np.zeros((resamples, kinds.shape[1]), dtype=np.int64)
    generator = np.random.default_rng(seed)
    share = often / groups
    step = max(1, _CHUNK // len(often))
    parts = [
        generator.multinomial(groups, share, size=min(step, resamples - start)) @ kinds
        for start in range(0, resamples, step)
    ]
    return np.concatenate(parts)


def resample_together(
    parts: Sequence[tuple[Ints, Ints]], size: int, resamples: int, seed: int
) -> list[Ints]:
    """Tables that may share groups: (cells, group) (N,) each -> cell counts (R, size) of each.

    A group that several have is drawn for all of them at once: prompts that are misread are so in
    each. As many are drawn of each set of tables as have their rows there, so no table grows or
    shrinks by chance; one that shares no group is drawn as if it were alone.
    """
    if not parts:
        return []
    counts = [np.zeros((resamples, size), dtype=np.int64) for _ in parts]
    keys, number = np.unique(np.concatenate([group for _, group in parts]), return_inverse=True)
    numbers = np.split(number, np.cumsum([len(group) for _, group in parts])[:-1])
    held = np.zeros((len(keys), len(parts)), dtype=bool)
    for place, mine in enumerate(numbers):
        held[mine, place] = True
    sets, which = np.unique(held, axis=0, return_inverse=True)
    for set_number, one in enumerate(sets):
        places = np.flatnonzero(one).tolist()
        taken = [
            (place, np.flatnonzero(which.reshape(-1)[numbers[place]] == set_number))
            for place in places
        ]
        cells = [slot * size + parts[p][0][rows] for slot, (p, rows) in enumerate(taken)]
        group = np.concatenate([numbers[place][rows] for place, rows in taken])
        kinds, often = group_kinds(np.concatenate(cells), size * len(places), group)
        seeds = seed + places[0] if len(places) == 1 else [seed, *places]
        drawn = resample(kinds, often, resamples, seeds).reshape(resamples, len(places), size)
        for slot, place in enumerate(places):
            counts[place] += drawn[:, slot]
    return counts


def related(groups: Sequence[Ints]) -> list[int]:
    """A number for each table's groups (N,); those that share a group, or share one with a third
    that both do, have the same."""
    kin = list(range(len(groups)))
    for place, mine in enumerate(groups):
        for other in range(place):
            if kin[other] != kin[place] and np.isin(mine, groups[other]).any():
                kin = [kin[other] if one == kin[place] else one for one in kin]
    return kin


def is_flat(values: Floats, level: float) -> bool:
    """Whether the middle `level` of the resampled values (R,) is one value: it tells no width."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return False
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return bool(high - low < _SAME)


def percentile_interval(values: Floats, level: float) -> Interval | None:
    """The middle `level` of the resampled values (R,); None where too many are undefined."""
    _check_level(level)
    defined = values[~np.isnan(values)]
    if len(defined) < (1 - MOST_UNDEFINED) * len(values) or not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wilson(hits: float, trials: int, level: float = 0.95) -> Interval | None:
    """Wilson's interval of a share, of width also where none or all hit; None without trials."""
    _check_level(level)
    if not trials:
        return None
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    share = hits / trials
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = share * (1 - share) / trials + z2 / (4 * trials**2)
    half = float(np.sqrt(z2 * spread)) / (1 + z2 / trials)
    return (
        0.0 if hits == 0 else max(0.0, middle - half),
        1.0 if hits == trials else min(1.0, middle + half),
    )


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level={level}: must be above 0 and below 1")
