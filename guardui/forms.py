"""A pydantic config as form fields, and what was filled in as a config again.

A field's help, default and bounds stand once, in its `Field`. `json_schema_extra` may say
`essential: True` (shown at once; the rest goes under Advanced), `group` (a heading of its own
under Advanced) and `reference` (a list of the artifacts of that kind is offered, to choose
several where the field is a list).
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import gradio as gr
from pydantic.fields import FieldInfo

from db.jobs import artifacts
from db.models import Artifact
from db.session import Database
from guardui.render import day
from guardui.render_jobs import job_name
from pipelines.benchmarks import BENCHMARKS
from pipelines.presets import BASES
from pipelines.stages.base import Stage, StageConfig, kinds_taken
from pipelines.studies.arms import MODES

Kind = Literal["bool", "choice", "number", "list", "reference", "references", "text"]
Choices = Sequence[tuple[str, str]]
"""(what people read, what the config gets), for a dropdown."""

ADVANCED = "Advanced"
# Words that a plain capital at the start would spell wrongly.
_SPELLINGS = {"lora": "LoRA", "lr": "LR", "sft": "SFT", "dpo": "DPO", "hub": "Hub"}


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """How one config field is asked for."""

    name: str
    label: str
    help: str
    kind: Kind
    default: Any
    essential: bool
    group: str
    choices: tuple[Any, ...] = ()
    reference: str = ""
    optional: bool = False


def field_specs(config: type[StageConfig]) -> list[FieldSpec]:
    """The config's fields in its own order."""
    return [_spec(name, info) for name, info in config.model_fields.items()]


def _spec(name: str, info: FieldInfo) -> FieldSpec:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    inner, optional = _unwrap(info.annotation)
    reference = str(extra.get("reference", ""))
    kind: Kind = "text"
    if reference:
        kind = "references" if get_origin(inner) is list else "reference"
    elif get_origin(inner) is Literal:
        kind = "choice"
    elif inner is bool:
        kind = "bool"
    elif inner in (int, float):
        kind = "number"
    elif get_origin(inner) in (list, tuple, set, frozenset):
        kind = "list"
    essential = bool(extra.get("essential", False))
    default = info.get_default(call_default_factory=True)
    if info.is_required():  # the form shows it empty, and the config asks for a value
        default = [] if kind in ("list", "references") else None
    return FieldSpec(
        name=name,
        label=info.title or label_of(name),
        help=" ".join(part for part in (info.description or "", bounds(info)) if part),
        kind=kind,
        default=default,
        essential=essential,
        group="" if essential else str(extra.get("group", ADVANCED)),
        choices=get_args(inner) if kind == "choice" else (),
        reference=reference,
        optional=optional,
    )


def _unwrap(annotation: Any) -> tuple[Any, bool]:
    """`X | None` -> (X, True); anything else -> (itself, False)."""
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return members[0], True
    return annotation, False


def label_of(name: str) -> str:
    """`lora_r` -> `LoRA r`."""
    words = [_SPELLINGS.get(word, word) for word in name.split("_")]
    first = words[0] if words[0] in _SPELLINGS.values() else words[0].capitalize()
    return " ".join([first, *words[1:]])


def bounds(info: FieldInfo) -> str:
    """What a number may be: `At least 1, at most 1,024.`"""
    parts = []
    for rule in info.metadata:
        match rule:
            case annotated_types.Ge(ge=low):
                parts.append(f"at least {_number(low)}")
            case annotated_types.Gt(gt=low):
                parts.append(f"more than {_number(low)}")
            case annotated_types.Le(le=high):
                parts.append(f"at most {_number(high)}")
            case annotated_types.Lt(lt=high):
                parts.append(f"less than {_number(high)}")
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def component(spec: FieldSpec, value: Any, artifacts: Choices = ()) -> gr.components.Component:
    """The Gradio component of a field that shows `value`, as `to_form` gives it.

    No bounds are set on it, so that a wrong value reaches the config, whose message names the
    field and what is allowed.
    """
    common: dict[str, Any] = {
        "label": spec.label,
        "info": spec.help or None,
        "elem_classes": [f"field-{spec.name}"],
        "min_width": 200,
    }
    match spec.kind:
        case "bool":
            return gr.Checkbox(value, **common)
        case "number":
            return gr.Number(value, **common)
        case "choice":
            names = [(str(choice), choice) for choice in spec.choices]
            # More than fit side by side go into a list.
            if len(" ".join(name for name, _ in names)) <= 10:
                return gr.Radio(names, value=value, **common)
            return gr.Dropdown(names, value=value, **common)
        case "reference":
            offered = reference_choices(spec, artifacts)
            return gr.Dropdown(offered, value=value, allow_custom_value=True, **common)
        case "references":
            offered = reference_choices(spec, artifacts)
            return gr.Dropdown(
                offered, value=value, multiselect=True, allow_custom_value=True, **common
            )
        case _:
            return gr.Textbox(value, lines=1, max_lines=4, **common)


