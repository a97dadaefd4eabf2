"""Serves a page that others reach, and prints every route and listener that it has."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import gradio as gr

from db.session import open_database
from guardui.access import Role
from guardui.doors import Doors
from guardui.guarded import GuardedBlocks, name_of
from guardui.house import build_house
from pipelines.settings import get_settings


def routes_of(router: Any, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """(path, methods) of every route, those of routers inside routers too."""
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:  # FastAPI's inclusion of a router, whose routes have its prefix
            yield from routes_of(inner, prefix)
        elif hasattr(route, "routes"):
            yield from routes_of(route, prefix + route.path)
        else:
            yield prefix + route.path, sorted(route.methods or [])


def listeners_of(page: GuardedBlocks) -> list[tuple[int, str, str | None, bool]]:
    """(number, function, least role, whether it is API) of every listener."""
    return [
        (number, name_of(fn) if fn.fn else "", page.rule_of(fn), fn.api_visibility == "public")
        for number, fn in page.fns.items()
    ]


def main(port: int) -> None:
    settings = get_settings()
    doors = Doors(settings, "0.0.0.0")
    doors.users.add("ada", Role.RESEARCHER, "correct horse")
    doors.users.add("ben", Role.ANNOTATOR, "correct horse")
    house = build_house(open_database(settings.database_url), settings, Doors(settings, "0.0.0.0"))
    page, full = house.page, house.full
    assert full is not None
    options = {**house.options, "prevent_thread_lock": True}
    page.launch(server_name="127.0.0.1", server_port=port, **options)
    found = {
        "outer": sorted(routes_of(page.app)),
        "full": sorted(routes_of(house.apps["app"])),
        "outer_listeners": listeners_of(page),
        "full_listeners": listeners_of(full),
        "gradio": gr.__version__,
    }
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    page.block_thread()


if __name__ == "__main__":
    main(int(sys.argv[1]))
