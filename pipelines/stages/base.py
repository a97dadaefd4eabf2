"""What a stage is: a config, its presets, a check, and `run(config, context)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.confinement import check_values
from pipelines.hub_history import History, Publication
from pipelines.plan import Workload
from pipelines.schema import ConfigError, HardSample, InputError

Config = TypeVar("Config", bound=BaseModel)


def reference(kind: str) -> Any:
    """Marks a config field, a text or a list of them, that names artifacts of this kind.

    A value is a path, a Hub id, `artifact:ID`, or `job:ID` (what that job will have made);
    the last makes that job a parent, and the worker puts the path in before the stage runs.
    """
    return Field(json_schema_extra={"reference": kind})


ESSENTIAL: dict[str, Any] = {"essential": True}
"""Marks a config field that people see at once; the others stand under Advanced."""

AdapterRef = Annotated[str, reference("adapter")]
DatasetRef = Annotated[str, reference("dataset")]
PairSetRef = Annotated[str, reference("pair_set")]
ModelRef = Annotated[str, reference("model")]

# Whole weights that were exported moderate as an adapter folder does.
_TAKEN: Mapping[str, tuple[str, ...]] = {
    "adapter": ("adapter", "model"),
    "benchmark": ("dataset",),
    "arm": ("adapter", "model", "evaluation"),
    "pushable": ("adapter", "model", "pair_set"),
}


def kinds_taken(kind: str) -> tuple[str, ...]:
    """The kinds of artifacts that a reference of this kind may name."""
    return _TAKEN.get(kind, (kind,))


class StageConfig(BaseModel):
    """Base of every stage's config: unknown keys are refused, assignments are checked."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=())
    makes_whole_weights: ClassVar[bool] = False
    """Whether the stage folds an adapter into its base."""


class StageContext(Protocol):
    """What a running stage may do to the world outside it."""

    directory: Path
    """The job's own folder; a resumed job finds what it wrote there before."""

    command: str
    """What does the same on the command line."""

    def activity(self, text: str) -> None:
        """Says in a few words what is being done now ("loading the model")."""

    def progress(self, step: int, total: int) -> None: ...

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Records a step's numbers; keys are such as `loss` or `tokens_per_second`."""

    def rewind(self, step: int) -> None:
        """Forgets the metrics after this step, for the steps are done again."""

    def remark(self, text: str, data: Mapping[str, Any]) -> None:
        """Keeps for good something that people should know of this run, with its numbers."""

    def artifact(self, kind: str, path: Path, name: str, details: Mapping[str, Any]) -> None:
        """Hands over a file or folder that the stage has finished writing."""

    def hard_samples(self, samples: Sequence[HardSample]) -> None:
        """Stores the samples for inspection, in place of those stored before."""

    def should_stop(self) -> bool:
        """True once somebody asked; the stage then saves and raises StopRequested."""

    def history(self, path: Path) -> History:
        """What is recorded of the weights in this folder: their training and evaluations."""

    def write_study(self, study_id: int, folder: Path) -> None:
        """Writes a study's ratings as a dataset; raises NotFoundError where there is none."""

    def published(self, publication: Publication) -> None:
        """Keeps with the job, and with whatever made it, what is at the Hub now."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A kind of job. `check` looks at a config before it is queued and returns remarks for
    people; it raises an InputError for what can't work. It must not import torch."""

    name: str
    title: str
    summary: str
    config: type[StageConfig]
    run: Callable[[Any, StageContext], None]
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    check: Callable[[Any], list[str]] = lambda _config: []
    exclusive: bool = True
    """Whether it needs a device to itself."""
    workload: Callable[[Any], Workload] | None = None
    """What a run asks of a machine, where that can be told; raises what `check` would raise."""
    order: int = 100
    """Where it stands in lists; the method's own order."""


def build_config(
    stage: Stage, preset: str | None = None, values: Mapping[str, Any] | None = None
) -> StageConfig:
    """Defaults, then the preset, then `values`, validated together.

    Raises ConfigError with one `field=value: what is allowed` line a fault, and InputError for a
    file that the caller may not name.
    """
    check_values(values or {}, reference_fields(stage.config))
    merged: dict[str, Any] = {}
    if preset:
        if preset not in stage.presets:
            known = ", ".join(sorted(stage.presets)) or "none"
            raise InputError(f"preset={preset}: {stage.name} has no such preset (it has: {known})")
        merged.update(stage.presets[preset])
    merged.update(values or {})
    try:
        return stage.config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(explain(error, stage.config)) from None


def explain(error: ValidationError, config: type[BaseModel]) -> list[str]:
    """A pydantic error as lines that name the field, its value and what is allowed."""
    lines = []
    for fault in error.errors():
        name = ".".join(str(part) for part in fault["loc"]) or config.__name__
        context = fault.get("ctx", {})
        match fault["type"]:
            case "extra_forbidden":
                known = ", ".join(config.model_fields)
                lines.append(f"{name}: unknown setting (known: {known})")
                continue
            case "missing":
                lines.append(f"{name}: a value is needed")
                continue
            case "less_than_equal":
                allowed = f"must be at most {context['le']}"
            case "greater_than_equal":
                allowed = f"must be at least {context['ge']}"
            case "greater_than":
                allowed = f"must be more than {context['gt']}"
            case "less_than":
                allowed = f"must be less than {context['lt']}"
            case "literal_error":
                allowed = f"must be one of {context['expected']}"
            case "value_error":
                allowed = str(context["error"])
            case _:
                allowed = fault["msg"][0].lower() + fault["msg"][1:]
        shown = "" if fault["loc"] == () else f"={fault['input']}"
        lines.append(f"{name}{shown}: {allowed}")
    return lines


def reference_fields(config: type[BaseModel]) -> dict[str, str]:
    """field -> kind for each field that names an artifact, or a list of them."""
    extras = {name: info.json_schema_extra for name, info in config.model_fields.items()}
    return {
        name: str(extra["reference"])
        for name, extra in extras.items()
        if isinstance(extra, dict) and "reference" in extra
    }


def references(config: BaseModel) -> list[tuple[str, str, str]]:
    """(field, kind, value) for each artifact that the config names, a list's one by one."""
    found = []
    for name, kind in reference_fields(type(config)).items():
        held = getattr(config, name)
        values = held if isinstance(held, list) else [held]
        found += [(name, kind, str(value)) for value in values if value]
    return found


def with_references(config: Config, change: Callable[[str, str, str], str]) -> Config:
    """A copy in which `change(field, kind, value)` stands in place of each reference."""
    changed: dict[str, Any] = {}
    for name, kind, value in references(config):
        new = change(name, kind, value)
        if isinstance(getattr(config, name), list):
            changed.setdefault(name, []).append(new)
        else:
            changed[name] = new
    return config.model_copy(update=changed)
