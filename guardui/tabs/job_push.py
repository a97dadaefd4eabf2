"""The push of a job's results: a preview of every file first, then a job that sends them."""

from __future__ import annotations

from typing import Any

import gradio as gr

from db import jobs
from db.session import Database
from guardui import render_push
from guardui.identity import on_space
from guardui.tabs.wiring import QUIET, SAYING, html, told
from pipelines.jobs import publishing, queue
from pipelines.schema import InputError
from pipelines.stages.base import kinds_taken

NO_TOKEN = InputError(
    "token: none is known here",
    advice="Type one into the field, set HF_TOKEN, or run `hf auth login`.",
)


def build() -> dict[str, Any]:
    """The panel's parts, under the job's buttons; hidden until asked for."""
    with gr.Column(visible=False, elem_id="job-push-panel", elem_classes="gu-panel") as panel:
        html('<div class="gu"><h3>Push to the Hub</h3></div>')
        warning = html(elem_id="push-warning")
        with gr.Row(elem_classes="gu-fields"):
            what = gr.Dropdown([], label="What", elem_id="push-what")
            repo = gr.Textbox(label="Repository", placeholder="OWNER/NAME", elem_id="push-repo")
            base = gr.Textbox(
                label="Base model on the Hub",
                placeholder="only where the record has a folder",
                elem_id="push-base",
            )
        public = gr.Checkbox(
            False, label="Public: anybody may see it", elem_id="push-public", container=False
        )
        token = gr.Textbox(
            label="Token",
            type="password",
            info="For this push alone; it is kept nowhere. Empty: the one of HF_TOKEN or the "
            "Hub's login.",
            elem_id="push-token",
            html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
            visible=not on_space(),
        )
        with gr.Row(elem_classes="gu-actions"):
            look = gr.Button("Preview", size="sm", scale=0, min_width=90, elem_id="push-look")
            send = gr.Button(
                "Push these files",
                variant="primary",
                size="sm",
                scale=0,
                min_width=120,
                interactive=False,
                elem_id="push-send",
            )
            away = gr.Button("Close", size="sm", scale=0, min_width=80, elem_id="push-close")
        shown = html(elem_id="push-preview")
    return {
        "panel": panel,
        "what": what,
        "repo": repo,
        "base": base,
        "public": public,
        "token": token,
        "warning": warning,
        "look": look,
        "send": send,
        "away": away,
        "shown": shown,
    }


def wire(database: Database, ui: dict[str, Any], button: gr.Button, picked: Any, job: Any) -> None:
    """`button` opens the panel for the job in `picked`; the push's own id goes into `job`."""
    fields = [ui[name] for name in ("what", "repo", "base", "public")]

    def ask(job_id: int | None) -> dict[Any, Any]:
        choices = _choices(database, job_id)
        warn = "" if on_space() or publishing.who_is_known() else render_push.no_token_note()
        return {
            ui["panel"]: gr.Column(visible=True),
            ui["what"]: gr.Dropdown(choices=choices, value=choices[0][1] if choices else None),
            ui["warning"]: warn,
            ui["shown"]: "",
            ui["send"]: gr.Button(interactive=False),
            ui["token"]: "",
        }

    button.click(
        ask,
        picked,
        [ui[n] for n in ("panel", "what", "warning", "shown", "send", "token")],
        **QUIET,
    )
    ui["away"].click(
        lambda: (gr.Column(visible=False), ""), None, [ui["panel"], ui["token"]], **QUIET
    )

    def look(what: str, repo: str, base: str, public: bool) -> tuple[str, gr.Button]:
        shown = ""
        with told("No preview") as said:
            values = _values(what, repo, base, public)
            shown = render_push.preview_part(publishing.preview(database, values))
        return shown or said.note, gr.Button(interactive=bool(shown))

    ui["look"].click(look, fields, [ui["shown"], ui["send"]], **SAYING)
    # What was looked at is what goes: another choice is looked at again.
    gr.on(
        [one.input for one in fields],
        lambda: ("", gr.Button(interactive=False)),
        None,
        [ui["shown"], ui["send"]],
        **QUIET,
    )
    _wire_sending(database, ui, fields, job)


def _wire_sending(database: Database, ui: dict[str, Any], fields: list[Any], job: Any) -> None:
    after = [job, ui["panel"], ui["token"], ui["shown"]]

    def push(what: str, repo: str, base: str, public: bool, token: str) -> list[Any]:
        with told("Not pushed") as said:
            values = _values(what, repo, base, public)
            number = start(database, values, token)
            return [number, gr.Column(visible=False), "", ""]
        return [gr.skip(), gr.skip(), "", said.note]

    if not on_space():
        ui["send"].click(push, [*fields, ui["token"]], after, **SAYING)
        return

    def push_as_visitor(
        what: str, repo: str, base: str, public: bool, visitor: gr.OAuthToken | None
    ) -> list[Any]:
        return push(what, repo, base, public, visitor.token if visitor else "")

    ui["send"].click(push_as_visitor, fields, after, **SAYING)


def start(database: Database, values: dict[str, Any], token: str) -> int:
    """Starts the push with the token that was handed over, else with the one that is known."""
    if token.strip():
        return publishing.submit_push(database, values, token)
    if not publishing.who_is_known():
        raise NO_TOKEN
    return queue.submit(database, "push", values)


def _values(what: str, repo: str, base: str, public: bool) -> dict[str, Any]:
    return {
        "what": what or "",
        "repo": (repo or "").strip(),
        "base": (base or "").strip(),
        "public": bool(public),
    }


def _choices(database: Database, job_id: int | None) -> list[tuple[str, str]]:
    """The job's artifacts that can go, the newest first."""
    if job_id is None:
        return []
    kinds = kinds_taken("pushable")
    with database.read() as session:
        found = jobs.artifacts(session, kind=kinds, job_id=job_id)
    return [(f"{one.name} (artifact:{one.id})", f"artifact:{one.id}") for one in found]
