"""Rate: the annotators' tab. One part, in which a small script shows the server's screens.

Nothing goes through Gradio's events: an annotator's page must survive a reload, a laptop's sleep
and a restart of the server. What it asks goes to `guardui/rate_routes.py`.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from guardui.identity import on_space
from guardui.render_rate_entry import shell
from guardui.tabs.wiring import html
from guardui.theme import STATIC

SCRIPTS = ("rate.js", "rate_screens.js", "rate_events.js")


def build() -> None:
    """Builds the tab inside the present `gr.Tab`."""
    if on_space():
        # It brings the login's routes with it; elsewhere there is nobody to log in with.
        gr.LoginButton(icon=None, size="sm", elem_id="rate-login")
    script = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
    html(shell(), js_on_load=script, elem_id="rate-item")


def in_front(request: gr.Request) -> Any:
    """The tabs with this one chosen, where the page was opened by a personal link."""
    asked = request.query_params
    return gr.Tabs(selected="rate") if "rate" in asked or asked.get("tab") == "rate" else gr.skip()
