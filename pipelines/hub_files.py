"""The files of a push, each with what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from pipelines.hub_client import RepoType

Kind = Literal["adapter", "model", "pair_set", "study"]
CARD, CURVE = "README.md", "training_curve.png"
WORDS = {
    CARD: "the card",
    CURVE: "the training curve",
    "*.safetensors": "weights",
    "*.safetensors.index.json": "which weights are in which file",
    "guard_template.json": "the instruction and layout it was trained with",
    "training_info.json": "how it was trained, without local paths",
    "adapter_config.json": "the adapter's settings",
    "config.json": "the model's settings",
    "generation_config.json": "the model's settings for generating",
    "tokenizer_config.json": "the tokenizer's settings",
    "data/pairs.parquet": "the preference pairs",
    "pair_set.json": "how the set was made, with the hashes of its rows",
    "data/ratings.parquet": "the ratings, people as codes",
    "report.*": "the study's report",
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A push before it goes: the name of each file in the repository, and what lies here."""

    repo: str
    kind: Kind
    files: Mapping[str, Path]

    @property
    def repo_type(self) -> RepoType:
        return "model" if self.kind in ("adapter", "model") else "dataset"

    @property
    def card(self) -> str:
        """README.md as text."""
        return self.files[CARD].read_text("utf-8")

    def rows(self) -> list[tuple[str, int, str]]:
        """(name, bytes, what it is) of each file, the card first."""
        names = sorted(self.files, key=lambda name: (name != CARD, name))
        return [(name, self.files[name].stat().st_size, _what(name)) for name in names]


def _what(name: str) -> str:
    return next((words for one, words in WORDS.items() if fnmatch(name, one)), "the tokenizer")
