"""What the Ablations tab shows of a group of jobs, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from db.session import Database
from guardui import render_group
from pipelines.comparison import AXES, Axis, Comparison
from pipelines.jobs.comparison import list_comparisons, read_comparison

LISTS = ("group", "metric", "axis")


@dataclass(frozen=True, slots=True)
class Looked:
    """What a visitor looks at: a group, one of its metrics, and what that is drawn along."""

    group: int | None = None
    metric: str | None = None
    axis: str | None = None


def choose(listed: Sequence[Comparison], wanted: int | None) -> int | None:
    """The wanted group where it is there, else the newest sweep, else the newest group."""
    ids = [one.id for one in listed]
    if wanted in ids:
        return wanted
    sweeps = [one.id for one in listed if one.kind == "sweep"]
    return next(iter([*sweeps, *ids]), None)


def view(database: Database, looked: Looked) -> dict[str, Any]:
    """Name of a part -> its value: HTML, (choices, value) of a list, whether there is a group, and
    whether its picture may still change."""
    listed = list_comparisons(database)
    chosen = choose(listed, looked.group)
    groups = (tuple((render_group.group_choice(one), one.id) for one in listed), chosen)
    if chosen is None:
        lists: dict[str, Any] = dict.fromkeys(LISTS, ((), None))
        return lists | {
            "head": render_group.NO_GROUP,
            "body": False,
            "chart": "",
            "table": "",
            "files": "",
        }
    found = read_comparison(database, chosen)
    metrics = found.metrics or ["loss"]
    metric = looked.metric if looked.metric in metrics else metrics[0]
    axes = found.axes(metric) or ["steps"]
    axis: Axis = next((one for one in axes if one == looked.axis), axes[0])
    return {
        "group": groups,
        "metric": (tuple((name.replace("_", " "), name) for name in metrics), metric),
        "axis": (tuple((AXES[one], one) for one in axes), axis),
        "head": render_group.group_head(found),
        "body": True,
        "chart": render_group.group_picture(found, metric, axis),
        "table": render_group.group_table(found),
        "files": render_group.group_files(found, metric, axis),
    }
