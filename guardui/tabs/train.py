"""The Train tab: one stage with a form made from its config, or a whole recipe at a click."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from db.jobs import get_job
from db.session import Database
from guardui.forms import (
    ADVANCED,
    FieldSpec,
    artifact_choices,
    changed_values,
    component,
    field_specs,
    form_values,
    reference_choices,
    to_form,
)
from guardui.render import empty, esc, fault_note, note, page
from guardui.render_train import dataset_preview, other_ways
from guardui.tabs import recipe
from guardui.tabs.uploads import upload_button
from guardui.tabs.wiring import PRIVATE, QUIET, html, told
from pipelines.datasets import read_dataset
from pipelines.jobs import queue
from pipelines.jobs.references import find_parents, resolved_so_far, with_absolute_paths
from pipelines.schema import GuardUIError
from pipelines.settings import Settings
from pipelines.stages import all_stages
from pipelines.stages.base import Stage, StageConfig, build_config

logger = logging.getLogger(__name__)

NO_PRESET = ""
NOT_LOOKED_AT = empty("Not looked at yet", "Press Check to read the data and see what would run.")


@dataclass(frozen=True, slots=True)
class StageForm:
    """The built form of one stage: its box, preset, fields in the config's order, and notes."""

    stage: Stage
    box: gr.Row
    preset: gr.Dropdown
    specs: list[FieldSpec]
    fields: list[Any]
    note: gr.HTML

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
        value=stages[0].name,
        label="Stage",
        elem_id="train-stage",
        elem_classes="gu-panel",
    )
    forms = [
        _build_form(database, settings, launched, stage, visible=stage is stages[0])
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
            specs = field_specs(stage.config)
            fields = _build_fields(database, settings, stage, specs, first)
            note_box = html(visible=False, elem_id=f"faults-{stage.name}")
            with gr.Row():
                launch = gr.Button(
                    "Launch",
                    variant="primary",
                    scale=0,
                    min_width=130,
                    elem_id=f"launch-{stage.name}",
                )
                check = gr.Button("Check", scale=0, min_width=100, elem_id=f"check-{stage.name}")
        with gr.Column(scale=5, min_width=320):
            with gr.Column(elem_classes="gu-panel"):
                html(page("<h3>What would run</h3>"))
                preview = html(NOT_LOOKED_AT, elem_id=f"preview-{stage.name}")
            with gr.Column(elem_classes="gu-panel"):
                html(page("<h3>The same run elsewhere</h3>"))
                ways = html(
                    same_run(stage, first, form_values(stage, first)),
                    elem_id=f"ways-{stage.name}",
                )
    form = StageForm(stage, box, preset, specs, fields, note_box)
    preset.input(lambda name: form_values(stage, name), preset, fields, **QUIET).then(
        lambda *all_: same_run(stage, all_[0], all_[1:]), form.inputs, ways, **QUIET
    )
    gr.on(
        [field.change for field in fields],
        lambda *all_: same_run(stage, all_[0], all_[1:]),
        form.inputs,
        ways,
        trigger_mode="always_last",
        **QUIET,
    )
    check.click(
        lambda *all_: looked_at(database, stage, all_[0], all_[1:]),
        form.inputs,
        [note_box, preview],
        **PRIVATE,
    )
    launch.click(
        lambda *all_: launch_stage(database, stage, all_[0], all_[1:]),
        form.inputs,
        [note_box, launched],
        **PRIVATE,
    )
    return form


def _build_fields(
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

    def rows(wanted: list[FieldSpec]) -> None:
        wide = [spec for spec in wanted if spec.kind in ("reference", "list")]
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


def same_run(stage: Stage, preset: str, filled: Sequence[Any]) -> str:
    """The run as a command and as YAML; while the form is wrong, what is wrong."""
    try:
        config = build_config(stage, preset or None, changed_values(stage, preset, filled))
    except GuardUIError as error:
        return fault_note(error)
    return other_ways(queue.command_line(stage, preset or None, config), config)


def looked_at(database: Database, stage: Stage, preset: str, filled: Sequence[Any]) -> list[Any]:
    """[note at the form, preview] after reading the data and running the stage's own check."""
    with told("Not checked") as outcome:
        config = build_config(stage, preset or None, changed_values(stage, preset, filled))
        remarks = checked(database, stage, config)
        shown = data_shown(database, config)
        fine = note("ok", "Ready to launch", remarks)
        return [gr.HTML(visible=False), fine + shown]
    return [gr.HTML(outcome.note, visible=True), NOT_LOOKED_AT]


def checked(database: Database, stage: Stage, config: StageConfig) -> list[str]:
    """What the stage itself says of a config; raises for what can't work."""
    config = with_absolute_paths(config)
    with database.read() as session:
        find_parents(session, config)
        ready = resolved_so_far(session, config)
    return stage.check(ready)


def data_shown(database: Database, config: StageConfig) -> str:
    """The rows that a config names, as a preview; nothing where it names none."""
    values = config.model_dump()
    if not values.get("dataset"):
        return ""
    ref = str(queue.resolve_reference(database, "dataset", values["dataset"]))
    return dataset_preview(
        read_dataset(
            ref,
            max_rows=values.get("max_rows") or None,
            seed=values.get("seed", 0),
            split=values.get("split") or None,
        )
    )


def launch_stage(database: Database, stage: Stage, preset: str, filled: Sequence[Any]) -> list[Any]:
    """[note at the form, id of the new job]; the form keeps what was typed."""
    with told("Not launched") as outcome:
        values = changed_values(stage, preset, filled)
        job_id = queue.submit(database, stage.name, values, preset=preset or None)
        gr.Info(f"Job {job_id} is queued.", title=stage.title)
        return [gr.HTML(visible=False), job_id]
    return [gr.HTML(outcome.note, visible=True), gr.skip()]
