"""What a paired comparison says, in sentences that a reader needs no statistics for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.scoring.cells import Policy

if TYPE_CHECKING:  # it imports this module
    from pipelines.scoring.significance import Paired

NAMES = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "false_positive_rate": "the false-positive rate",
    "false_negative_rate": "the false-negative rate",
    "failure_rate": "the failure rate",
}
LOWER_IS_BETTER = frozenset({"false_positive_rate", "false_negative_rate", "failure_rate"})
_ABOUT = {
    "f1": "F1 leaves the rightly passed rows out of account",
    "precision": "precision looks at the positive verdicts alone",
    "balanced_accuracy": "balanced accuracy gives both labels the same say",
}


def in_words(
    paired: Paired, name_a: str, name_b: str, adjusted: float | None = None, comparisons: int = 1
) -> str:
    """Effect in points, its interval, McNemar's odds, and whether chance may explain it.

    `adjusted` is the p-value as `significance.holm` gives it among so many `comparisons`.
    """
    if not paired.rows:
        return f"{name_a} and {name_b} have no row in common: there is nothing to compare."
    metric = NAMES[paired.metric]
    if paired.difference is None or paired.a is None or paired.b is None:
        lacking = " nor for ".join(
            name for name, value in ((name_a, paired.a), (name_b, paired.b)) if value is None
        )
        return f"{_upper(metric)} is not defined for {lacking} on these {paired.rows:,} rows."
    if not paired.only_a_right and not paired.only_b_right and not paired.difference:
        same = f"{metric} is {100 * paired.a:.1f} for both ({_rows(paired.rows)})."
        return f"{_alike(paired, name_a, name_b)}: {same}"
    p = paired.p_value if adjusted is None else adjusted
    sentences = [_effect(paired, metric, name_a, name_b), _split(paired, name_a, name_b)]
    if adjusted is not None and comparisons > 1:
        sentences.append(
            f"With {comparisons} comparisons, one as uneven somewhere among them comes by chance "
            f"in at most {_share(adjusted)} of cases (Holm)."
        )
    return " ".join([*sentences, _verdict(paired, p, name_a, name_b)])


def _alike(paired: Paired, name_a: str, name_b: str) -> str:
    """What two have in common that differ on no row that McNemar's test looks at."""
    both = f"{name_a} and {name_b}"
    if paired.metric == "failure_rate":
        return f"{both} come to a verdict on the same rows"
    if among := _among(paired):
        return f"Of {among} {both} get the same ones right and wrong"
    return f"{both} are right and wrong on the same rows"


def _among(paired: Paired) -> str:
    """`the 6 positive rows`, where McNemar's test looks at some rows alone; else empty."""
    if paired.looked_at is None or paired.looked_at == paired.rows:
        return ""
    label = ""
    if paired.metric in ("recall", "false_negative_rate"):
        label = "positive "
    elif paired.metric == "false_positive_rate":
        label = "negative "
    verdict = ""
    if paired.policy is Policy.DROPPED and paired.metric != "failure_rate":
        verdict = " on which both come to a verdict"
    return f"the {paired.looked_at:,} {label}row{'' if paired.looked_at == 1 else 's'}{verdict}"


def _effect(paired: Paired, metric: str, name_a: str, name_b: str) -> str:
    difference = 100 * (paired.difference or 0.0)
    figures = (
        f"{100 * (paired.b or 0.0):.1f} against {100 * (paired.a or 0.0):.1f}, {_rows(paired.rows)}"
    )
    if f"{abs(difference):.1f}" == "0.0":
        text = f"{_upper(metric)} is the same for {name_b} and {name_a} to a tenth of a point"
    else:
        way = "higher" if difference > 0 else "lower"
        points = _points(abs(difference))
        text = f"{_upper(metric)} is {points} {way} for {name_b} than for {name_a}"
    if paired.interval is None:
        return f"{text} ({figures}); there are too few rows for an interval."
    low, high = (100 * end for end in paired.interval)
    says = "leaves out zero" if _leaves_out_zero(paired) else "includes zero"
    return (
        f"{text} ({figures}); the {100 * paired.level:.0f}% interval of the difference, "
        f"{low:+.1f} to {high:+.1f} points, {says}."
    )


def _split(paired: Paired, name_a: str, name_b: str) -> str:
    told_apart = paired.only_a_right + paired.only_b_right
    done = "comes to a verdict" if paired.metric == "failure_rate" else "is right"
    of_b, among = _rows(paired.only_b_right), ""
    if some := _among(paired):
        of_b, among = f"{paired.only_b_right:,}", f"Of {some} "
    text = (
        f"{among}{name_b} alone {done} on {of_b}, {name_a} alone on "
        f"{paired.only_a_right:,}; equally good moderators would split these at least so unevenly "
        f"in {_share(paired.p_value)} of cases (McNemar's exact test)."
    )
    if told_apart and 2 * 0.5**told_apart > 1 - paired.level:
        text += f" With {_rows(told_apart)} told apart that test could not have found anything."
    return text


def _verdict(paired: Paired, p: float, name_a: str, name_b: str) -> str:
    chance = 1 - paired.level
    beyond, uneven = _leaves_out_zero(paired), p < chance
    better_b = (paired.difference or 0.0) > 0
    if paired.metric in LOWER_IS_BETTER:
        better_b = not better_b
    if beyond and uneven:
        if better_b == (paired.only_b_right > paired.only_a_right):
            return "Both tests say that chance is a poor explanation of the difference."
        metric, more = NAMES[paired.metric], name_a if better_b else name_b
        return (
            f"The two point in opposite directions: {metric} favours "
            f"{name_b if better_b else name_a}, but {more} is right on more rows. Which is the "
            "better depends on which mistakes cost more."
        )
    if not beyond and not uneven:
        return (
            "Chance alone may explain the difference; that does not show that the two are "
            "equally good."
        )
    about = _ABOUT.get(paired.metric, "the interval draws whole prompts with all their rows")
    seen = "the interval sees a difference and the split of rows does not"
    if uneven:
        seen = "the split of rows is uneven beyond chance and the interval includes zero"
    if paired.interval is None:
        return "There is no interval to set beside the split: take the difference as unsettled."
    return (
        f"The two tests disagree: {seen} ({about}; McNemar counts every row alike). Take the "
        "difference as unsettled."
    )


def _leaves_out_zero(paired: Paired) -> bool:
    return paired.interval is not None and (paired.interval[0] > 0 or paired.interval[1] < 0)


def _share(p: float) -> str:
    if p < 0.0001:
        return "less than 0.01%"
    return f"{100 * p:.2f}%" if p < 0.001 else f"{100 * p:.1f}%"


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"


def _points(value: float) -> str:
    return f"{value:.1f} point{'' if f'{value:.1f}' == '1.0' else 's'}"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