def reference_choices(spec: FieldSpec, artifacts: Choices) -> list[tuple[str, str]]:
    """What a reference field offers: none where it may stay empty, the starter set, artifacts."""
    empty = "choose one" if spec.essential else "none"
    offered = [(empty, "")] if spec.default == "" else []
    if spec.reference == "dataset":
        offered.append(("starter — the set that ships with GuardUI", "starter"))
    if spec.reference == "model":
        offered += [(name, name) for name in BASES]
    if spec.reference == "benchmark":
        offered += [
            (f"{one.name} — {one.task.heading.lower()}", one.name) for one in BENCHMARKS.values()
        ]
    return offered + list(artifacts)


def artifact_choices(database: Database, kind: str) -> list[tuple[str, str]]:
    """Every artifact that a reference of this kind may name, newest first:
    `artifact:7 — R-SFT #5, 20 Nov 14:05`. Evaluations without traces are no arms."""
    with database.read() as session:
        found = artifacts(session, kind=kinds_taken(kind))
    if kind == "arm":
        found = [
            one for one in found if one.kind != "evaluation" or one.details.get("mode") in MODES
        ]
    return [
        (f"artifact:{one.id} — {_made_by(one)}, {day(one.created_at)}", f"artifact:{one.id}")
        for one in found
    ]


def _made_by(artifact: Artifact) -> str:
    if artifact.kind == "evaluation" and artifact.job:  # one of several of its job's
        return f"{artifact.name} in {job_name(artifact.job)}"
    return job_name(artifact.job) if artifact.job else artifact.name or artifact.kind


def to_form(spec: FieldSpec, value: Any) -> Any:
    """A config's value as its component shows it."""
    if spec.kind == "list":
        return ", ".join(str(item) for item in value or ())
    if spec.kind == "references":
        return list(value or ())
    if spec.kind in ("text", "reference"):
        return "" if value is None else str(value)
    return value


def from_form(spec: FieldSpec, value: Any) -> Any:
    """What a component holds as the config takes it; never raises, the config judges."""
    if spec.kind == "list":
        return [part.strip() for part in str(value or "").split(",") if part.strip()]
    if spec.kind == "references":
        return [text for item in value or () if (text := str(item).strip())]
    if spec.kind in ("text", "reference"):
        text = "" if value is None else str(value).strip()
        return None if spec.optional and not text else text
    if value is None and not spec.optional and spec.kind == "number":
        return ""  # an emptied number box; the config says that it needs a number
    return value


def form_values(stage: Stage, preset: str | None) -> list[Any]:
    """What the components of a stage show for a preset, in the order of its fields."""
    chosen = stage.presets.get(preset, {}) if preset else {}
    return [to_form(s, chosen.get(s.name, s.default)) for s in field_specs(stage.config)]


def changed_values(stage: Stage, preset: str | None, filled: Sequence[Any]) -> dict[str, Any]:
    """The fields that differ from the default and the preset: what the run must be told."""
    chosen: Mapping[str, Any] = stage.presets.get(preset, {}) if preset else {}
    changed = {}
    for spec, raw in zip(field_specs(stage.config), filled, strict=True):
        value = from_form(spec, raw)
        if value != chosen.get(spec.name, spec.default):
            changed[spec.name] = value
    return changed
