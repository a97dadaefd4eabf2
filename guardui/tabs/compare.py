"""The Compare tab: evaluations side by side, in tables, in pairs, and along what they cost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import gradio as gr

from db.session import Database
from guardui.compare_view import LISTS, PARTS, POLICIES, SWITCHES, Looked, view
from guardui.jobs_view import changes
from guardui.tabs.wiring import QUIET, html
from guardui.theme import STATIC
from pipelines.comparing.table_parts import METRIC_WORDS

# Counting a dozen runs for the first time takes a second or two.
COUNTING: dict[str, Any] = {**QUIET, "show_progress": "minimal"}
# What a visitor without a login may look at: figures. Rows of benchmarks are under licences of
# their own, some behind a consent, and aren't to be read from here by everybody.
FREE_PARTS = ("tables", "training", "calibration")
_PLACE = re.compile(r"(?<![\w./:<])/(?:[^\s<>\"'&/]+/)+(?=[^\s<>\"'&/])")
AT_FIRST: dict[str, Any] = {"part": "tables", "kind": "a_right", "page": 1, "opened": None}


@dataclass(frozen=True, slots=True)
class CompareTab:
    """What the layout needs: how to bring the tab up to date."""

    refresh: Any
    inputs: list[Any]
    outputs: list[Any]


def build(database: Database, *, public: bool = False) -> CompareTab:
    """Builds the tab; it asks for what it shows once it is looked at. Nothing in it changes
    anything; for the public it has figures only, no files, and no places on this machine."""
    ui: dict[str, Any] = {}
    place, seen = gr.State(AT_FIRST), gr.State({})
    script = (STATIC / "compare.js").read_text(encoding="utf-8")
    with gr.Column(elem_classes="gu-panel", elem_id="compare-top"):
        fields = _fields(ui)
    with gr.Column(visible=False, elem_id="compare-body") as ui["body"]:
        parts, details = _parts(ui, script, FREE_PARTS if public else tuple(PARTS))
    asked = [*fields, details, *(ui[name] for name in ("a", "b", "benchmark", "axis", "measure"))]
    inputs, outputs = [*asked, place, seen], [*ui.values(), place, seen]

    def refresh(*values: Any) -> dict[Any, Any]:
        *chosen, at, sent = values
        if public:
            at = at | {"part": at["part"] if at["part"] in FREE_PARTS else "tables"}
        shown = view(database, looked(chosen, at))
        if public:
            shown = free(shown, ui)
        changed, marks = changes(shown, sent)
        drawn = {ui[name]: as_update(name, part) for name, part in changed.items()}
        return drawn | {place: at | {"came": True}, seen: sent | marks}

    def turned(event: gr.SelectData, *values: Any) -> dict[Any, Any]:
        *chosen, at, sent = values
        part = next((name for name, title in PARTS.items() if title == event.value), "tables")
        return refresh(*chosen, at | {"part": part}, sent)

    def picked(event: gr.EventData, *values: Any) -> dict[Any, Any]:
        *chosen, at, sent = values
        return refresh(*chosen, at | moved(event.ask), sent)

    def runs_changed(*values: Any) -> dict[Any, Any]:
        *chosen, at, sent = values
        if not (chosen[0] or at.get("filled")):
            return {place: gr.skip()}  # the list as it was made, before the first runs came
        return refresh(*chosen, at | {"filled": True}, sent)

    # Clearing all runs at once is a change, and no input.
    ui["runs"].change(runs_changed, inputs, outputs, **COUNTING)
    moved_by = [one.input for one in asked if one is not ui["runs"]]
    gr.on(moved_by, refresh, inputs, outputs, **COUNTING)
    parts.select(turned, inputs, outputs, **COUNTING)
    if not public:
        gr.on([ui["kinds"].click, ui["rows"].click], picked, inputs, outputs, **QUIET)
    return CompareTab(refresh, inputs, outputs)


def _fields(ui: dict[str, Any]) -> list[Any]:
    """The runs, how they are scored, and what only some parts ask; returns the first three."""
    ui["runs"] = gr.Dropdown([], label="Runs", multiselect=True, elem_id="compare-runs")
    with gr.Row(elem_classes="gu-fields"):
        policies = [(words, one.value) for one, words in POLICIES.items()]
        policy = gr.Dropdown(policies, label="A row without a verdict", elem_id="compare-policy")
        metrics = [(words, name) for name, words in METRIC_WORDS.items()]
        metric = gr.Dropdown(metrics, label="Metric", elem_id="compare-metric")
    with gr.Row(elem_classes="gu-fields", visible=False) as ui["pair_fields"]:
        for name, label in (("a", "A"), ("b", "B"), ("benchmark", "Benchmark")):
            ui[name] = gr.Dropdown([], label=label, elem_id=f"compare-{name}")
    with gr.Row(elem_classes="gu-fields", visible=False) as ui["training_fields"]:
        for name, label in (("axis", "Along"), ("measure", "Of")):
            ui[name] = gr.Dropdown([], label=label, elem_id=f"compare-{name}")
    ui["head"] = html(elem_id="compare-head")
    return [ui["runs"], policy, metric]


def _parts(
    ui: dict[str, Any], script: str, offered: tuple[str, ...]
) -> tuple[gr.Tabs, gr.Checkbox]:
    """The parts behind their tabs, each drawn when it is looked at, and the tables' own switch."""
    switch = gr.Checkbox(
        label="Show intervals in the cells", elem_id="compare-details", render=False
    )
    drawn = {
        "tables": ("tables", "costs", "files"),
        "mistakes": ("matrices", "policies", "errors"),
        "training": ("trend",),
        "calibration": ("calibration",),
    }
    with gr.Tabs(
        elem_classes="gu-inner", elem_id="compare-parts", overflow_behavior="wrap"
    ) as parts:
        for part in offered:
            with gr.Tab(PARTS[part], id=part):
                if part == "pair":
                    _pair(ui, script)
                    continue
                with gr.Column(elem_classes="gu-panel"):
                    if part == "tables":
                        switch.render()
                    for name in drawn[part]:
                        ui[name] = html(js_on_load=script, elem_id=f"compare-{name}")
    return parts, switch


