"""The Train tab: one stage with a form made from its config, or a whole recipe at a click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr

from db.jobs import get_job
from db.session import Database
from guardui.forms import (
    ADVANCED,
    FieldSpec,
    artifact_choices,
    component,
    field_specs,
    form_values,
    reference_choices,
    to_form,
)
from guardui.render import esc, page
from guardui.tabs import recipe
from guardui.tabs.stage_runs import NOT_LOOKED_AT, launch_stage, looked_at, same_run
from guardui.tabs.uploads import answers_button, upload_button
from guardui.tabs.wiring import PRIVATE, QUIET, html
from pipelines.settings import Settings
from pipelines.stages import all_stages
from pipelines.stages.base import Stage

NO_PRESET = ""
OPENED = "rsft"
"""Where most people begin; the stage before it is for those who have no reasoning yet."""


@dataclass(frozen=True, slots=True)
class StageForm:
    """The built form of one stage: its box, preset, and fields in the config's order."""

    stage: Stage
    box: gr.Row
    preset: gr.Dropdown
    specs: list[FieldSpec]
    fields: list[Any]

    @property
    def inputs(self) -> list[Any]:
        return [self.preset, *self.fields]


@dataclass(frozen=True, slots=True)
class TrainTab:
    """What other tabs need of this one."""

    picker: gr.Radio
    forms: list[StageForm]

    @property
    def reference_fields(self) -> list[Any]:
        """The components that offer artifacts, to be brought up to date when the tab is shown."""
        return [
            field
            for form in self.forms
            for spec, field in zip(form.specs, form.fields, strict=True)
            if spec.reference
        ]

    def offers(self, database: Database) -> list[Any]:
        """The present artifacts for `reference_fields`; what was chosen stays."""
        found: dict[str, Any] = {}
        updates = []
        for form in self.forms:
            for spec in form.specs:
                if spec.reference:
                    if spec.reference not in found:
                        found[spec.reference] = artifact_choices(database, spec.reference)
                    choices = reference_choices(spec, found[spec.reference])
                    updates.append(gr.Dropdown(choices=choices))
        return updates

    @property
    def fill_outputs(self) -> list[Any]:
        outputs: list[Any] = [self.picker]
        for form in self.forms:
            outputs += [form.box, *form.inputs]
        return outputs

    def fill(self, database: Database, job_id: int) -> list[Any]:
        """Updates for `fill_outputs` that put a job's config into its stage's form."""
        with database.read() as session:
            job = get_job(session, job_id)
        if job is None or job.stage not in all_stages():
            raise gr.Error(f"job={job_id}: it can't be duplicated, its stage or row is gone")
        updates: list[Any] = [gr.Radio(value=job.stage)]
        for form in self.forms:
            mine = form.stage.name == job.stage
            updates.append(gr.Row(visible=mine))
            if not mine:
                updates += [gr.skip() for _ in form.inputs]
                continue
            # The preset's values are in the config already; naming it would overwrite changes.
            updates.append(gr.Dropdown(value=NO_PRESET))
            updates += [to_form(s, job.config.get(s.name, s.default)) for s in form.specs]
        return updates


def build(database: Database, settings: Settings, launched: gr.State) -> TrainTab:
    """Builds the tab. A launch puts the new job's id into `launched`."""
    with gr.Tabs(elem_classes="gu-inner"):
        with gr.Tab("One stage", id="stage"):
            tab = _build_stages(database, settings, launched)
        with gr.Tab("Whole recipe", id="recipe"):
            recipe.build(database, settings, launched)
    return tab


def _build_stages(database: Database, settings: Settings, launched: gr.State) -> TrainTab:
    stages = list(all_stages().values())
    picker = gr.Radio(
        [(stage.title, stage.name) for stage in stages],
        value=OPENED,
        label="Stage",
        elem_id="train-stage",
        elem_classes="gu-panel",
    )
    forms = [
        _build_form(database, settings, launched, stage, visible=stage.name == OPENED)
        for stage in stages
    ]
    picker.input(
        lambda name: [gr.Row(visible=form.stage.name == name) for form in forms],
        picker,
        [form.box for form in forms],
        **QUIET,
    )
    return TrainTab(picker, forms)


