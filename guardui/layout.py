"""The page: a header that always tells device and job, and the tabs in reading order."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from typing import Any

import gradio as gr

from db.jobs import list_jobs
from db.models import ACTIVE, now
from db.session import Database
from guardui import api
from guardui.access import TERMINAL, Role, Visitor, current, public_may_classify, role_of
from guardui.compare_runs import ids_of
from guardui.doors import Doors
from guardui.guarded import GuardedBlocks
from guardui.live import Live
from guardui.render import header
from guardui.render_jobs import running_line
from guardui.tabs import (
    ablations,
    access,
    classify,
    compare,
    hard_samples,
    jobs,
    rate,
    studies,
    train,
)
from guardui.tabs.wiring import QUIET, html
from pipelines.jobs.queue import detect_device
from pipelines.settings import Settings

HEADER_SECONDS = 3.0
ASKED = ("job", "group", "compare")
"""What the address of the page may name, each drawn by its tab."""


# The functions that the page for everybody may call, by where they are written. The endpoint for
# programs asks by itself, for a key may call it as well.
FREE = {
    "guardui.layout.build_outer.": Role.PUBLIC,
    "guardui.tabs.rate.": Role.PUBLIC,
    "gradio.components.login_button.": Role.PUBLIC,  # on a Space: who is logged in with the Hub
    "guardui.tabs.classify.": Role.PUBLIC,
    "guardui.tabs.compare.": Role.PUBLIC,
    "guardui.api.publish.<locals>.classify": Role.PUBLIC,
}
MODERATING = "guardui.tabs.classify.build.<locals>.run"


def build_page(
    database: Database, settings: Settings, live: Live | None = None, *, logins: bool = False
) -> GuardedBlocks:
    """All of the page for its only role, that of `role_of`."""
    live = live or Live(database, settings)
    if role_of(settings) is Role.RESEARCHER:
        return build_full(database, settings, live, Doors(settings, settings.host))
    return build_outer(database, settings, live, Role.PUBLIC, logins=logins)


def build_full(database: Database, settings: Settings, live: Live, doors: Doors) -> GuardedBlocks:
    """The researchers' page: all tabs. Nobody else reaches any listener of it."""
    # Analytics would call out at every start.
    with GuardedBlocks(
        Role.RESEARCHER, title="GuardUI", analytics_enabled=False, fill_width=True
    ) as page:
        top = html(header_html(database, settings), elem_id="header")
        pulse = gr.Timer(HEADER_SECONDS)
        # Outside of the tabs: among them it would take the place of one.
        launched = gr.State(None)
        # No State: that tells of its change by the queue alone, whose answer a page that is left at
        # once would miss with an error on its console.
        asked = {name: gr.Textbox("", visible=False) for name in ASKED}
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            with gr.Tab("Classify", id="classify") as classify_tab:
                refresh, moderators = classify.build(database, settings, live)
            _build_workshop(page, database, settings, tabs, launched, asked)
            with gr.Tab("Rate", id="rate"):
                rate.build()
            with gr.Tab("Access", id="access") as access_tab:
                entries = access.build(database, doors)
            access_tab.select(entries.refresh, entries.inputs, entries.outputs, **QUIET)
            page.load(rate.in_front, None, tabs, **QUIET)
        gr.on([pulse.tick, page.load], lambda: header_html(database, settings), None, top, **QUIET)
        classify_tab.select(refresh, moderators, moderators, **QUIET)
        page.load(refresh, moderators, moderators, **QUIET)
        api.publish(database, settings, live)
        api.publish_jobs(database)
    return page


def build_outer(
    database: Database, settings: Settings, live: Live, least: Role, *, logins: bool = False
) -> GuardedBlocks:
    """The page of everybody else: Classify for whom it is open, Rate, and in a demo the figures of
    Compare. It has no listener of the workshop."""
    free = public_may_classify(settings)
    listed = {MODERATING: Role.PUBLIC if free else Role.ANNOTATOR, **FREE}
    with GuardedBlocks(
        least, listed, title="GuardUI", analytics_enabled=False, fill_width=True
    ) as page:
        top = html(header_html(database, settings, logins=logins), elem_id="header")
        pulse = gr.Timer(HEADER_SECONDS)
        first = "classify" if free else "rate"
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap", selected=first) as tabs:
            with gr.Tab("Classify", id="classify", visible=free) as classify_tab:
                refresh, moderators = classify.build(database, settings, live)
            if settings.demo:
                with gr.Tab("Compare", id="compare") as compare_tab:
                    evaluated = compare.build(database, public=True)
                compare_tab.select(
                    evaluated.refresh, evaluated.inputs, evaluated.outputs, **compare.COUNTING
                )
            with gr.Tab("Rate", id="rate"):
                rate.build()
            page.load(rate.in_front, None, tabs, **QUIET)

        def head() -> str:
            return header_html(database, settings, logins=logins)

        def offered() -> gr.Tab:
            return gr.Tab(visible=free or current().role is not Role.PUBLIC)

        gr.on([pulse.tick, page.load], head, None, top, **QUIET)
        page.load(offered, None, classify_tab, **QUIET)
        classify_tab.select(refresh, moderators, moderators, **QUIET)
        page.load(refresh, moderators, moderators, **QUIET)
        api.publish(database, settings, live)
    return page


