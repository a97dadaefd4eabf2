"""Frozen versions on the Hard samples tab: listing, comparing, downloading, and training on one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from db.models import PairSet, PairSetVersion
from db.pair_sets import get_version, list_pair_sets
from db.session import Database
from guardui.access_routes import researchers_only
from guardui.render import fault_note
from guardui.render_sample_sets import differences, version_name, versions
from guardui.tabs.train import TrainTab
from guardui.tabs.wiring import told
from pipelines.pair_export import export_pairs
from pipelines.pair_sets import diff_pair_sets
from pipelines.schema import GuardUIError, NotFoundError

TRAINER, FIELD = "hsdpo", "pairs"
"""The stage that learns from pairs, and its field that names them."""


def versions_part(session: Session, job_id: int | None, asked: Mapping[str, Any]) -> str:
    """The versions that came of a job, newest first; two of them compared where `a`, `b` ask it."""
    if job_id is None:
        return ""
    found = [
        version
        for one in list_pair_sets(session)
        for version in one.versions
        if _made_of(version, one) == job_id
    ]
    found.sort(key=lambda version: version.id, reverse=True)
    return versions(found, _compared(session, asked))


def _made_of(version: PairSetVersion, named: PairSet) -> int | None:
    """The job whose samples a version has: several jobs may share the name of a set."""
    artifact = version.artifact
    curated = artifact.details.get("curated_job")
    return artifact.job_id or curated or named.job_id


def _compared(session: Session, asked: Mapping[str, Any]) -> str:
    a, b = str(asked.get("a", "")), str(asked.get("b", ""))
    if not (a.isdecimal() and b.isdecimal()):
        return ""
    try:
        before, after = wanted_version(session, int(a)), wanted_version(session, int(b))
        diff = diff_pair_sets(before.artifact.path, after.artifact.path)
    except GuardUIError as error:
        return fault_note(error)
    return differences(version_name(before), version_name(after), diff)


def wanted_version(session: Session, version_id: int) -> PairSetVersion:
    """The version. Raises NotFoundError where there is none."""
    found = get_version(session, version_id)
    if found is None:
        raise NotFoundError(f"version={version_id}: there is no such version of a pair set")
    return found


def train_outputs(train: TrainTab, tabs: gr.Tabs) -> list[Any]:
    """What `train_on` sets: the tab in front, the stage, its form, and the form's pair set."""
    form = _form(train)
    return [tabs, train.picker, *(one.box for one in train.forms), form]


def _form(train: TrainTab) -> Any:
    """The component that names the pairs."""
    form = next(form for form in train.forms if form.stage.name == TRAINER)
    return form.fields[[spec.name for spec in form.specs].index(FIELD)]


def train_on(database: Database, train: TrainTab, version_id: int) -> list[Any]:
    """Brings HS-DPO's form to the front with this version in it."""
    with told("Not chosen"):
        with database.read() as session:
            version = wanted_version(session, version_id)
            name, artifact = version_name(version), version.artifact_id
        gr.Info(f"HS-DPO's form has {name} now. Choose the adapter and launch.", title="Pairs set")
        boxes = [gr.Row(visible=form.stage.name == TRAINER) for form in train.forms]
        pairs = gr.Dropdown(value=f"artifact:{artifact}")
        return [gr.Tabs(selected="train"), gr.Radio(value=TRAINER), *boxes, pairs]
    return [gr.skip() for _ in range(3 + len(train.forms))]


def download_routes(database: Database) -> list[Route]:
    """`GET /pair-sets/ID.jsonl` and `.parquet` in TRL's preference form; none for the public."""

    @researchers_only
    def download(request: Request) -> Response:
        form = request.path_params["form"]
        if form not in ("jsonl", "parquet"):
            return PlainTextResponse("form: must be jsonl or parquet\n", 404)
        try:
            with database.read() as session:
                version = wanted_version(session, request.path_params["id"])
                folder, name = version.artifact.path, version_name(version)
            with tempfile.NamedTemporaryFile(suffix=f".{form}", delete=False) as made:
                target = Path(made.name)
            try:
                export_pairs(folder, target, form)
            except GuardUIError:
                target.unlink()
                raise
        except GuardUIError as error:
            return PlainTextResponse(f"{error}\n", 404)
        away = BackgroundTask(target.unlink, missing_ok=True)
        return FileResponse(target, filename=f"{name}.{form}", background=away)

    return [Route("/pair-sets/{id:int}.{form}", download, methods=["GET"])]
