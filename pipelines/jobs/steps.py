"""What a recipe is made of: steps, the values each of them takes, and what they hand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from pipelines.schema import ConfigError, InputError
from pipelines.stages import get_stage
from pipelines.stages.base import StageConfig, explain


@dataclass(frozen=True, slots=True)
class Step:
    """One job of a recipe.

    `key` names it among the others; a stage may occur several times. `values` are fields that
    the recipe itself sets. `links`: a field -> the key of the earlier step whose artifact it
    takes, or the keys of several where the field is a list. `after`: earlier steps that must have
    succeeded too, though nothing of theirs is taken.
    """

    key: str
    stage: str
    preset: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    title: str = ""
    after: Sequence[str] = ()


class NoOptions(StageConfig):
    """A recipe that asks for nothing of its own."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`steps(values)` gives the jobs in the order in which they run.

    `presets` names its stages with their usual presets. `options` are settings of the recipe
    itself, given as `field` or `NAME.field`; `steps` finds them among the values as `field`.
    """

    name: str
    title: str
    summary: str
    presets: Mapping[str, str | None]
    steps: Callable[[Mapping[str, Any]], Sequence[Step]]
    options: type[StageConfig] = NoOptions

    def read_options(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe's own settings among the values. Raises ConfigError."""
        fields = self.options.model_fields
        plain = {name: values[name] for name in fields if name in values}
        named = {
            name: values[f"{family}.{name}"]
            for family in (self.name.partition("-")[0], self.name)
            for name in fields
            if f"{family}.{name}" in values
        }
        try:
            return self.options.model_validate(plain | named).model_dump()
        except ValidationError as error:
            raise ConfigError(explain(error, self.options)) from None

    def option_names(self) -> set[str]:
        """All that `read_options` understands."""
        prefixes = ("", f"{self.name}.", f"{self.name.partition('-')[0]}.")
        return {f"{prefix}{name}" for prefix in prefixes for name in self.options.model_fields}


def values_of(step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values meant for this step, each more particular one over those before it: shared
    (`field`), the stage's (`stage.field`), the recipe's own, this step's (`key.field`)."""
    fields = get_stage(step.stage).config.model_fields
    stage = {name: values[f"{step.stage}.{name}"] for name in _given(step.stage, fields, values)}
    own = {name: values[f"{step.key}.{name}"] for name in _given(step.key, fields, values)}
    shared = {name: value for name, value in values.items() if name in fields}
    if step.key == step.stage:
        return shared | dict(step.values) | own
    return shared | stage | dict(step.values) | own


def _given(prefix: str, fields: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    return [name for name in fields if f"{prefix}.{name}" in values]


def refuse_unused(
    recipe: Recipe,
    steps: Sequence[Step],
    values: Mapping[str, Any],
    presets: Mapping[str, str],
) -> None:
    """Raises InputError for a value or preset that no step takes, so that none is lost unsaid."""
    names = list(dict.fromkeys([*(s.stage for s in steps), *(s.key for s in steps)]))
    for name in presets:
        if name not in names:
            known = ", ".join(names)
            raise InputError(f"presets: {recipe.name} has no stage {name} (it has: {known})")
    fields = {step.key: get_stage(step.stage).config.model_fields for step in steps}
    takers = {key: [s for s in steps if _takes(s, key, fields[s.key])] for key in values}
    unknown = [key for key in values if not takers[key] and key not in recipe.option_names()]
    if unknown:
        known = ", ".join(sorted({name for found in fields.values() for name in found}))
        raise InputError(f"{', '.join(unknown)}: unknown setting (known: {known})")
    for key, found in takers.items():
        name = key.rpartition(".")[2]
        if found and all(_overrides(step, key, name) for step in found):
            raise InputError(
                f"{key}={values[key]}: {recipe.name} sets {name} of each step itself",
                advice=_where_instead(found, name),
            )


def _takes(step: Step, key: str, fields: Mapping[str, Any]) -> bool:
    prefix, _, name = key.rpartition(".")
    return name in fields and prefix in ("", step.stage, step.key)


def _overrides(step: Step, key: str, name: str) -> bool:
    return name in step.links or (name in step.values and key != f"{step.key}.{name}")


def _where_instead(steps: Sequence[Step], name: str) -> str | None:
    free = [f"{step.key}.{name}" for step in steps if name not in step.links]
    return f"Name one of them: {', '.join(free)}." if free else None