def _build_form(
    database: Database, settings: Settings, launched: gr.State, stage: Stage, *, visible: bool
) -> StageForm:
    first = next(iter(stage.presets), NO_PRESET)
    specs = field_specs(stage.config)
    with gr.Row(visible=visible, elem_classes="gu-two") as box:
        with gr.Column(scale=6, min_width=320, elem_classes="gu-panel"):
            html(page(f"<h2>{esc(stage.title)}</h2><p class=soft>{esc(stage.summary)}</p>"))
            preset = gr.Dropdown(
                [("none, the defaults", NO_PRESET), *[(name, name) for name in stage.presets]],
                value=first,
                label="Preset",
                info="Fills the form; change what you like after.",
                elem_id=f"preset-{stage.name}",
            )
            fields = build_fields(database, settings, stage, specs, first)
            note = html(visible=False, elem_id=f"faults-{stage.name}")
            with gr.Row():
                launch = _button("Launch", "launch", stage, "primary")
                check = _button("Check", "check", stage, "secondary")
        with gr.Column(scale=5, min_width=320):
            with gr.Column(elem_classes="gu-panel"):
                html(page("<h3>What would run</h3>"))
                preview = html(NOT_LOOKED_AT, elem_id=f"preview-{stage.name}")
            with gr.Column(elem_classes="gu-panel"):
                html(page("<h3>The same run elsewhere</h3>"))
                now = same_run(stage, first, form_values(stage, first))
                ways = html(now, elem_id=f"ways-{stage.name}")
    form = StageForm(stage, box, preset, specs, fields)
    _keep_current(form, ways)
    check.click(
        lambda preset, *filled: looked_at(database, stage, preset, filled),
        form.inputs,
        [note, preview],
        **PRIVATE,
    )
    launch.click(
        lambda preset, *filled: launch_stage(database, stage, preset, filled),
        form.inputs,
        [note, launched],
        **PRIVATE,
    )
    return form


def _button(
    words: str, name: str, stage: Stage, variant: Literal["primary", "secondary"]
) -> gr.Button:
    return gr.Button(words, variant=variant, scale=0, min_width=120, elem_id=f"{name}-{stage.name}")


def _keep_current(form: StageForm, ways: gr.HTML) -> None:
    """The fields follow the preset; command and YAML follow the fields."""
    stage = form.stage

    def shown(preset: str, *filled: Any) -> str:
        return same_run(stage, preset, filled)

    form.preset.input(
        lambda name: form_values(stage, name), form.preset, form.fields, **QUIET
    ).then(shown, form.inputs, ways, **QUIET)
    gr.on(
        [field.change for field in form.fields],
        shown,
        form.inputs,
        ways,
        trigger_mode="always_last",
        **QUIET,
    )


def build_fields(
    database: Database, settings: Settings, stage: Stage, specs: list[FieldSpec], preset: str
) -> list[Any]:
    """The components in the order of `specs`, essential ones before the folded groups."""
    values = dict(zip([s.name for s in specs], form_values(stage, preset), strict=True))
    made: dict[str, Any] = {}

    def make(spec: FieldSpec) -> None:
        offered = artifact_choices(database, spec.reference) if spec.reference else ()
        made[spec.name] = component(spec, values[spec.name], offered)
        if spec.reference == "dataset":
            upload_button(settings, made[spec.name])
        if spec.reference == "arm":
            answers_button(settings, made[spec.name])

    def rows(wanted: list[FieldSpec]) -> None:
        wide = [spec for spec in wanted if spec.kind in ("reference", "references", "list")]
        narrow = [spec for spec in wanted if spec not in wide]
        for spec in wide:
            make(spec)
        with gr.Row(elem_classes="gu-fields"):
            for spec in narrow:
                make(spec)

    rows([spec for spec in specs if spec.essential])
    groups = list(dict.fromkeys(spec.group for spec in specs if not spec.essential))
    for group in sorted(groups, key=lambda name: name == ADVANCED):
        with gr.Accordion(group, open=False):
            rows([spec for spec in specs if not spec.essential and spec.group == group])
    return [made[spec.name] for spec in specs]
