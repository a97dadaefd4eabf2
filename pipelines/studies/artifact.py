"""A study as a folder, before any database knows of it: who is compared, on what, and how.

`items.jsonl` holds an item a line, `study.json`, written last, the arms, the design and a hash of
both files' content; a folder without it is no study.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.schema import DataError, InputError
from pipelines.studies.design import StudyDesign, design_hash

INFO, ITEMS = "study.json", "items.jsonl"
ItemKind = Literal["main", "practice", "attention"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Trace(_Record):
    """What one arm answered: the whole text and what was read in it. `right`: every gold label of
    the item met, None without gold; `quality`: the automatic reasoning score, 0 to 1; `words`:
    those of the whole text."""

    arm: int
    text: str
    verdicts: dict[str, str | None] = {}
    right: bool | None = None
    quality: float | None = None
    words: int = 0
    error: str = ""


class Pair(_Record):
    """Two arms to compare on an item, `wanted` times. `stratum`: whose verdicts are right (both,
    first, second, neither), empty without gold."""

    first_arm: int
    second_arm: int
    stratum: str = ""
    wanted: int = 1


class Item(_Record):
    """A conversation with its arms' traces. Practice and attention items have an `expected_arm`,
    whose trace is the better one; arms are but the two places there."""

    kind: ItemKind = "main"
    prompt: str
    response: str | None = None
    source: str = ""
    row_id: str = ""
    topic: str = ""
    gold: dict[str, str] = {}
    traces: list[Trace]
    pairs: list[Pair]
    expected_arm: int | None = None
    feedback: str = ""


class ArmInfo(_Record):
    """An arm: `kind` is adapter, base or predictions, `reference` a path or Hub id, `training`
    what is known of how it was made; `evaluation` the artifact or folder its answers are from,
    empty where it answered for this study."""

    name: str
    kind: str
    reference: str
    evaluation: str = ""
    model_sha256: str = ""
    training: dict[str, Any] = {}


class StudyInfo(_Record):
    """What a study is. `counts`: rows and items by what became of them, as the remarks of the
    design tell in words; `content`: a hash of all but the name."""

    name: str = Field(min_length=1, max_length=200)
    arms: list[ArmInfo] = Field(min_length=2)
    design: StudyDesign
    counts: dict[str, int] = {}
    items: int = 0
    content: str = ""
    version: int = Field(1, ge=1, le=1)


def write_study(folder: Path, info: StudyInfo, items: Sequence[Item]) -> StudyInfo:
    """Writes both files and returns the info with its number of items and hash."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INFO).unlink(missing_ok=True)
    rows = [item.model_dump(mode="json") for item in items]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / ITEMS).write_text(text, encoding="utf-8")
    update = {"items": len(items), "content": _content(info, rows)}
    info = info.model_copy(update=update)
    part = folder / f"{INFO}.part"
    part.write_text(info.model_dump_json(indent=2) + "\n", encoding="utf-8")
    # Last, and at once: that it is there means that the rest is whole.
    part.replace(folder / INFO)
    return info


def _content(info: StudyInfo, rows: Sequence[Mapping[str, Any]]) -> str:
    arms = [{"name": arm.name, "model_sha256": arm.model_sha256} for arm in info.arms]
    return design_hash({"arms": arms, "design": info.design.model_dump(mode="json"), "items": rows})


def read_study(folder: str | Path) -> tuple[StudyInfo, list[Item]]:
    """Raises InputError where there is no finished study, DataError where it is broken."""
    folder = Path(folder).expanduser()
    try:
        info = StudyInfo.model_validate_json((folder / INFO).read_bytes())
        lines = (folder / ITEMS).read_text("utf-8").split("\n")
        items = [Item.model_validate_json(line) for line in lines if line]
    except FileNotFoundError as error:
        raise InputError(
            f"study={folder}: no finished study ({error.filename} is missing)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"study={folder}: can't be read ({error})") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "file"
        raise DataError(f"study={folder}: {error.title}: {where}: {fault['msg']}") from None
    rows = [item.model_dump(mode="json") for item in items]
    if len(items) != info.items or _content(info, rows) != info.content:
        raise DataError(f"study={folder}: {ITEMS} or {INFO} was changed after it was written")
    return info, items
