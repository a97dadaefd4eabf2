"""What a mining run has found so far, and whose answers they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipelines import base_models
from pipelines.hard_samples import Pairing, find_all_wrong, find_hard_sample, hardness
from pipelines.schema import GuardExample, GuardUIError, HardSample, Verdict
from pipelines.settings import get_settings

SET_NAME = r"^[^\x00-\x1f/\\@]*$"
"""Names of pair sets: `@` divides a name from its version, and they are folders' names too."""

_TOLD = ("stage", "base_model", "base_model_id", "dataset", "created_at")
_TRAINED_ON = ("dataset", "sources", "without_sources", "method", "seed")


@dataclass(frozen=True, slots=True)
class Draw:
    """The k verdicts on a conversation; `seed` is that of the batch which it was answered in."""

    verdicts: Sequence[Verdict]
    seed: int


@dataclass(frozen=True, slots=True)
class Model:
    """A moderator by a name that people can read, with its weights' sha256 and its own record."""

    name: str
    sha256: str
    info: dict[str, Any]

    def record(self) -> dict[str, Any]:
        config = self.info.get("config") or {}
        return {
            "name": self.name,
            "sha256": self.sha256,
            "training": {name: self.info[name] for name in _TOLD if name in self.info}
            | {name: config[name] for name in _TRAINED_ON if config.get(name)},
        }


def model_of(ref: str) -> Model:
    """The moderator that a reference names: `jobs/3/adapter` in this home, else path or Hub id."""
    home = get_settings().home.resolve()
    path = Path(ref).expanduser()
    name = ref
    if path.exists():
        path = path.resolve()
        name = path.relative_to(home).as_posix() if home in path.parents else str(path)
    try:
        adapter = base_models.read_adapter(ref)
    except GuardUIError:  # a bare base model has no record of its own
        return Model(name, "", {})
    return Model(name, weights_sha256(adapter.path), adapter.info)


def weights_sha256(folder: Path) -> str:
    """sha256 of a folder's safetensors files, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as content:
            total.update(hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()


class DrawSettings(Protocol):
    """The fields of a stage's config that tell how answers are drawn."""

    k: int
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int


class MiningSettings(DrawSettings, Protocol):
    """Those of a mining stage: how they are paired, too."""

    pairing: Pairing


def sampling_record(config: DrawSettings, seed: int, model: Model) -> dict[str, Any]:
    """How the answers of a batch were drawn, and by which weights."""
    return {
        "seed": seed,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "max_new_tokens": config.max_new_tokens,
        "k": config.k,
        "model_sha256": model.sha256,
    }


@dataclass
class Mining:
    """The draws so far, by row id, and what was found in them."""

    config: MiningSettings
    model: Model
    found: dict[str, HardSample] = field(default_factory=dict)
    drawn: set[str] = field(default_factory=set)
    hard: int = 0
    answers: int = 0
    failures: int = 0
    tokens: int = 0

    def add(self, example: GuardExample, draw: Draw) -> None:
        """Counts a conversation's answers, and keeps it where it is hard or all wrong."""
        self.drawn.add(example.row_id)
        self.answers += len(draw.verdicts)
        self.failures += sum(bool(one.error) for one in draw.verdicts)
        self.tokens += sum(one.tokens for one in draw.verdicts)
        sampling = sampling_record(self.config, draw.seed, self.model)
        sample = find_hard_sample(
            example,
            draw.verdicts,
            self.config.pairing,
            self.config.seed,
            self.model.name,
            sampling,
        ) or find_all_wrong(example, draw.verdicts, self.model.name, sampling)
        if sample:
            self.found[example.row_id] = sample
            self.hard += hardness(sample) == "hard"

    def metrics(self) -> dict[str, float]:
        return {
            "hard_samples": self.hard,
            "all_wrong": len(self.found) - self.hard,
            "parse_failure_rate": self.failures / max(self.answers, 1),
            "tokens": self.tokens,
        }
