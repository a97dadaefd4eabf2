"""Files that people send: kept among the home's uploads and named in a field."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from guardui.tabs.wiring import PRIVATE
from pipelines.dataset_files import SUFFIXES
from pipelines.schema import InputError
from pipelines.settings import Settings


def upload_button(settings: Settings, field: Any) -> gr.UploadButton:
    """A button that puts the path of an uploaded dataset into `field`."""
    button = gr.UploadButton(
        "Upload a dataset",
        size="sm",
        file_count="single",
        file_types=sorted(SUFFIXES),
        min_width=150,
        scale=0,
        elem_classes="gu-quiet",
    )
    button.upload(lambda path: keep_upload(settings, path), button, field, **PRIVATE)
    return button


def answers_button(settings: Settings, field: Any) -> gr.UploadButton:
    """A button that adds the paths of uploaded files of stored answers to a list."""
    button = gr.UploadButton(
        "Upload stored answers",
        size="sm",
        file_count="multiple",
        file_types=[".jsonl", ".json"],
        min_width=180,
        scale=0,
        elem_classes="gu-quiet",
    )

    def add(paths: list[str] | None, chosen: list[str] | None) -> list[str]:
        return [*(chosen or []), *(keep_upload(settings, path) for path in paths or [])]

    button.upload(add, [button, field], field, **PRIVATE)
    return button


def keep_upload(settings: Settings, path: str) -> str:
    """Copies an uploaded file among the home's uploads, under a name that is free there.

    Raises InputError for a kind of file that no dataset is of.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"upload={Path(path).name}: must end in {', '.join(sorted(SUFFIXES))}")
    settings.uploads_dir.mkdir(parents=True, exist_ok=True)
    source = Path(path)
    target, number = settings.uploads_dir / source.name, 1
    while target.exists():
        number += 1
        target = settings.uploads_dir / f"{source.stem}-{number}{source.suffix}"
    shutil.copyfile(source, target)
    return str(target)
