"""How many ratings a study needs: by the exact binomial test against 50%, and how likely the pass
rule is with them. To tell a rate from 50% is less than to pass a target, which must be seen too."""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from statistics import NormalDist

from pipelines.schema import InputError

MOST_VOTES = 20_000
Z = NormalDist().inv_cdf(0.975)


def power_of(n: int, rate: float, alpha: float = 0.05) -> float:
    """The chance that `n` decisive votes at a true `rate` differ from 50% at a two-sided `alpha`.

    The test is exact: it rejects where the tail on either side has at most alpha / 2 at 50%.
    """
    return float(_powers(rate, alpha, n)[n])


@lru_cache(maxsize=64)
def decisive_needed(rate: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """The decisive votes (ties don't count) from which on the power never falls below `power`.

    The power of an exact test is a sawtooth in n: at 60% it reaches 80% at 199, falls short
    again at 200, and stays above from 210 on. A study seldom ends at the very number it planned,
    so the last crossing is given. Raises InputError for a rate of 0.5 or outside (0, 1), and for
    one so near to 0.5 that it would take more than 20,000.
    """
    if not 0 < rate < 1 or rate == 0.5:
        raise InputError(f"rate={rate}: must be between 0 and 1, and not 0.5")
    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise InputError(f"{name}={value}: must be between 0 and 1")
    most = 500
    while True:
        short = [n for n, value in enumerate(_powers(rate, alpha, most)) if value < power]
        # The teeth get smaller with n: none is below once a fifth of the range has been above.
        if short[-1] < 0.8 * most:
            return short[-1] + 1
        if most >= MOST_VOTES:
            raise InputError(f"rate={rate}: needs more than {MOST_VOTES:,} decisive votes")
        most *= 2


def ratings_needed(decisive: int, tie_rate: float) -> int:
    """Ratings that bring `decisive` decisive ones, if the share `tie_rate` are ties."""
    if not 0 <= tie_rate < 1:
        raise InputError(f"tie_rate={tie_rate}: must be from 0 to under 1")
    return ceil(round(decisive / (1 - tie_rate), 9))


def pass_chance(n: int, rate: float, target: float, tie_rate: float = 0.0) -> float:
    """The chance that `n` ratings pass: seen at or over `target`, the lower bound over 50%.

    `rate` is the true win rate and, as the target, takes ties as halves; `tie_rate` of the ratings
    are ties. Exact, by the binomial counts of ties and wins. Ratings are taken as independent, so
    the bound is Tango's (Wilson's without ties): it is over 50% where wins - losses is over 1.96
    roots of their sum. Raises InputError for a rate that so many ties leave no room for.
    """
    import numpy as np
    from scipy.stats import binom

    if not 0 <= tie_rate < 1:
        raise InputError(f"tie_rate={tie_rate}: must be from 0 to under 1")
    if not tie_rate / 2 <= rate <= 1 - tie_rate / 2:
        raise InputError(f"rate={rate}: impossible where {tie_rate:.0%} of ratings are ties")
    # All counts of decisive ratings that ever happen: ten standard deviations and then some.
    middle, reach = n * (1 - tie_rate), 10 * (n * tie_rate * (1 - tie_rate)) ** 0.5 + 10
    decisive = np.arange(max(0, int(middle - reach)), min(n, int(middle + reach)) + 1)
    # Wins that reach the target, ties being halves, less what rounding may add to a whole number.
    aimed = np.ceil((n * (2 * target - 1) + decisive) / 2 - 1e-9)
    clear = np.floor((decisive + Z * np.sqrt(decisive)) / 2) + 1
    won = min(max((rate - tie_rate / 2) / (1 - tie_rate), 0.0), 1.0)  # rounding may leave [0, 1]
    passed = binom.sf(np.maximum(aimed, clear) - 1, decisive, won)
    return float(binom.pmf(decisive, n, 1 - tie_rate) @ passed)


def rate_that_passes(
    n: int, target: float, tie_rate: float = 0.0, chance: float = 0.8
) -> float | None:
    """The true win rate with which `n` ratings pass so often; None where none does."""
    low, high = 0.5, 1 - tie_rate / 2
    if pass_chance(n, high, target, tie_rate) < chance:
        return None
    while high - low > 1e-6:
        middle = (low + high) / 2
        if pass_chance(n, middle, target, tie_rate) < chance:
            low = middle
        else:
            high = middle
    return high


def _powers(rate: float, alpha: float, most: int) -> list[float]:
    """n = 0 ... most -> power."""
    import numpy as np
    from scipy.stats import binom

    n = np.arange(1, most + 1)
    # The largest count in the lower rejection region; -1 where nothing could be rejected.
    critical = binom.ppf(alpha / 2, n, 0.5)
    critical -= binom.cdf(critical, n, 0.5) > alpha / 2
    reached = binom.cdf(critical, n, 1 - rate) + binom.cdf(critical, n, rate)
    return [0.0, *reached.tolist()]
