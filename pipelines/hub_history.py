"""What the record knows of a thing that is pushed, as plain values: a card is made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class History:
    """The numbers that a training recorded, (step, values) each, and the folders of finished
    evaluations of the very weights that are pushed, the oldest first."""

    points: Sequence[tuple[int, Mapping[str, Any]]] = ()
    evaluations: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class Publication:
    """What came of a push, as it is kept with the job: no word of who holds which token."""

    repo: str
    kind: str
    revision: str
    url: str
    changed: bool
    files: int
    removed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As an event of the job holds it."""
        return {
            "repo": self.repo,
            "kind": self.kind,
            "revision": self.revision,
            "url": self.url,
            "changed": self.changed,
            "files": self.files,
            "removed": list(self.removed),
        }
