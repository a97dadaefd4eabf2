"""How often chance does as much: McNemar's exact test, and Holm's correction for several."""

from __future__ import annotations

from collections.abc import Sequence


def mcnemar(only_a_right: int, only_b_right: int) -> float:
    """The exact two-sided p-value: a fair coin for each row that only one gets right."""
    from scipy.stats import binomtest

    told_apart = only_a_right + only_b_right
    if not told_apart:
        return 1.0
    return float(binomtest(min(only_a_right, only_b_right), told_apart).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several comparisons, made to hold for all of them together (Holm 1979).

    Of m values the smallest is multiplied by m, the next by m - 1, and so on; none falls below
    one before it, and none exceeds 1. In the order given.
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, p_values[place] * (len(p_values) - done)))
        adjusted[place] = least
    return adjusted
