"""A study's report as HTML: what it shows in a sentence, in a picture and in figures."""

from __future__ import annotations

from collections.abc import Sequence

from guardui.render import empty, esc, note, page
from guardui.render_compare import notes
from guardui.render_study_charts import (
    evidence_path,
    interval_bar,
    shares,
    strength_bar,
    win_scale,
)
from pipelines.preferences.results import Comparison, StudyReport
from pipelines.studies.figures import (
    Figure,
    agreement_figures,
    correlation_figures,
    counted_words,
    evidence_words,
    main_figures,
    shown,
    span,
)
from pipelines.studies.records import StudyFacts
from pipelines.studies.standing import SHORT, early_warning, ending_words, not_last
from pipelines.studies.words import pass_rule

NOT_OPEN = empty("Not open yet", "Open the study and invite people; their ratings appear here.")
NO_RATING = empty("No rating yet", "Invite people under People; the report follows their ratings.")


def report_part(facts: StudyFacts, report: StudyReport) -> str:
    """The whole report but the people, who have a part of their own."""
    if facts.state == "draft":
        return NOT_OPEN
    if not report.stored:
        return NO_RATING
    warning = early_warning(facts, report)
    several = len(report.comparisons) > 1
    closed = facts.state == "closed"
    title = SHORT if closed else "Still being rated"
    parts = [note("warn", title, [warning])] if warning else []
    if facts.design.stopping == "sequential":
        look = "ok" if report.stopping.enough else "info"
        title = "Did its rule let it end early?" if closed else "May it end?"
        parts.append(note(look, title, [report.stopping.sentence]))
    parts += [_ladder(report)] if report.ladder else []
    for place, one in enumerate(report.comparisons):
        body = comparison(one, facts, report)
        if several:
            body = (
                f'<details class="st-pair"{" open" if place == 0 else ""}><summary>'
                f"{esc(one.first)} against {esc(one.second)}: {shown(one.rate.value)}</summary>"
                f'<div class="in gu-stack">{body}</div></details>'
            )
        parts.append(body)
    parts += [_agreement(report), _counts(report, facts), _needed(report)]
    parts.append(notes("Worth knowing", report.remarks))
    return page(*parts, classes="gu-stack st-report")


def comparison(one: Comparison, facts: StudyFacts, report: StudyReport) -> str:
    """Two arms against each other."""
    head, target = _headline(one, facts, not_last(facts, report)), report.target
    if not one.votes:
        return head
    tables = [_strata(one, target), _criteria(one), _correlations(one)]
    return (
        f"{head}"
        f'<section class="st-part"><div class="st-hero">{win_scale(one, target)}{shares(one)}</div>'
        f"</section>{_figures('The win rate and what might explain it', main_figures(one), target)}"
        f"{_evidence(one)}{''.join(tables)}"
    )


def _headline(one: Comparison, facts: StudyFacts, word: str) -> str:
    """The result in a sentence, and the rule it was held to. `word`: why it isn't the last one."""
    passed = one.verdict.passed
    look, sign = {True: ("ok", "✓"), False: ("no", "✕"), None: ("none", "…")}[passed]
    ahead = ""
    if passed is not None and word:
        look, sign, ahead = "none", "…", f'<p class="st-word">{word}:</p>'
    rule = pass_rule(facts.design, one.first)
    return (
        f'<section class="st-verdict {look}">{ahead}<p class="st-said">'
        f'<span aria-hidden="true">{sign}</span> {esc(one.verdict.sentence)}</p>'
        f'<p class="soft">The rule, set before the first rating: {esc(rule)}</p></section>'
    )


def _section(title: str, body: str, more: str = "") -> str:
    said = f'<p class="soft">{esc(more)}</p>' if more else ""
    return f'<section class="st-part"><h3>{esc(title)}</h3>{said}{body}</section>'


