"""What a study would be, where all its arms have answered: made for once, and thrown away."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from db.session import Database
from guardui.planning import ready_config
from pipelines.hub_history import History, Publication
from pipelines.schema import HardSample
from pipelines.stages.base import Stage, StageConfig
from pipelines.stages.data import is_to_come
from pipelines.studies.arms import arms_of
from pipelines.studies.artifact import Item, StudyInfo, read_study


class _Looking:
    """A stage's context that keeps nothing but the folder that was made."""

    command = ""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: list[Path] = []

    def activity(self, text: str) -> None: ...

    def progress(self, step: int, total: int) -> None: ...

    def metrics(self, step: int, values: Mapping[str, float]) -> None: ...

    def rewind(self, step: int) -> None: ...

    def remark(self, text: str, data: Mapping[str, Any]) -> None: ...

    def artifact(self, kind: str, path: Path, name: str, details: Mapping[str, Any]) -> None:
        if kind == "study":
            self.made.append(path)

    def hard_samples(self, samples: Sequence[HardSample]) -> None: ...

    def should_stop(self) -> bool:
        return False

    def history(self, path: Path) -> History:
        return History()

    def write_study(self, study_id: int, folder: Path) -> None: ...

    def published(self, publication: Publication) -> None: ...


def preview(
    database: Database, stage: Stage, config: StageConfig
) -> tuple[StudyInfo, list[Item]] | None:
    """The study that this config makes now; None where an arm has yet to answer.

    Raises what the stage raises.
    """
    ready = ready_config(database, config)
    arms: list[str] = ready.model_dump()["arms"]
    names: list[str] = ready.model_dump()["names"]
    if any(map(is_to_come, arms)):
        return None
    if any(arm.subject.asked and not arm.answers for arm in arms_of(arms, names)):
        return None
    with tempfile.TemporaryDirectory(prefix="guardui-study-") as place:
        context = _Looking(Path(place))
        stage.run(ready, context)
        return read_study(context.made[0])
