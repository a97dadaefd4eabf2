"""API keys, a part of the Access tab: made and shown once, listed, revoked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from db.api_keys import LONGEST_NAME
from db.session import Database
from guardui import key_acts
from guardui.render_keys import SCOPES, keys_table, made, question
from guardui.tabs.wiring import PICK_ROW, QUIET, SAYING, html, told

DAYS: list[tuple[str, int]] = [("30 days", 30), ("90 days", 90), ("1 year", 365), ("Never", 0)]
Refresh = Callable[[], list[Any]]


def build(database: Database) -> tuple[Refresh, list[Any]]:
    """Builds the part. Returns what brings it up to date, without inputs, and its outputs."""
    html(
        '<div class="gu"><h3>API keys</h3><p>Programs call <code>/v1/moderations</code>, '
        "<code>/v1/guard</code> and <code>/mcp</code> with one. "
        '<a href="/v1/docs" target="_blank" rel="noopener">How the API is called</a></p></div>'
    )
    with gr.Row(elem_classes="gu-fields"):
        name = gr.Textbox(
            label="What it is for", max_length=LONGEST_NAME, placeholder="ci", elem_id="key-name"
        )
        days = gr.Dropdown(DAYS, value=90, label="Expires after", elem_id="key-days")
        scopes = gr.CheckboxGroup(
            [(label, scope) for scope, label in SCOPES.items()],
            value=["moderate"],
            label="It may",
            elem_id="key-scopes",
        )
    make = gr.Button("Make key", variant="primary", size="sm", scale=0, elem_id="key-make")
    shown = html(elem_id="key-made")
    table = html(elem_id="keys", js_on_load=PICK_ROW)
    asked = gr.State(None)
    with gr.Column(visible=False, elem_id="key-asked") as asking:
        words = html()
        with gr.Row():
            yes = gr.Button("Yes, revoke it", variant="stop", size="sm", scale=0)
            no = gr.Button("Keep it", size="sm", scale=0)
    outputs = [table, shown, asking, asked]

    def refresh() -> list[Any]:
        return [keys_table(key_acts.list_all(database)), "", gr.Column(visible=False), None]

    def add(called: str, wanted: list[str], ends: int) -> list[Any]:
        with told("No key made") as outcome:
            key, text = key_acts.add(database, called or "", wanted, ends or None)
            return [*_with(refresh(), shown=made(key, text)), ""]
        return [*_with(refresh(), shown=outcome.note), gr.skip()]

    def ask(event: gr.EventData) -> dict[Any, Any]:
        key = next((k for k in key_acts.list_all(database) if k["id"] == event.id), None)
        if key is None or key["state"] != "active":
            return dict(zip(outputs, refresh(), strict=True))
        return {words: question(key), asking: gr.Column(visible=True), asked: key["id"]}

    def revoke(key: int | None) -> list[Any]:
        with told("Not revoked") as outcome:
            if key is not None:
                key_acts.revoke(database, key)
                gr.Info("It is refused from now on.", title=f"Key {key} revoked")
            return refresh()
        return _with(refresh(), shown=outcome.note)

    make.click(add, [name, scopes, days], [*outputs, name], **SAYING)
    table.click(ask, None, [*outputs, words], **QUIET)
    yes.click(revoke, asked, outputs, **SAYING)
    no.click(lambda: [gr.Column(visible=False), None], None, [asking, asked], **QUIET)
    return refresh, outputs


def _with(values: list[Any], *, shown: str) -> list[Any]:
    return [values[0], shown, *values[2:]]
