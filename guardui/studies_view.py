"""What the Studies tab shows, as plain values: the list, and the part of a study in front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import annotators, studies
from db.jobs import list_jobs
from db.models import ACTIVE, WAITING, Job, Study, now
from db.session import Database
from guardui.render import copy_block, esc, page
from guardui.render_studies import NOT_CHOSEN, design, headline, studies_table
from guardui.render_study_items import NO_ITEM, item_page
from guardui.render_study_people import known_as, people_table
from guardui.render_study_report import report_part
from guardui.study_reports import records_of, report_of
from pipelines.jobs.study_facts import count_items, facts_of, item_at
from pipelines.studies.records import StudyFacts

STAGE = "study"
FAILED_SHOWN = 3
PARTS = {
    "report": "Report",
    "items": "Items",
    "people": "People",
    "design": "Design and files",
}
# button -> states in which it is there
BUTTONS = {
    "open": ("draft",),
    "pause": ("open",),
    "resume": ("paused",),
    "close": ("open", "paused"),
    "delete": ("draft",),
}


@dataclass(frozen=True, slots=True)
class Looked:
    """What a visitor looks at: a study, a part of it, and the place of an item, from 1."""

    study: int | None = None
    part: str = "report"
    item: int = 1


def view(database: Database, looked: Looked) -> dict[str, Any]:
    """Name of a part -> its value: HTML, choices, or whether something is seen. Of the inner tabs
    only the one in front is there."""
    with database.read() as session:
        found = [
            (facts_of(session, one), len(annotators.list_annotators(session, one.id)))
            for one in studies.list_studies(session)
        ]
        making = being_made(session)
    picked = choose([one for one, _ in found], looked.study)
    shown: dict[str, Any] = {
        "picked": picked,
        "list": studies_table(found, making, picked, now()),
        "body": picked is not None,
    }
    if picked is None:
        return shown | dict.fromkeys(BUTTONS, False) | {"headline": NOT_CHOSEN if found else ""}
    facts, people = next(pair for pair in found if pair[0].id == picked)
    shown |= {name: facts.state in states for name, states in BUTTONS.items()}
    shown["headline"] = headline(facts, people)
    shown["may_invite"] = facts.state != "closed"
    part = looked.part if looked.part in PARTS else "report"
    draw = {"report": _report, "items": _items, "people": _people, "design": _design}[part]
    return shown | draw(database, facts, looked)


def choose(found: list[StudyFacts], wanted: int | None) -> int | None:
    """The wanted study where it exists, else one that is rated, else the newest."""
    ids = {one.id for one in found}
    if wanted in ids:
        return wanted
    rated = [one.id for one in found if one.state == "open"]
    return next(iter([*rated, *(one.id for one in found)]), None)


def being_made(session: Session) -> list[Job]:
    """Jobs that are to make a study: those that go on, and of those that failed the newest."""
    done = {one for one in session.scalars(select(Study.job_id)) if one is not None}
    jobs = [job for job in list_jobs(session) if job.stage == STAGE and job.id not in done]
    going = [job for job in jobs if job.state in (*WAITING, *ACTIVE)]
    newest = max(done, default=0)
    ended = [job for job in jobs if job not in going and job.id > newest]
    return [*going, *ended[:FAILED_SHOWN]]


def _report(database: Database, facts: StudyFacts, _looked: Looked) -> dict[str, Any]:
    records = records_of(database, facts.id)
    report = report_of(records, following=True) if facts.state != "draft" else None
    return {"report": report_part(records.facts, report) if report else _draft(facts)}


def _draft(facts: StudyFacts) -> str:
    return page(
        '<div class="gu-empty"><strong>A draft</strong>Look through the items as annotators will '
        f"see them, read the design, then press Open. {facts.items:,} conversations are ready."
        "</div>"
    )


def _items(database: Database, facts: StudyFacts, looked: Looked) -> dict[str, Any]:
    with database.read() as session:
        total = count_items(session, facts.id)
        place = max(1, min(looked.item, total))
        seen = item_at(session, facts.id, place)
    if seen is None:
        return {"items": NO_ITEM}
    names = facts.arm_names
    arms = [names[arm] for arm in seen.arms]
    if seen.item["kind"] != "main":
        arms = ["the first trace", "the second trace"]
    left, right = seen.traces
    question = facts.design.question
    return {"items": item_page(place, total, seen.item, left, right, arms, question)}


def _people(database: Database, facts: StudyFacts, _looked: Looked) -> dict[str, Any]:
    records = records_of(database, facts.id)
    habits = {one.annotator: one for one in report_of(records, following=True).people}
    staying = [one for one in records.people if one.state != "withdrawn"]
    return {
        "people": people_table(records.people, habits),
        "person": tuple((known_as(one), one.id) for one in staying),
        "has_names": any(one.name for one in records.people),
    }


def _design(_database: Database, facts: StudyFacts, _looked: Looked) -> dict[str, Any]:
    return {"design": design(facts), "files": files(facts)}


# what -> (title, file, words)
FILES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Report": (
        ("Markdown", "report.md"),
        ("HTML", "report.html"),
        ("JSON", "report.json"),
    ),
    "Ratings, told by arm and without names": (
        ("JSONL", "ratings.jsonl"),
        ("Parquet", "ratings.parquet"),
        ("Hub dataset with its card (zip)", "dataset.zip"),
    ),
    "Preferred traces as DPO pairs": (
        ("Pair set (zip)", "pairs.zip"),
        ("TRL's form (JSONL)", "pairs.jsonl"),
    ),
}


def files(facts: StudyFacts) -> str:
    """Links to the report and the exports, and how to get them on the command line."""
    groups = "".join(
        f'<h3>{esc(title)}</h3><div class="gu-links st-files">'
        + "".join(
            f'<a class="gu-copy" href="studies/{facts.id}/{file}" download>{esc(word)}</a>'
            for word, file in links
        )
        + "</div>"
        for title, links in FILES.items()
    )
    command = (
        f"guardui study report {facts.id} --out report.md\n"
        f"guardui study export {facts.id} --format dataset --to ratings\n"
        f"guardui study export {facts.id} --format pairs --to pairs\n"
        "guardui run hsdpo --set adapter=ADAPTER --set pairs=pairs --set weighting=stored"
    )
    return page(groups, copy_block("The same on the command line", command), classes="gu-stack")
