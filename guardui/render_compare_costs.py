"""What a verdict takes, and what it costs a score to come to none, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guardui.render import DASH, esc, page
from guardui.render_compare import breakable, percent
from pipelines.comparing.table_parts import METRIC_WORDS
from pipelines.metrics import Spent
from pipelines.scoring.cells import Policy

POLICY_HEADS = {
    Policy.WRONG_ONCE: "wrong once",
    Policy.AUTHORS: "paper's script",
    Policy.DROPPED: "left out",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run's verdicts took; None where it wasn't recorded."""

    name: str
    tokens: Spent | None
    seconds: Spent | None


def costs(found: Sequence[Cost]) -> str:
    """Tokens and time of a verdict, a row each; nothing where no run recorded them."""
    if not found:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{breakable(one.name)}</th>'
        + _spent(one.tokens, "tokens", "{:,.0f}")
        + _spent(one.seconds, "seconds", "{:,.2f}")
        + "</tr>"
        for one in found
    )
    heads = "".join(
        f'<th scope="col" class="num">{what}<small>mean</small></th><th scope="col" class="num">'
        f"{what}<small>95 of 100 at most</small></th>"
        for what in ("Tokens", "Seconds")
    )
    return page(
        '<section class="cmp-table"><h3>What a verdict takes <small>seconds are its share of a '
        'batch</small></h3><div class="gu-scroll gu-stacks gu-tight"><table>'
        '<caption class="vh">Tokens and seconds of a verdict</caption><thead><tr>'
        f'<th scope="col">Model</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</section>"
    )


def _spent(one: Spent | None, what: str, form: str) -> str:
    values = (one.mean, one.p95) if one else (None, None)
    return "".join(
        f'<td class="num" data-label="{what}, {label}">'
        f"{DASH if value is None else form.format(value)}</td>"
        for value, label in zip(values, ("mean", "95 of 100 at most"), strict=True)
    )


@dataclass(frozen=True, slots=True)
class Failing:
    """A run's score on a benchmark under each policy, where some rows have no verdict."""

    run: str
    benchmark: str
    failure_rate: float
    failures: int
    scores: Mapping[Policy, float | None]


def policies(found: Sequence[Failing], metric: str) -> str:
    """How much the policy for rows without a verdict matters, a row for each that has some."""
    title = "<h3>Rows without a verdict, under each policy</h3>"
    if not found:
        return page(title + '<p class="soft">Every row has a verdict: the policies agree.</p>')
    word = METRIC_WORDS[metric]
    heads = "".join(
        f'<th scope="col" class="num">{esc(words)}<small>{esc(word)}</small></th>'
        for words in POLICY_HEADS.values()
    )
    rows = "".join(
        f'<tr><th scope="row">{breakable(one.benchmark)}</th>'
        f'<td data-label="run">{esc(one.run)}</td>'
        f'<td class="num" data-label="no verdict">{one.failures:,} '
        f"<small>{percent(one.failure_rate)}%</small></td>"
        + "".join(
            f'<td class="num" data-label="{esc(words)}">{percent(one.scores[policy])}</td>'
            for policy, words in POLICY_HEADS.items()
        )
        + "</tr>"
        for one in found
    )
    return page(
        f'<section class="cmp-policies">{title}<div class="gu-scroll gu-stacks gu-tight"><table>'
        f'<caption class="vh">{esc(word)} under each policy</caption><thead><tr>'
        '<th scope="col">Benchmark</th><th scope="col">Run</th>'
        f'<th scope="col" class="num">No verdict</th>{heads}</tr></thead><tbody>{rows}</tbody>'
        "</table></div></section>"
    )
