"""Forms: each config field asked for in its kind, and what was filled in read back."""

from __future__ import annotations

from typing import Any, Literal

import gradio as gr
import pytest
from pydantic import Field

from db.jobs import add_artifact
from db.models import Job
from db.session import open_database
from guardui.forms import (
    ADVANCED,
    artifact_choices,
    changed_values,
    component,
    field_specs,
    form_values,
    from_form,
    label_of,
    reference_choices,
    to_form,
)
from pipelines.schema import ConfigError
from pipelines.settings import Settings
from pipelines.stages import all_stages
from pipelines.stages.base import DatasetRef, Stage, StageConfig, build_config


class Config(StageConfig):
    rate: float = Field(
        0.1, gt=0, le=1, description="How fast.", json_schema_extra={"essential": True}
    )
    rows: int = Field(0, ge=0, description="How many.")
    mode: Literal["a", "b"] = Field("a", description="Which way.")
    packed: bool = Field(False, description="Whether packed.")
    targets: list[str] = Field(["q", "k"], description="Which parts.")
    limit: int | None = Field(None, description="Perhaps a limit.")
    note: str = Field("", description="A word.", json_schema_extra={"group": "Notes"})
    data: DatasetRef = Field(
        "starter",
        description="Rows.",
        json_schema_extra={"reference": "dataset", "essential": True},
    )
    sets: list[str] = Field(
        [], description="What to take.", json_schema_extra={"reference": "pair_set"}
    )


STAGE = Stage(
    name="test",
    title="Test",
    summary="",
    config=Config,
    run=lambda _config, _context: None,
    presets={"fast": {"rate": 0.5, "targets": ["v"]}},
)
SPECS = {spec.name: spec for spec in field_specs(Config)}


@pytest.mark.parametrize(
    ("name", "kind", "made"),
    [
        ("rate", "number", gr.Number),
        ("rows", "number", gr.Number),
        ("mode", "choice", gr.Radio),
        ("packed", "bool", gr.Checkbox),
        ("targets", "list", gr.Textbox),
        ("limit", "number", gr.Number),
        ("note", "text", gr.Textbox),
        ("data", "reference", gr.Dropdown),
        ("sets", "references", gr.Dropdown),
    ],
)
def test_each_field_becomes_the_component_of_its_kind(name: str, kind: str, made: type) -> None:
    spec = SPECS[name]
    assert spec.kind == kind
    assert isinstance(component(spec, to_form(spec, spec.default)), made)


def test_help_says_what_it_is_and_what_is_allowed() -> None:
    assert SPECS["rate"].help == "How fast. More than 0, at most 1."
    assert SPECS["rows"].help == "How many. At least 0."


def test_groups() -> None:
    assert SPECS["rate"].group == ""
    assert SPECS["rows"].group == ADVANCED
    assert SPECS["note"].group == "Notes"


@pytest.mark.parametrize(
    ("name", "label"),
    [("lora_r", "LoRA r"), ("max_rows", "Max rows"), ("top_p", "Top p"), ("k", "K")],
)
def test_labels(name: str, label: str) -> None:
    assert label_of(name) == label


def test_reference_fields_offer_the_starter_set_and_artifacts() -> None:
    offered = reference_choices(SPECS["data"], [("artifact:7 - R-SFT", "artifact:7")])
    assert [value for _, value in offered] == ["starter", "artifact:7"]


def test_a_preset_fills_the_form_and_changes_nothing() -> None:
    filled = form_values(STAGE, "fast")
    assert filled[0] == 0.5
    assert "v" in filled
    assert changed_values(STAGE, "fast", filled) == {}


def test_only_what_differs_is_told() -> None:
    filled = form_values(STAGE, "fast")
    filled[0] = 0.1  # the default again, which is not what the preset says
    filled[3] = True
    assert changed_values(STAGE, "fast", filled) == {"rate": 0.1, "packed": True}


def test_lists_and_empty_fields_are_read() -> None:
    assert from_form(SPECS["targets"], " q, ,v ") == ["q", "v"]
    assert from_form(SPECS["limit"], None) is None
    assert from_form(SPECS["note"], None) == ""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rate", 2, "rate=2: must be at most 1"),
        ("rows", 2.5, "rows=2.5: "),
        ("rows", None, "rows=: "),
    ],
)
def test_a_wrong_value_reaches_the_config_which_names_it(name: str, value: Any, said: str) -> None:
    filled = form_values(STAGE, None)
    filled[[spec.name for spec in field_specs(Config)].index(name)] = value
    with pytest.raises(ConfigError) as caught:
        build_config(STAGE, None, changed_values(STAGE, None, filled))
    assert caught.value.faults[0].startswith(said)


@pytest.mark.parametrize("stage", all_stages().values(), ids=lambda stage: stage.name)
def test_every_stage_and_preset_survives_its_form(stage: Stage) -> None:
    for preset in [None, *stage.presets]:
        filled = form_values(stage, preset)
        assert changed_values(stage, preset, filled) == {}
        for spec, value in zip(field_specs(stage.config), filled, strict=True):
            component(spec, value)


def test_several_references_are_chosen_in_one_field() -> None:
    spec = SPECS["sets"]
    made = component(spec, to_form(spec, ["job:3"]), [("artifact:7, mined", "artifact:7")])
    assert isinstance(made, gr.Dropdown)
    assert made.multiselect
    assert made.choices == [("artifact:7, mined", "artifact:7")]
    assert from_form(spec, ["job:3", " /pairs ", ""]) == ["job:3", "/pairs"]
    assert from_form(spec, None) == []


def test_a_field_without_a_default_is_shown_empty() -> None:
    class Needing(StageConfig):
        sets: list[str] = Field(description="Pairs.", json_schema_extra={"reference": "pair_set"})
        rows: int = Field(description="How many.")

    assert [spec.default for spec in field_specs(Needing)] == [[], None]


def test_an_arm_may_be_an_adapter_or_an_evaluation_with_traces(home: Settings) -> None:
    database = open_database(home.database_url)
    with database.write() as session:
        job = Job(stage="evaluate", config={}, state="succeeded")
        session.add(job)
        session.flush()
        for kind, name, details in (
            ("adapter", "trained", {}),
            ("dataset", "rows", {}),
            ("evaluation", "R-SFT #1", {"mode": "reason"}),
            ("evaluation", "HS-DPO #2", {"mode": "fast"}),
            ("evaluation", "tf-idf", {"mode": "computed"}),
        ):
            made = {"kind": kind, "name": name, "path": f"/{name}", "sha256": "0" * 64}
            add_artifact(session, job_id=job.id, size=1, details=details, **made)
    offered = artifact_choices(database, "arm")
    assert [value for _, value in offered] == ["artifact:3", "artifact:1"]
    assert "R-SFT #1 in #1 Evaluate" in offered[0][0]
    database.dispose()
