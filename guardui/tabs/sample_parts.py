"""The parts of the Hard samples tab, each drawn from the database for a place in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import HardSampleRow, Job
from db.samples import (
    SampleFilter,
    balance,
    count_samples,
    facet_counts,
    get_sample,
    sample_lines,
    wrong_histogram,
)
from db.session import Database
from guardui.render import day
from guardui.render_job import job_name
from guardui.render_sample_detail import gone, sample_detail
from guardui.render_sample_filters import Counts, filters
from guardui.render_sample_sets import SetChoice, balance_fold, head
from guardui.render_samples import NOTHING_OPEN, samples_list
from guardui.sample_address import PAGE_ROWS, Place
from guardui.tabs.sample_versions import versions_part
from pipelines.jobs.freezing import job_template

PARTS = ("head", "balance", "versions", "filters", "list", "detail")
"""In the order in which they stand on the page."""


def whole(session: Session, place: Place) -> Place:
    """The place with a set that there is: the one named, else the newest with hard samples."""
    if place.filter.job_id is not None and _has_samples(session, place.filter.job_id):
        return place
    newest = session.scalar(
        select(HardSampleRow.job_id).order_by(HardSampleRow.job_id.desc()).limit(1)
    )
    if place.filter.job_id is None and place.sample is not None:
        row = session.get(HardSampleRow, place.sample)
        newest = row.job_id if row is not None else newest
    return replace(place, filter=replace(place.filter, job_id=newest))


def _has_samples(session: Session, job_id: int) -> bool:
    query = select(HardSampleRow.id).where(HardSampleRow.job_id == job_id).limit(1)
    return session.scalar(query) is not None


def draw(
    database: Database, place: Place, wanted: Collection[str], asked: Mapping[str, Any]
) -> tuple[Place, dict[str, str]]:
    """The parts asked for as HTML, by name, and the place as it turned out to be.

    All is read in one transaction, so that the figures of a page agree.
    """
    drawn: dict[str, str] = {}
    with database.read() as session:
        place = whole(session, place)
        f = place.filter
        # First what reads most: the other figures are told from the same reading.
        facets = facet_counts(session, f) if "filters" in wanted else {}
        matching = count_samples(session, f) if {"filters", "list", "balance"} & set(wanted) else 0
        for name in wanted:
            match name:
                case "head":
                    drawn[name] = _head(session, f.job_id)
                case "balance":
                    drawn[name] = _balance(session, place, matching, asked)
                case "versions":
                    drawn[name] = versions_part(session, f.job_id, asked)
                case "filters":
                    counts = Counts(matching, wrong_histogram(session, f), facets)
                    drawn[name] = filters(place, counts)
                case "list":
                    lines = sample_lines(
                        session, f, order=place.order, limit=PAGE_ROWS, offset=place.offset
                    )
                    drawn[name] = samples_list(place, lines, matching)
                case "detail":
                    drawn[name] = _detail(session, place.sample)
    return place, drawn


def _head(session: Session, job_id: int | None) -> str:
    query = select(HardSampleRow.job_id, func.count()).group_by(HardSampleRow.job_id)
    counts: dict[int, int] = dict(session.execute(query).tuples().all())
    jobs = session.scalars(select(Job).where(Job.id.in_(counts)).order_by(Job.id.desc()))
    choices = [
        SetChoice(job.id, f"{job_name(job)} · {day(job.finished_at)}", counts[job.id])
        for job in jobs
    ]
    facets = facet_counts(session, SampleFilter(job_id=job_id, hardness=""))
    return head(choices, job_id, facets["review"], facets["flag"])


def _balance(session: Session, place: Place, matching: int, asked: Mapping[str, Any]) -> str:
    if place.filter.job_id is None:
        return ""
    told = balance(session, place.filter) if asked.get("balance") else None
    return balance_fold(place, matching, told)


def _detail(session: Session, sample: int | None) -> str:
    if sample is None:
        return NOTHING_OPEN
    row = get_sample(session, sample)
    if row is None:
        return gone(sample)
    return sample_detail(row, job_template(session, row.job_id).steps)
