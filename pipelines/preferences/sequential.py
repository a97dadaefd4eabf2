"""Looking after every vote without paying for it: an e-value of decisive votes against 50%."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import exp, lgamma, log

from pipelines.preferences.clustered import TIE
from pipelines.preferences.results import Evidence
from pipelines.preferences.votes import Vote

STOP_AT = 20.0
PRIOR = 5.0
MOST_POINTS = 200
LARGEST = 1e300
NOTE = (
    "Only the first decisive vote on each item enters, for a second one on the same item is no "
    "news of its own. The error of 5% holds for these people as a panel, when who rates next has "
    "nothing to do with the votes so far. It doesn't carry over to other people: for that, see the "
    "interval. It is the e-value of the ratings still counted: one that is withdrawn leaves the "
    "order, as if never given, and the rating at which the line was reached may be another then."
)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def e_value(wins: int, losses: int, a: float = PRIOR) -> float:
    """The likelihood of the votes under Beta(a, a) rates over that under 50%; 1 without votes.

    At a true rate of 50% it ever reaches 20 with a chance of at most 1 in 20, however often one
    looks (Ville's inequality). It tells a rate from 50% on either side. At most 1e300.
    """
    n = wins + losses
    logged = _log_beta(a + wins, a + losses) - _log_beta(a, a) + n * log(2)
    return exp(min(logged, log(LARGEST)))


def e_path(outcomes: Iterable[bool], a: float = PRIOR) -> list[float]:
    """The e-value after each decisive vote, in order; True is a win."""
    wins = losses = 0
    path = []
    for won in outcomes:
        wins += won
        losses += not won
        path.append(e_value(wins, losses, a))
    return path


def evidence(votes: Sequence[Vote]) -> Evidence:
    """The e-value of a comparison's counted votes, taken in order of time."""
    seen: set[int] = set()
    outcomes = []
    for vote in sorted(votes, key=lambda vote: vote.created_at or _LONG_AGO):
        if vote.score != TIE and vote.item not in seen:
            seen.add(vote.item)
            outcomes.append(vote.score > TIE)
    path = e_path(outcomes)
    crossed = next((n for n, value in enumerate(path, 1) if value >= STOP_AT), None)
    step = max(1, -(-len(path) // MOST_POINTS))
    kept = [n for n in range(1, len(path) + 1) if n % step == 0 or n in (crossed, len(path))]
    return Evidence(
        e_value=path[-1] if path else 1.0,
        highest=max(path, default=1.0),
        stop_at=STOP_AT,
        crossed_at=crossed,
        wins=sum(outcomes),
        losses=len(outcomes) - sum(outcomes),
        path=((0, 1.0), *((n, path[n - 1]) for n in kept)),
        note=NOTE,
    )


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
