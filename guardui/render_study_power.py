"""How many ratings a study needs, as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from guardui.render import esc, fault_note, page
from pipelines.preferences.power import decisive_needed, pass_chance, rate_that_passes
from pipelines.schema import InputError

# (rate, power) -> decisive ratings, the chance that so many pass a target of that rate if it is the
# truth, and the truth that passes four times in five. Written down: working them out takes scipy,
# and the page is built without it.
USUAL = {
    (0.6, 0.8): (210, 0.53, 0.626),
    (0.65, 0.8): (97, 0.47, 0.694),
    (0.6, 0.9): (274, 0.50, 0.625),
    (0.65, 0.9): (121, 0.52, 0.684),
}


@dataclass(frozen=True, slots=True)
class Needed:
    """What telling a true rate from 50% takes: decisive ratings, ratings with ties, pairs to rate.

    That is less than to pass. `rate` is that of decisive ratings; `target`, `win_rate` (the same
    truth as `rate`) and `passing_rate` take ties as halves, as the pass rule does. `at_target` and
    `at_rate` are the chances that so many ratings pass if the truth is the target or `rate`, and
    `passing_rate` is the truth that passes four times in five. None: so many ties leave no room.
    """

    rate: float
    power: float
    decisive: int
    ratings: int
    pairs: int
    target: float
    win_rate: float
    at_target: float | None
    at_rate: float
    passing_rate: float | None


def needed(
    rate: float,
    power: float = 0.8,
    ties: float = 0.0,
    ratings_per_pair: float = 1.0,
    target: float | None = None,
) -> Needed:
    """How many ratings tell `rate` from 50% (exact binomial, two-sided 5%), and what they pass.

    `ties` is the share of ratings that are none, `ratings_per_pair` the mean over pairs; `target`
    is `rate` unless given. Raises InputError for a figure that makes no sense.
    """
    aim = rate if target is None else target
    for name, value, low, high in (
        ("rate", rate, 0.5, 1.0),
        ("power", power, 0.0, 1.0),
        ("target", aim, 0.5, 1.0),
    ):
        if not low < value < high:
            raise InputError(f"{name}={value:g}: must be over {low:g} and under {high:g}")
    if not 0 <= ties < 1:
        raise InputError(f"ties={ties:g}: must be at least 0 and under 1")
    if ratings_per_pair < 1:
        raise InputError(f"ratings_per_pair={ratings_per_pair:g}: must be at least 1")
    decisive = decisive_needed(rate, power)
    ratings = ceil(decisive / (1 - ties))
    overall = ties / 2 + (1 - ties) * rate
    return Needed(
        rate=rate,
        power=power,
        decisive=decisive,
        ratings=ratings,
        pairs=ceil(ratings / ratings_per_pair),
        target=aim,
        win_rate=overall,
        at_target=pass_chance(ratings, aim, aim, ties) if aim <= 1 - ties / 2 else None,
        at_rate=pass_chance(ratings, overall, aim, ties),
        passing_rate=rate_that_passes(ratings, aim, ties),
    )


def passing_words(found: Needed) -> str:
    """What the pass rule asks beyond telling from 50%."""
    aim = f"{100 * found.target:g}%"
    if found.at_target is None:
        return f"To pass takes more, and so many ties leave a target of {aim} out of reach."
    words = [
        f"To pass takes more: the target of {aim}, ties as halves, must be seen too. With "
        f"{found.ratings:,} ratings it is passed {100 * found.at_target:.0f} times in a hundred if "
        "it is just the truth; more ratings bring that to about half and no further.",
        f"A truth of {found.passing_rate:.1%} passes 80 times in a hundred."
        if found.passing_rate is not None
        else "No truth passes 80 times in a hundred.",
    ]
    if abs(found.win_rate - found.target) > 1e-9:
        tied = abs(found.win_rate - found.rate) > 1e-9
        halves = f" are {found.win_rate:.1%} with ties as halves, which" if tied else ""
        words.append(
            f"{100 * found.rate:g}% of decisive ratings{halves} {'passes' if tied else 'pass'} "
            f"{100 * found.at_rate:.0f} times in a hundred."
        )
    return " ".join([*words, "People who differ make it rarer."])


def mean_ratings(per_pair: float, overlap_share: float, overlap_ratings: float) -> float:
    """How often a pair is rated in the mean."""
    return max(1.0, per_pair + overlap_share * (max(overlap_ratings, per_pair) - per_pair))


def power_answer(
    rate: float, power: float, ties: float, per_pair: float, target: float | None = None
) -> str:
    """The answer in a sentence and in figures, or what is wrong with the question."""
    try:
        found = needed(rate, power, ties, per_pair, target)
    except InputError as error:
        return fault_note(error)
    said = (
        f"If the first arm truly wins {100 * rate:g}% of decisive ratings, "
        f"{found.decisive:,} of them tell it from 50% {100 * power:.0f} times in a hundred."
    )
    cells = "".join(
        f'<div><b class="num">{count:,}</b><small>{esc(word)}</small></div>'
        for count, word in (
            (found.decisive, "decisive ratings"),
            (found.ratings, f"ratings, with {100 * ties:.0f}% ties"),
            (found.pairs, f"pairs, {per_pair:.2g} ratings each"),
        )
    )
    return page(
        f'<div class="st-needed">{cells}</div><p class="soft">{esc(said)}</p>'
        f"<p>{esc(passing_words(found))}</p>"
    )


def usual_table() -> str:
    """The figures that most studies ask for."""
    rates = sorted({rate for rate, _ in USUAL})
    powers = sorted({power for _, power in USUAL})
    heads = "".join(f'<th scope="col" class="num">{100 * rate:.0f}%</th>' for rate in rates)
    rows = "".join(
        f'<tr><th scope="row">power {100 * power:.0f}%</th>'
        + "".join(_usual(rate, *USUAL[rate, power]) for rate in rates)
        + "</tr>"
        for power in powers
    )
    return page(
        '<div class="gu-tight"><table class="st-usual"><caption>Decisive ratings that tell a '
        "win rate from 50% (exact binomial test, two-sided 5%). Beneath: how often so many pass a "
        "target of that rate, at which truth."
        "</caption>"
        f'<thead><tr><th scope="col"></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _usual(target: float, decisive: int, passes: float, passing_rate: float) -> str:
    return (
        f'<td class="num">{decisive:,}<br><small>{passes:.0%} at {target:.0%}<br>'
        f"80% at {passing_rate:.1%}</small></td>"
    )
