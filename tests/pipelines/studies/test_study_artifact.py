"""A study's folder: whole or not there, and what it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.schema import DataError, InputError
from pipelines.studies.artifact import INFO, ITEMS, ArmInfo, StudyInfo, read_study, write_study
from pipelines.studies.design import DesignFields, StudyDesign
from pipelines.studies.items import main_items
from tests.pipelines.studies.test_study_items import row

ARMS = [ArmInfo(name=name, kind="adapter", reference=f"/{name}") for name in ("new", "old")]
INFO_OF = StudyInfo(name="New against old", arms=ARMS, design=StudyDesign(remarks=["told"]))


def write(folder: Path, **change: Any) -> StudyInfo:
    items = main_items([row(1, True, False), row(2, True, True)], DesignFields(), 0, 0)
    return write_study(folder, INFO_OF.model_copy(update=change), items)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    info = write(tmp_path)
    again, items = read_study(tmp_path)
    assert again == info
    assert (again.items, len(items)) == (2, 2)
    assert items[0].traces[1].text.startswith("Arm 1")


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    first = write(tmp_path / "a").content
    assert first == write(tmp_path / "b", name="Another name").content
    assert first != write(tmp_path / "c", design=StudyDesign(target=0.7)).content
    assert first != write(tmp_path / "d", arms=ARMS[::-1]).content


def test_a_folder_that_was_not_finished_or_was_changed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished study"):
        read_study(tmp_path)
    write(tmp_path)
    lines = (tmp_path / ITEMS).read_text("utf-8")
    (tmp_path / ITEMS).write_text(lines.replace("Arm 1", "Arm X"), "utf-8")
    with pytest.raises(DataError, match="was changed after"):
        read_study(tmp_path)
    (tmp_path / ITEMS).write_text("{}\n", "utf-8")
    with pytest.raises(DataError, match="Item: prompt"):
        read_study(tmp_path)
    (tmp_path / INFO).write_text(json.dumps({"name": "x"}), "utf-8")
    with pytest.raises(DataError, match="StudyInfo: arms"):
        read_study(tmp_path)
