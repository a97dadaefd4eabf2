"""The people of a study on the Studies tab: links that let them in, names, withdrawals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from db.session import Database
from guardui import study_acts
from guardui.render_study_people import links_shown
from guardui.tabs.wiring import SAYING, html, told
from pipelines.schema import InputError
from pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class PeoplePart:
    """The components that act on people."""

    count: gr.Number
    names: gr.Textbox
    make: gr.Button
    links: gr.HTML
    person: gr.Dropdown
    erase: gr.Checkbox
    sure: gr.Checkbox
    withdraw: gr.Button
    forget: gr.Button
    sure_names: gr.Checkbox


def build(ui: dict[str, Any]) -> PeoplePart:
    """The table, the maker of links, and what can't be undone behind a fold."""
    ui["people"] = html(elem_id="study-people")
    with gr.Column(elem_classes="st-invite") as ui["may_invite"]:
        html('<div class="gu"><h3>Invite people</h3></div>')
        with gr.Row(elem_classes="gu-fields"):
            count = gr.Number(
                5, label="People", precision=0, info="A personal link each.", elem_id="invite-count"
            )
            names = gr.Textbox(
                label="Names (optional)",
                lines=2,
                info="One a line. Kept apart from the ratings, never exported, and deletable.",
                elem_id="invite-names",
            )
        make = gr.Button("Make links", variant="primary", size="sm", scale=0, elem_id="invite-make")
    links = html(elem_id="invite-links")
    with gr.Accordion("Withdraw somebody", open=False):
        with gr.Row(elem_classes="gu-fields"):
            ui["person"] = person = gr.Dropdown([], label="Person", elem_id="withdraw-person")
            erase = gr.Checkbox(label="Delete their ratings from the disk too")
            sure = gr.Checkbox(label="I am sure: it can't be undone", elem_id="withdraw-sure")
        withdraw = gr.Button(
            "Withdraw", variant="stop", size="sm", scale=0, elem_id="withdraw-person-now"
        )
    with (
        gr.Column(visible=False) as ui["has_names"],
        gr.Accordion("Forget names", open=False),
    ):
        html(
            '<div class="gu"><p>Deletes the names of all people of this study. Ratings and links '
            "stay; a name can't be found out any more.</p></div>"
        )
        sure_names = gr.Checkbox(label="I am sure: it can't be undone", elem_id="forget-sure")
        forget = gr.Button("Forget all names", variant="stop", size="sm", scale=0)
    return PeoplePart(count, names, make, links, person, erase, sure, withdraw, forget, sure_names)


def wire(
    database: Database,
    settings: Settings,
    part: PeoplePart,
    refresh: Any,
    inputs: list[Any],
    outputs: list[Any],
) -> None:
    """What the buttons do; each brings the tab up to date after."""

    def invite(
        at: dict[str, Any], _sent: dict[str, int], count: float, names: str, request: gr.Request
    ) -> dict[Any, Any]:
        with told("No links made") as outcome:
            called = [line for line in str(names or "").split("\n") if line.strip()]
            codes = study_acts.invite(database, settings, at["study"], int(count or 0), called)
            base = settings.rate_url or base_of(request)
            study = study_acts.facts(database, at["study"]).name
            made = [(who, study_acts.link(base, code)) for who, code in codes]
            shown = links_shown(study, made, workshop=not settings.rate_url)
            return refresh(at, {}) | {part.links: shown, part.names: ""}
        return {part.links: outcome.note}

    def withdraw(
        at: dict[str, Any], _sent: dict[str, int], person: int | None, erase: bool, sure: bool
    ) -> dict[Any, Any]:
        with told("Not withdrawn"):
            if not person:
                raise InputError("person: none is chosen")
            _demand_sure(sure)
            study_acts.withdraw(database, at["study"], person, erase=bool(erase))
            gr.Info("Their ratings don't count any more.", title="Withdrawn")
        return refresh(at, {}) | {part.sure: False, part.erase: False}

    def forget(at: dict[str, Any], _sent: dict[str, int], sure: bool) -> dict[Any, Any]:
        with told("Names kept"):
            _demand_sure(sure)
            count = study_acts.forget_names(database, at["study"])
            gr.Info(f"{count} names are gone.", title="Names forgotten")
        return refresh(at, {}) | {part.sure_names: False, part.links: ""}

    part.make.click(
        invite, [*inputs, part.count, part.names], [*outputs, part.links, part.names], **SAYING
    )
    part.withdraw.click(
        withdraw,
        [*inputs, part.person, part.erase, part.sure],
        [*outputs, part.sure, part.erase],
        **SAYING,
    )
    part.forget.click(
        forget,
        [*inputs, part.sure_names],
        [*outputs, part.sure_names, part.links],
        **SAYING,
    )


def _demand_sure(sure: bool) -> None:
    if not sure:
        raise InputError("sure: tick the box first; it can't be undone")


def base_of(request: gr.Request) -> str:
    """The address that the visitor sees the page at, without its query."""
    headers = request.headers
    seen = str(headers.get("referer") or f"http://{headers.get('host', '127.0.0.1')}")
    return seen.partition("?")[0].partition("#")[0]
