"""The Access tab: how the page stands open, who may log in, API keys, and what was done by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from db.audit import entries, record
from db.session import Database
from guardui.access import Role
from guardui.doors import Doors
from guardui.render_access import ACTS, invited, log, people, standing
from guardui.tabs import keys
from guardui.tabs.studies_people import base_of
from guardui.tabs.wiring import QUIET, SAYING, html, told
from guardui.users import INVITE_DAYS

SHOWN = 100


@dataclass(frozen=True, slots=True)
class AccessTab:
    """What the layout needs: how to bring the tab up to date."""

    refresh: Any
    inputs: list[Any]
    outputs: list[Any]


def build(database: Database, doors: Doors) -> AccessTab:
    """Builds the tab; it asks for what it shows once it is looked at."""
    with gr.Column(elem_classes="gu-panel"):
        html('<div class="gu"><h3>People</h3></div>')
        stands = html(elem_id="access-stands")
        users = html(elem_id="access-users")
        with gr.Row(elem_classes="gu-fields"):
            role = gr.Radio(
                [Role.ANNOTATOR.value, Role.RESEARCHER.value],
                value=Role.ANNOTATOR.value,
                label="Invite as",
                elem_id="access-role",
            )
        make = gr.Button("Make invite link", size="sm", scale=0, elem_id="access-invite")
        link = html(elem_id="access-link")
    with gr.Column(elem_classes="gu-panel"):
        renewed, key_parts = keys.build(database)
    with gr.Column(elem_classes="gu-panel"):
        html('<div class="gu"><h3>Audit log</h3></div>')
        kinds = [(words, act) for act, words in ACTS.items()]
        act = gr.Dropdown(kinds, value="", label="Show", elem_id="access-act")
        rows = html(elem_id="access-log")

    def listed(kind: str) -> str:
        with database.read() as session:
            return log(entries(session, act=kind or "", limit=SHOWN))

    def refresh(kind: str) -> list[Any]:
        with told("Not shown") as outcome:
            shown = people(doors.users.read())
            said = standing(doors.said(), is_open=doors.open)
            return [said, shown, "", listed(kind), *renewed()]
        return [outcome.note, *[gr.skip()] * (3 + len(key_parts))]

    def invite(wanted: str, request: gr.Request) -> list[Any]:
        with told("No link made") as outcome:
            secret = doors.users.invite(Role(wanted))
            with database.write() as session:
                record(session, "user.invite", f"role:{wanted}")
            address = f"{base_of(request).rstrip('/')}/join?invite={secret}"
            made = invited(address, wanted, INVITE_DAYS, is_open=doors.open)
            return [made, people(doors.users.read())]
        return [outcome.note, gr.skip()]

    make.click(invite, role, [link, users], **SAYING)
    act.change(listed, act, rows, **QUIET)
    return AccessTab(refresh, [act], [stands, users, link, rows, *key_parts])
