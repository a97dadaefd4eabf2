"""What is served: one page, or two behind one gate, and the routes beside them.

Where everybody is the same to it, GuardUI is one page. Where some may do more, it is two: the gate
sends researchers to the full one, and the other has nothing in it that they alone may use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount

from db.session import Database
from guardui.compare_downloads import report_routes
from guardui.doors import Doors
from guardui.gate import ASGIApp, Gate
from guardui.group_downloads import group_routes
from guardui.guarded import GuardedBlocks
from guardui.job_downloads import curve_routes
from guardui.layout import build_full, build_outer
from guardui.live import Live
from guardui.login_routes import login_routes
from guardui.moderation_routes import moderation_routes
from guardui.rate_routes import rate_routes
from guardui.slow_clients import close_slow
from guardui.study_downloads import study_routes
from guardui.tabs.sample_versions import download_routes
from guardui.theme import GuardTheme, head
from pipelines.jobs.backup import Saved
from pipelines.settings import Settings

UPLOAD = "2gb"
SESSIONS = 200
"""Browsers whose state Gradio keeps, about 2 MB each; the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class House:
    """`page` is launched with `options`; `full` is the researchers' page where it is another."""

    page: GuardedBlocks
    options: dict[str, Any]
    full: GuardedBlocks | None
    apps: dict[str, ASGIApp]
    live: Live


def build_house(
    database: Database, settings: Settings, doors: Doors, saved: Saved | None = None
) -> House:
    """Builds the pages and everything that is served with them. Nothing listens yet."""
    live = Live(database, settings)
    full = build_full(database, settings, live, doors) if doors.has_researchers else None
    outer = None
    if not doors.open:
        logins = doors.has_researchers
        outer = build_outer(database, settings, live, doors.outer_role, logins=logins)
    page = outer or full
    assert page is not None  # who is neither open nor has researchers has an outer page
    for one in (outer, full):
        if one is not None:
            one.queue(default_concurrency_limit=8, max_size=64)
            one.state_session_capacity = SESSIONS  # of a mounted page nothing else sets it
    apps: dict[str, ASGIApp] = {}
    behind = _mounted(full) if outer is not None and full is not None else None
    if behind is not None:
        apps["app"] = _app_in(behind)
    options = {
        "theme": GuardTheme(),
        "head": head(),
        "footer_links": ["api"] if doors.open else [],
        # It would keep what people moderate in their browser's storage.
        "run_history": False,
        "ssr_mode": False,
        "quiet": True,
        "show_error": True,
        "share": False,
        "max_file_size": UPLOAD,
        "state_session_capacity": SESSIONS,
        "app_kwargs": {
            "routes": routes(database, settings, doors, live, saved),
            "middleware": [Middleware(Gate, doors=doors, database=database, full=apps)],
            "lifespan": _lifespan(page, [] if behind is None else [behind]),
        },
    }
    return House(page, options, full, apps, live)


def routes(
    database: Database, settings: Settings, doors: Doors, live: Live, saved: Saved | None = None
) -> list[BaseRoute]:
    """What is served beside the page; the gate has a rule for each."""
    return [
        *login_routes(database, doors),
        *download_routes(database),
        *curve_routes(database),
        *group_routes(database),
        *report_routes(database),
        *study_routes(database),
        *rate_routes(database, settings, saved),
        *moderation_routes(database, settings, live),
    ]


def _mounted(full: GuardedBlocks) -> FastAPI:
    """The researchers' page as an app of its own, which only the gate leads to."""
    return gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        full,
        path="",
        footer_links=["api"],
        run_history=False,
        ssr_mode=False,
        show_error=True,
        max_file_size=UPLOAD,
        theme=GuardTheme(),
        head=head(),
    )


def _app_in(parent: FastAPI) -> ASGIApp:
    mounts = [route for route in parent.routes if isinstance(route, Mount)]
    return mounts[-1].app


def _connections(page: GuardedBlocks) -> set[Any]:
    """Of the server that the page is launched on; none before it has started."""
    return set(page.server.server_state.connections) if page.is_running else set()


def _lifespan(page: GuardedBlocks, apps: list[FastAPI]) -> Any:
    """Starts and ends what else must run while the page is served."""

    @asynccontextmanager
    async def running(_app: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for app in apps:
                lives: AbstractAsyncContextManager[Any] = app.router.lifespan_context(app)
                await stack.enter_async_context(lives)
            looking = asyncio.create_task(close_slow(lambda: _connections(page)))
            stack.callback(looking.cancel)
            yield

    return running