def _pair(ui: dict[str, Any], script: str) -> None:
    """Tests above, rows to look at below."""
    with gr.Column(elem_classes="gu-panel"):
        ui["tests"] = html(elem_id="compare-tests")
    with gr.Column(elem_classes="gu-panel"):
        ui["kinds"] = html(js_on_load=script, elem_id="compare-kinds")
        with gr.Row(elem_classes="cmp-columns"):
            with gr.Column(min_width=0):
                ui["rows"] = html(js_on_load=script, elem_id="compare-rows")
            with gr.Column(min_width=0):
                ui["detail"] = html(js_on_load=script, elem_id="compare-detail")


def free(shown: dict[str, Any], ui: dict[str, Any]) -> dict[str, Any]:
    """What of a view is for everybody: no links to files, and no folder of this machine."""
    kept: dict[str, Any] = {}
    for name, part in shown.items():
        if name == "files" or name not in ui:
            continue
        if isinstance(part, str):
            part = _PLACE.sub("", part)
        elif name in LISTS:
            choices, value = part
            part = (tuple((_PLACE.sub("", str(words)), one) for words, one in choices), value)
        kept[name] = part
    return kept


def looked(chosen: list[Any], at: dict[str, Any]) -> Looked:
    """What the fields and the place in the tab say together. No runs chosen at all is a choice;
    before the list has come nobody has made any."""
    runs, policy, metric, details, a, b, benchmark, axis, measure = chosen
    return Looked(
        None if not runs and not at.get("came") else tuple(runs or ()),
        policy,
        metric,
        bool(details),
        at["part"],
        a,
        b,
        benchmark or "",
        axis or "",
        measure or "",
        at["kind"],
        at["page"],
        at["opened"],
    )


def moved(asked: Any) -> dict[str, Any]:
    """What a click on a kind, a page or a row changes; what makes no sense changes nothing."""
    given = asked if isinstance(asked, dict) else {}
    kept: dict[str, Any] = {}
    for name, kind in (("kind", str), ("page", int), ("opened", str)):
        if isinstance(given.get(name), kind):
            kept[name] = given[name]
    return kept | ({"opened": None} if "kind" in kept else {})


def as_update(name: str, part: Any) -> Any:
    """A part's plain value as Gradio takes it."""
    if name in LISTS:
        choices, value = part
        kept = list(value) if isinstance(value, tuple) else value
        return gr.Dropdown(choices=list(choices), value=kept)
    if name in SWITCHES:
        return gr.Row(visible=part) if name != "body" else gr.Column(visible=part)
    return part
