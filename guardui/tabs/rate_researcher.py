"""The researcher's part of Rate: a study from two files of predictions, and the win rate."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency
from sqlalchemy.exc import IntegrityError

from db import studies
from db.session import Database
from guardui import render, render_rate
from pipelines.preference_stats import win_rate
from pipelines.schema import GuardUIError, InputError
from pipelines.studies import pairs_from_predictions

logger = logging.getLogger(__name__)

PRIVATE: dict[str, Any] = {"api_visibility": "private"}


def build(database: Database, study: gr.Dropdown) -> Dependency:
    """Builds both parts; returns the event after which there may be a new study."""
    with gr.Accordion("New study from two files of predictions", open=False):
        with gr.Row():
            name = gr.Textbox(label="Name", info="Annotators see it: name no arm.", max_length=200)
            question = gr.Textbox(label="Question", value=studies.DEFAULT_QUESTION)
        with gr.Row():
            arms = [
                gr.Textbox(
                    label=f"{which} arm", info="Only researchers see it.", placeholder=example
                )
                for which, example in (("First", "HS-DPO"), ("Second", "R-SFT"))
            ]
        with gr.Row():
            files = [
                gr.File(
                    label=f"{which} arm's predictions",
                    file_types=[".jsonl", ".json"],
                    height=130,
                )
                for which in ("First", "Second")
            ]
        with gr.Row():
            limit = gr.Number(label="Pairs", value=50, minimum=1, precision=0)
            seed = gr.Number(label="Seed of the draw", value=0, minimum=0, precision=0)
        make = gr.Button("Make study", variant="primary")
        outcome = gr.HTML(apply_default_css=False)
    with gr.Accordion("Win rate", open=False):
        gr.Markdown(
            "For the study chosen above. Don't look while you are rating it yourself: "
            "knowing the score changes the next answer."
        )
        show = gr.Button("Show the win rate")
        report = gr.HTML(apply_default_css=False)

    def create(*values: Any) -> str:
        try:
            study_name, pairs = make_study(database, *values)
        except GuardUIError as error:
            return render.fault_note(error)
        return render.note("ok", f"{study_name}: {pairs} pairs", advice="It is open for rating.")

    def show_report(study_id: int | None) -> str:
        try:
            return study_report(database, study_id)
        except GuardUIError as error:
            return render.fault_note(error)

    show.click(show_report, study, report, **PRIVATE)
    return make.click(create, [name, question, *arms, *files, limit, seed], outcome, **PRIVATE)


def make_study(
    database: Database,
    name: str,
    question: str,
    first_arm: str,
    second_arm: str,
    first_file: str | None,
    second_file: str | None,
    limit: float | None,
    seed: float | None,
) -> tuple[str, int]:
    """Stores a study of two predictions files; returns its name and number of pairs.

    Raises InputError or DataError, naming what is wrong, before anything is stored.
    """
    name, arms = name.strip(), [first_arm.strip(), second_arm.strip()]
    if not name:
        raise InputError("name: it is empty; give the study a name")
    if not all(arms) or arms[0] == arms[1]:
        raise InputError(f"arms={arms}: must be two different names")
    if not first_file or not second_file:
        raise InputError("predictions: a file is needed for each arm")
    pairs = pairs_from_predictions(
        Path(first_file), Path(second_file), int(limit) if limit else None, int(seed or 0)
    )
    try:
        with database.write() as session:
            studies.create(session, name, arms, pairs, question.strip() or studies.DEFAULT_QUESTION)
    except IntegrityError:
        raise InputError(f"name={name}: a study of this name exists already") from None
    return name, len(pairs)


def study_report(database: Database, study_id: int | None) -> str:
    """The win rate of the first arm, as HTML. Raises InputError where there is no such study."""
    if study_id is None:
        raise InputError("study: none is chosen")
    with database.read() as session:
        row = studies.get_study(session, int(study_id))
        ratings = studies.results(session, int(study_id))
    if row is None:
        raise InputError(f"study={study_id}: there is no such study any more")
    rate = win_rate(rating.score for rating in ratings)
    people = len({rating.annotator for rating in ratings})
    items = len({rating.pair_id for rating in ratings})
    return render_rate.results(row.arms, rate, people, items)
