"""A study's report as a file: Markdown, HTML or JSON. People are numbers there, never names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pipelines.hub import clean
from pipelines.preferences.results import Comparison, StudyReport
from pipelines.reports.as_html import html
from pipelines.reports.as_markdown import markdown
from pipelines.reports.blocks import Bullets, Cell, Document, Grid, Paragraph, Section
from pipelines.schema import InputError
from pipelines.studies.figures import (
    DASH,
    Figure,
    agreement_figures,
    correlation_figures,
    counted_words,
    evidence_words,
    main_figures,
    shown,
    span,
)
from pipelines.studies.records import StudyFacts, StudyRecords
from pipelines.studies.standing import citations, early_warning, ending_words, headlines
from pipelines.studies.words import CHANGED, design_words

FORMS = {"markdown": ".md", "html": ".html", "json": ".json"}
"""form -> the suffix of its files."""


def report_text(records: StudyRecords, report: StudyReport, form: str = "markdown") -> str:
    """The report in this form. Raises InputError for another."""
    if form not in FORMS:
        raise InputError(f"form={form}: must be one of {', '.join(FORMS)}")
    if form == "json":
        return json.dumps(report_json(records.facts, report), ensure_ascii=False, indent=2) + "\n"
    laid_out = document(records, report)
    return markdown(laid_out) if form == "markdown" else html(laid_out)


def report_json(facts: StudyFacts, report: StudyReport) -> dict[str, Any]:
    """The study's facts, what the report comes to in words, then the report as it is; rates are
    fractions, null where unknown."""
    words = {
        "headlines": headlines(facts, report),
        "warning": early_warning(facts, report),
        "citations": citations(facts, report),
    }
    return {"study": facts_json(facts), **words, **asdict(report)}


def facts_json(facts: StudyFacts) -> dict[str, Any]:
    """What a study is, without the places its arms lie at."""
    return {
        "id": facts.id,
        "name": facts.name,
        "state": facts.state,
        "arms": clean([dict(arm) for arm in facts.arms]),
        "design": clean(facts.design.model_dump(mode="json")),
        "design_hash": facts.design_hash,
        "changed": facts.changed,
        "job": facts.job_id,
        "items": facts.items,
        "practice": facts.practice,
        "attention": facts.attention,
        "pairs": facts.pairs,
        "strata": dict(facts.strata),
        "wanted": facts.wanted,
        "rated": facts.rated,
        "created_at": facts.created_at.isoformat(),
        "opened_at": facts.opened_at and facts.opened_at.isoformat(),
        "closed_at": facts.closed_at and facts.closed_at.isoformat(),
        "close_reason": facts.close_reason,
    }


def document(records: StudyRecords, report: StudyReport) -> Document:
    """The report, laid out for Markdown and HTML."""
    facts = records.facts
    lead = [CHANGED if facts.changed else "", *headlines(facts, report)]
    lead.append(early_warning(facts, report))
    if facts.design.stopping == "sequential":
        lead.append(report.stopping.sentence)
    return Document(
        title=facts.name,
        lead=tuple(filter(None, lead)),
        sections=tuple(_sections(records, report)),
    )


def _sections(records: StudyRecords, report: StudyReport) -> Iterator[Section]:
    facts = records.facts
    several = len(report.comparisons) > 1
    for one in report.comparisons:
        if not one.votes:
            continue
        title = f"{one.first} against {one.second}" if several else "Result"
        evidence = (Paragraph(evidence_words(one.evidence)), Paragraph(one.evidence.note))
        yield Section(title, (_figures("Win rate", main_figures(one)), *evidence))
        yield from _details(one)
    if report.ladder:
        yield Section("Strength of the arms", (_ladder(report),))
    yield from _agreement(report)
    ratings = [*counted_words(report, facts.design), *ending_words(facts)]
    yield Section("Ratings", (Bullets(tuple(ratings)),))
    if report.people:
        yield Section("People", (_people(records, report),))
    words = [*design_words(facts), f"SHA-256 of the frozen design: {facts.design_hash or 'draft'}"]
    yield Section("Design", (Bullets(tuple(words)),))
    if report.remarks:
        yield Section("Worth knowing", (Bullets(report.remarks),))


def _figures(caption: str, found: list[Figure]) -> Grid:
    rows = [
        (
            Cell(one.title, (one.hint,) if one.hint else ()),
            Cell(shown(one.estimate.value, one.kind)),
            Cell(span(one.estimate, one.kind)),
            Cell(f"{one.estimate.n:,}"),
            Cell(one.estimate.method),
        )
        for one in found
    ]
    head = ("", "Figure", "95% interval", "n", "How")
    return Grid(caption, head, tuple(rows), words=frozenset({4}))


def _details(one: Comparison) -> Iterator[Section]:
    strata = [stratum for stratum in one.strata if stratum.rate.n]
    if strata:
        rows = tuple(
            (
                Cell(stratum.title),
                Cell(f"{stratum.wins:,}"),
                Cell(f"{stratum.ties:,}"),
                Cell(f"{stratum.losses:,}"),
                Cell(shown(stratum.rate.value), (span(stratum.rate),)),
            )
            for stratum in strata
        )
        head = ("Verdicts", "Wins", "Ties", "Losses", f"{one.first} wins")
        yield Section("By whose verdicts were right", (Grid("Strata", head, rows),), level=3)
    if one.criteria:
        rows = tuple(
            (
                Cell(each.name),
                Cell(shown(each.first, "number")),
                Cell(shown(each.second, "number")),
                Cell(shown(each.difference.value, "number"), (span(each.difference, "number"),)),
                Cell(f"{each.difference.n:,}"),
            )
            for each in one.criteria
        )
        head = ("Criterion, 1 to 5", one.first, one.second, "Difference", "n")
        yield Section("Criteria", (Grid("Means", head, rows),), level=3)
    found = [line for each in one.correlations for line in correlation_figures(each)]
    if found:
        table = _figures("Automatic reasoning score and people", found)
        yield Section("Automatic score", (table,), level=3)


def _ladder(report: StudyReport) -> Grid:
    rows = tuple(
        (
            Cell(one.name),
            Cell(f"{one.rank}", (f"{one.rank_low} to {one.rank_high}",)),
            Cell(f"{one.strength:+.2f}", (f"{one.low:+.2f} to {one.high:+.2f}",)),
        )
        for one in sorted(report.ladder, key=lambda one: one.rank)
    )
    return Grid(
        "Bradley-Terry: log odds against the average arm", ("Arm", "Rank", "Strength"), rows
    )


def _agreement(report: StudyReport) -> Iterator[Section]:
    found = [one for one in report.agreement if agreement_figures(one)]
    if not found:
        return
    blocks = [
        _figures(f"{one.scale}: {one.pairs:,} pairs with several ratings", agreement_figures(one))
        for one in found
    ]
    notes = tuple(dict.fromkeys(one.note for one in found if one.note))
    yield Section("Agreement", (*blocks, *map(Paragraph, notes)))


def _people(records: StudyRecords, report: StudyReport) -> Grid:
    numbers = {one.code: one.number for one in records.people}
    rows = tuple(
        (
            Cell(f"Person {numbers[one.annotator]}", tuple(one.remarks)),
            Cell(one.state),
            Cell(f"{one.counted:,}", (f"of {one.stored:,} stored",)),
            Cell(seconds(one.median_seconds)),
            Cell(f"{one.attention_right} of {one.attention_seen}" if one.attention_seen else DASH),
            Cell(shown(one.left_rate.value)),
            Cell(shown(one.agreement)),
        )
        for one in sorted(report.people, key=lambda one: numbers[one.annotator])
    )
    head = ("Person", "State", "Counted", "Seconds", "Attention", "Left wins", "Agrees")
    return Grid("Who rated", head, rows, words=frozenset({1}))


def seconds(value: float | None) -> str:
    """A median in whole seconds."""
    return DASH if value is None else f"{value:.0f}"
