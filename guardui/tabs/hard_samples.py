"""The Hard samples tab: what mining found, filtered, and one sample opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from db.jobs import list_jobs
from db.samples import get_sample, list_samples, sources
from db.session import Database
from guardui.render import day, empty
from guardui.render_jobs import job_name
from guardui.render_samples import sample_detail, samples_table
from guardui.tabs.wiring import PICK_ROW, QUIET, html
from pipelines.schema import GuardTask
from pipelines.template import GuardTemplate

Refresh = Callable[[int | None], list[Any]]
PAGE_ROWS = 12
EVERY = "all"
NOTHING_OPEN = empty("No sample opened", "Choose a row to see its answers and verdicts.")


@dataclass(frozen=True, slots=True)
class Filters:
    """What the list is narrowed to; the order is that of the components."""

    job: int | None
    task: str
    source: str
    min_weight: float | None
    text: str


def build(database: Database) -> tuple[Refresh, list[Any]]:
    """Builds the tab. Returns what brings it up to date, and the components that it then sets;
    it takes the first of them."""
    offset, opened = gr.State(0), gr.State(None)
    with gr.Row(elem_classes="gu-two"):
        with gr.Column(scale=5, min_width=320):
            with gr.Column(elem_classes="gu-panel"):
                job = gr.Dropdown([], label="Mining job", elem_id="samples-job")
                with gr.Row():
                    tasks = [(task.heading, task.value) for task in GuardTask]
                    task = gr.Dropdown(
                        [("All", EVERY), *tasks], value=EVERY, label="Task", min_width=110
                    )
                    source = gr.Dropdown(
                        [("All", EVERY)], value=EVERY, label="Source", min_width=110
                    )
                    weight = gr.Number(0, label="Weight at least", min_width=110, step=0.05)
                text = gr.Textbox(
                    label="Search", placeholder="Words in request or response", max_lines=1
                )
            with gr.Column(elem_classes="gu-panel"):
                table = html(js_on_load=PICK_ROW, elem_id="samples-table")
                with gr.Row():
                    back = gr.Button("Previous", size="sm", scale=0, min_width=100)
                    forth = gr.Button("Next", size="sm", scale=0, min_width=100)
        with gr.Column(scale=7, min_width=320, elem_classes="gu-panel"):
            detail = html(NOTHING_OPEN, elem_id="sample-detail")

    fields = [job, task, source, weight, text]
    listing = [table, back, forth, offset]

    def show(start: int, sample: int | None, *filled: Any) -> list[Any]:
        return list_page(database, Filters(*filled), start, sample)

    def pick(event: gr.EventData, start: int, *filled: Any) -> list[Any]:
        with database.read() as session:
            row = get_sample(session, int(event.id))
        if row is None:
            return [empty("This sample is gone", "Its job was run again."), None, *_skip(4)]
        page = list_page(database, Filters(*filled), start, row.id)
        return [sample_detail(row, GuardTemplate.default().steps), row.id, *page]

    gr.on(
        [job.change, task.change, source.change, weight.change, text.change],
        lambda sample, *filled: show(0, sample, *filled),
        [opened, *fields],
        listing,
        trigger_mode="always_last",
        **QUIET,
    )
    table.click(pick, [offset, *fields], [detail, opened, *listing], **QUIET)
    for button, by in ((back, -PAGE_ROWS), (forth, PAGE_ROWS)):
        button.click(
            lambda start, sample, *filled, by=by: show(max(0, start + by), sample, *filled),
            [offset, opened, *fields],
            listing,
            **QUIET,
        )

    def refresh(chosen: int | None) -> list[Any]:
        return job_choices(database, chosen)

    return refresh, [job, source, *listing]


def _skip(count: int) -> list[Any]:
    return [gr.skip() for _ in range(count)]


def job_choices(database: Database, chosen: int | None) -> list[Any]:
    """The mining jobs with samples, the newest chosen unless another was, and its first page."""
    with database.read() as session:
        mined = [
            one for one in list_jobs(session) if list_samples(session, job_id=one.id, limit=1)[1]
        ]
        job = chosen if chosen in {job.id for job in mined} else (mined[0].id if mined else None)
        found = sources(session, job) if job else []
    choices = [(f"{job_name(one)} · {day(one.finished_at)}", one.id) for one in mined]
    first = list_page(database, Filters(job, EVERY, EVERY, None, ""), 0, None)
    return [
        gr.Dropdown(choices, value=job),
        gr.Dropdown([("All", EVERY), *[(one or "none", one) for one in found]], value=EVERY),
        *first,
    ]


def list_page(database: Database, filters: Filters, start: int, opened: int | None) -> list[Any]:
    """[table, Previous, Next, offset] for the samples that match."""
    with database.read() as session:
        rows, total = list_samples(
            session,
            job_id=filters.job,
            task=None if filters.task == EVERY else filters.task,
            source=None if filters.source == EVERY else filters.source,
            text=filters.text.strip() or None,
            min_weight=filters.min_weight,
            limit=PAGE_ROWS,
            offset=start,
        )
    return [
        samples_table(rows, total, start, opened, mined=filters.job is not None),
        gr.Button(interactive=start > 0),
        gr.Button(interactive=start + len(rows) < total),
        start,
    ]
