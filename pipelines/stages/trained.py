"""What a run trains or draws from: a base model, its adapter's shape, whether every weight.

Of a job that has yet to make it, that is told from the job's own config.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pipelines import base_models
from pipelines.stages.base import StageConfig
from pipelines.stages.data import is_to_come

_expected: ContextVar[Mapping[str, StageConfig]] = ContextVar(
    "expected", default=MappingProxyType({})
)


@contextmanager
def expecting(configs: Mapping[str, StageConfig]) -> Iterator[None]:
    """Within this block `job:N` is known by the config of the job that has yet to make it."""
    token = _expected.set(configs)
    try:
        yield
    finally:
        _expected.reset(token)


@dataclass(frozen=True, slots=True)
class Trained:
    """What is trained: every weight of a base, or an adapter on it. `base` is empty where it isn't
    known yet."""

    base: str
    full: bool = False
    lora_r: int = 0
    lora_targets: Sequence[str] = ()
    dropout: bool = False

    @classmethod
    def of_adapter(cls, ref: str) -> Trained:
        """What goes on being trained of an adapter folder; of `job:N` what its config says, where
        that is known (see `expecting`)."""
        if ref in _expected.get():
            return trained_of(_expected.get()[ref])
        if is_to_come(ref):
            return cls("")
        adapter = base_models.read_adapter(ref)
        if adapter.full:
            return cls(str(adapter.path), full=True)
        config = base_models.read_json(adapter.path / "adapter_config.json")
        targets = config.get("target_modules") or ()
        return cls(
            adapter.base_model,
            lora_r=int(config.get("r") or 0),
            lora_targets=[targets] if isinstance(targets, str) else list(targets),
            dropout=float(config.get("lora_dropout") or 0) > 0,
        )


def has_base(config: Any) -> bool:
    """Whether a config names its base model itself, and not by an adapter."""
    return {"base_model", "method"} <= set(type(config).model_fields)


def trained_of(config: Any) -> Trained:
    """What a config trains, draws from or exports. Raises what reading its adapter raises."""
    fields = type(config).model_fields
    if not has_base(config):
        made = Trained.of_adapter(config.adapter) if "adapter" in fields else Trained("")
        return Trained(made.base, full=True) if config.makes_whole_weights else made
    return Trained(
        base_of(config.base_model),
        config.method == "full",
        config.lora_r,
        config.lora_targets,
        config.lora_dropout > 0,
    )


def base_of(ref: str) -> str:
    """A base model by name or path; where a job has yet to make it, the one that it is made of."""
    if is_to_come(ref):
        return trained_of(_expected.get()[ref]).base if ref in _expected.get() else ""
    return ref