def _build_workshop(
    page: gr.Blocks,
    database: Database,
    settings: Settings,
    tabs: gr.Tabs,
    launched: gr.State,
    asked: dict[str, gr.Textbox],
) -> None:
    """Train, Jobs, Ablations, Hard samples, Compare, Studies, and what goes between them."""
    with gr.Tab("Train", id="train") as train_tab:
        forms = train.build(database, settings, launched)
    with gr.Tab("Jobs", id="jobs") as jobs_tab:
        board = jobs.build(database, settings, launched, forms, tabs)
    with gr.Tab("Ablations", id="ablations") as ablations_tab:
        compared = ablations.build(database, settings)
    with gr.Tab("Hard samples", id="samples"):
        hard_samples.build(database, forms, tabs)
    with gr.Tab("Compare", id="compare") as compare_tab:
        evaluated = compare.build(database)
    with gr.Tab("Studies", id="studies") as studies_tab:
        studied = studies.build(database, settings)

    def to_jobs(job: str | None, *rest: Any) -> dict[Any, Any]:
        return board.refresh(job, *rest)

    def opened(wanted: str, *rest: Any) -> dict[Any, Any]:
        return board.refresh(int(wanted) if wanted.isdigit() else None, *rest)

    train_tab.select(lambda: forms.offers(database), None, forms.reference_fields, **QUIET)
    jobs_tab.select(to_jobs, board.inputs, board.outputs, **QUIET)
    ablations_tab.select(compared.refresh, compared.inputs, compared.outputs, **QUIET)
    compare_tab.select(evaluated.refresh, evaluated.inputs, evaluated.outputs, **compare.COUNTING)
    studies_tab.select(studied.refresh, studied.inputs, studied.outputs, **studies.COUNTING)
    # The boards' timers run only while somebody looks at them.
    tabs.select(board_timers, None, [board.timer, compared.timer, studied.timer], **QUIET)

    def group_of(wanted: str, *rest: Any) -> dict[Any, Any]:
        return group_asked_for(compared, tabs, wanted, *rest)

    def runs_of(wanted: str, *rest: Any) -> dict[Any, Any]:
        return runs_asked_for(evaluated, tabs, wanted, *rest)

    # A tab is drawn at the start only where the address asks for it: whatever any listener has
    # answered once costs the browser time at each further answer, of the header's too.
    page.load(read_address, None, list(asked.values()), **QUIET)
    for name, draw, inputs, outputs in (
        ("job", opened, board.inputs, board.outputs),
        ("group", group_of, compared.inputs, [*compared.outputs, compared.timer, tabs]),
        ("compare", runs_of, evaluated.inputs, [*evaluated.outputs, tabs]),
    ):
        asked[name].change(draw, [asked[name], *inputs[1:]], outputs, **QUIET)

    def picked(event: gr.EventData, *rest: Any) -> dict[Any, Any]:
        # A tab that is chosen from here, not by a click, tells nobody: the timers are set too.
        shown = {tabs: gr.Tabs(selected="jobs"), board.timer: gr.Timer(active=True)}
        return to_jobs(event.id, *rest) | shown | {compared.timer: gr.Timer(active=False)}

    compared.table.click(
        picked, board.inputs[1:], [*board.outputs, board.timer, compared.timer, tabs], **QUIET
    )
    page.load(hard_samples.in_front, None, tabs, **QUIET)


def read_address(request: gr.Request) -> list[str]:
    """What the address of the page names of `ASKED`; empty where it names none."""
    return [request.query_params.get(name, "") for name in ASKED]


def board_timers(event: gr.SelectData) -> list[gr.Timer]:
    """The timers of Jobs, Ablations and Studies, each on while its tab is in front."""
    return [gr.Timer(active=event.value == name) for name in ("Jobs", "Ablations", "Studies")]


def group_asked_for(
    compared: ablations.AblationsTab, tabs: gr.Tabs, wanted: str, *rest: Any
) -> dict[Any, Any]:
    """The Ablations tab in front with a group, where the address of the page names one."""
    if not (wanted.isascii() and wanted.isdigit()) or len(wanted) > 9:
        return {tabs: gr.skip()}  # an empty dictionary would count as one value
    shown = {tabs: gr.Tabs(selected="ablations"), compared.timer: gr.Timer(active=True)}
    return compared.refresh(int(wanted), *rest) | shown


def runs_asked_for(
    evaluated: compare.CompareTab, tabs: gr.Tabs, wanted: str, *rest: Any
) -> dict[Any, Any]:
    """The Compare tab in front with these runs, where the address of the page names some."""
    ids = ids_of(wanted)
    if ids is None:
        return {tabs: gr.skip()}
    return evaluated.refresh(ids, *rest) | {tabs: gr.Tabs(selected="compare")}


def header_html(database: Database, settings: Settings, *, logins: bool = False) -> str:
    """The header as it is now, for the present visitor."""
    with database.read() as session:
        active = list_jobs(session, states=ACTIVE, limit=1)
    running = running_line(active[0] if active else None, now())
    visitor = current()
    if visitor is TERMINAL:
        visitor = Visitor(role_of(settings))
    # Who is at this machine has no login to end.
    name = "" if visitor.at_machine else visitor.name
    return header(device_name(), running, visitor.role.value, name, logins=logins)


@cache
def device_name() -> str:
    """What the jobs run on, told without torch: `2 CPU cores`, or the GPUs by name."""
    if detect_device() != "cpu":
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
        names = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
        if names:
            return names[0] if len(names) == 1 else f"{len(names)} {names[0]}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return "1 CPU core" if cores == 1 else f"{cores} CPU cores"