def _table(caption: str, head: Sequence[str], rows: str) -> str:
    """A table whose first column is words and the others figures."""
    first, *rest = head
    heads = f'<th scope="col">{esc(first)}</th>' + "".join(
        f'<th scope="col" class="num">{esc(one)}</th>' for one in rest
    )
    return (
        '<div class="gu-scroll gu-stacks gu-tight"><table class="st-table">'
        f'<caption class="vh">{esc(caption)}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(label: str, text: str) -> str:
    gone = "" if text else " none"
    return f'<td class="num{gone}" data-label="{esc(label)}">{esc(text)}</td>'


def _figures(title: str, found: Sequence[Figure], target: float | None = None) -> str:
    """Estimates one a row, rates drawn too."""
    rows = ""
    for one in found:
        why = "; ".join(filter(None, [one.hint, one.estimate.method]))
        aim = target if one.aimed else None
        drawn = interval_bar(one.estimate, aim) if one.kind == "rate" else ""
        rows += (
            f'<tr><th scope="row">{esc(one.title)}<small>{esc(why)}</small></th>'
            f"{_cell('figure', shown(one.estimate.value, one.kind))}"
            f'<td class="st-bar">{drawn}</td>'
            f"{_cell('interval', span(one.estimate, one.kind))}"
            f"{_cell('n', f'{one.estimate.n:,}')}</tr>"
        )
    if not rows:
        return ""
    head = ("", "Figure", "", "95% interval", "n")
    return _section(title, _table(title, head, rows))


def _evidence(one: Comparison) -> str:
    said = evidence_words(one.evidence)
    more = f'<p class="soft">{esc(one.evidence.note)}</p>' if one.evidence.note else ""
    drawn = f'<div class="st-hero">{evidence_path(one.evidence, said)}</div>'
    return _section("Evidence as it comes in", f"<p>{esc(said)}</p>{drawn}{more}")


def _strata(one: Comparison, target: float) -> str:
    rows = "".join(
        f'<tr><th scope="row">{esc(each.title)}</th>{_cell("win rate", shown(each.rate.value))}'
        f'<td class="st-bar">{interval_bar(each.rate, target)}</td>'
        f"{_cell('interval', span(each.rate))}"
        f"{_cell('wins, ties, losses', f'{each.wins:,} / {each.ties:,} / {each.losses:,}')}</tr>"
        for each in one.strata
        if each.rate.n
    )
    if not rows:
        return ""
    head = ("Verdicts", "Win rate", "", "95% interval", "Wins / ties / losses")
    return _section("By whose verdicts were right", _table("Strata", head, rows))


def _criteria(one: Comparison) -> str:
    rows = "".join(
        f'<tr><th scope="row">{esc(each.name)}</th>'
        f"{_cell(one.first, shown(each.first, 'number'))}"
        f"{_cell(one.second, shown(each.second, 'number'))}"
        f"{_cell('difference', shown(each.difference.value, 'number'))}"
        f"{_cell('interval', span(each.difference, 'number'))}"
        f"{_cell('n', f'{each.difference.n:,}')}</tr>"
        for each in one.criteria
        if each.difference.n
    )
    if not rows:
        return ""
    head = ("Criterion, 1 to 5", one.first, one.second, "Difference", "95% interval", "n")
    return _section("Criteria", _table("Criteria", head, rows))


def _correlations(one: Comparison) -> str:
    found = [line for each in one.correlations for line in correlation_figures(each)]
    return _figures("Automatic reasoning score against people", found)


def _ladder(report: StudyReport) -> str:
    """All arms in one order (Bradley-Terry)."""
    reach = max([0.1, *(abs(end) for one in report.ladder for end in (one.low, one.high))])
    rows = "".join(
        f'<tr><th scope="row">{esc(one.name)}</th>'
        f"{_cell('rank', _rank(one.rank, one.rank_low, one.rank_high))}"
        f'<td class="st-bar">{strength_bar(one.strength, one.low, one.high, reach)}</td>'
        f"{_cell('strength', f'{one.strength:+.2f}')}"
        f"{_cell('interval', f'{one.low:+.2f} to {one.high:+.2f}')}</tr>"
        for one in sorted(report.ladder, key=lambda one: one.rank)
    )
    head = ("Arm", "Rank", "", "Strength", "95% interval")
    more = "Bradley-Terry: log odds of winning against the average arm."
    return _section("All arms together", _table("Strength of the arms", head, rows), more)


def _rank(rank: int, low: int, high: int) -> str:
    return f"{rank}" if low == high else f"{rank} ({min(low, high)} to {max(low, high)})"


def _agreement(report: StudyReport) -> str:
    found = [one for one in report.agreement if agreement_figures(one)]
    tables = "".join(
        f'<p class="soft">On {esc(one.scale)}: {one.pairs:,} pairs that several of '
        f"{one.annotators:,} people rated, {one.votes:,} ratings.</p>"
        + _figures("", agreement_figures(one)).replace("<h3></h3>", "")
        for one in found
    )
    said = tables or '<p class="soft">Too few pairs have several ratings to say.</p>'
    lines = dict.fromkeys(one.note for one in report.agreement if one.note)
    more = "".join(f'<p class="soft">{esc(line)}</p>' for line in lines)
    return _section("Do people agree?", said + more)


def _counts(report: StudyReport, facts: StudyFacts) -> str:
    told = [*counted_words(report, facts.design), *ending_words(facts)]
    items = "".join(f"<li>{esc(line)}</li>" for line in told)
    return _section("Stored and counted", f'<ul class="st-words">{items}</ul>')


def _needed(report: StudyReport) -> str:
    """How many decisive ratings tell the target from 50%, and what passing takes beyond."""
    rows = "".join(
        f'<tr><th scope="row">{shown(one.rate)} <small>from 50%</small></th>'
        f"{_cell('power', f'{100 * one.power:.0f}%')}"
        f"{_cell('decisive', f'{one.decisive:,}')}"
        f"{_cell('ratings', '' if one.ratings is None else f'about {one.ratings:,}')}"
        f"{_cell('there', '✓ yes' if one.reached else 'not yet')}"
        f"{_cell('passes at the target', '' if one.passes is None else f'{one.passes:.0%}')}"
        f"{_cell('80% pass at', shown(one.passing_rate))}</tr>"
        for one in report.needed
    )
    if not rows:
        return ""
    head = ("To tell", "Power", "Decisive", "With ties", "There", "Passes at the target",
            "80% pass at")  # fmt: skip
    more = (
        "To tell a rate from 50% is less than to pass. With so many ratings a study whose truth is "
        "just the target passes about half the time, for it must be seen at the target too, and "
        "more ratings don't change that; the last column has the truth that passes 80 times in a "
        "hundred. Ratings are taken as independent: people who differ make it rarer."
    )
    return _section("Enough to tell from 50%?", _table("Ratings needed", head, rows), more)
