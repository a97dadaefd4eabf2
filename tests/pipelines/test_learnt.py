"""What a moderator has learnt from, and what of it can't be looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets import read_dataset
from pipelines.learnt import learnt_by
from pipelines.predictions import prompt_key
from tests.tiny_runs import make_pairs, write_rows


def adapter(folder: Path, info: dict[str, Any]) -> str:
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"r": 4}')
    (folder / "adapter_model.safetensors").write_bytes(b"")
    (folder / "training_info.json").write_text(json.dumps(info))
    return str(folder)


def trained(rows: Path, **more: Any) -> dict[str, Any]:
    return {"stage": "rsft", "config": {"dataset": str(rows)}, **more}


def test_rows_pairs_and_what_came_before_are_all_read(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl")
    pairs = make_pairs(tmp_path / "pairs")
    info = {"stage": "hsdpo", "config": {"pairs": str(pairs)}, "parent": trained(rows)}
    found = learnt_by(adapter(tmp_path / "a", info))
    assert found.unread == []
    assert prompt_key("Tell me of tea") in found.prompts, "of the pairs"
    assert prompt_key("Tell me of tea 0") in found.prompts, "of the rows"
    assert len(found.traces) == 8
    assert found.sources == ["rows"]


def test_what_is_gone_is_told_though_the_rest_is_here(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl")
    before = trained(tmp_path / "gone.jsonl")
    info = {"stage": "hsdpo", "config": {"pairs": "/nowhere/pairs"}}
    info["parent"] = trained(rows, parent=before)
    found = learnt_by(adapter(tmp_path / "a", info))
    assert found.unread == ["pairs", "gone.jsonl"]
    assert len(found.traces) == 8


def test_a_file_that_has_changed_is_not_what_was_trained_on(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl")
    sha256 = read_dataset(str(rows)).sha256
    same = adapter(tmp_path / "same", trained(rows, dataset={"sha256": sha256}))
    assert learnt_by(same).unread == []
    other = adapter(tmp_path / "other", trained(rows, dataset={"sha256": "0" * 64}))
    assert learnt_by(other).unread == ["rows.jsonl as it was"]


def test_only_the_rows_that_were_taken_count(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl")
    info = trained(rows)
    info["config"] |= {"max_rows": 3, "seed": 1}
    assert len(learnt_by(adapter(tmp_path / "a", info)).traces) == 3


def test_an_adapter_without_a_record_says_so(tmp_path: Path) -> None:
    assert learnt_by(adapter(tmp_path / "a", {})).unread == ["something that is recorded nowhere"]


def test_what_was_gone_on_from_is_read_where_the_record_lacks_it(tmp_path: Path) -> None:
    """R-SFT on an adapter, and on whole weights that were exported from one, as older versions
    recorded them: without a parent."""
    pairs = make_pairs(tmp_path / "pairs", 2)
    preferred = {"stage": "hsdpo", "config": {"pairs": str(pairs), "adapter": ""}}
    before = adapter(tmp_path / "dpo", preferred)
    exported = adapter(tmp_path / "exported", {"stage": "export", "config": {"adapter": before}})
    rows = str(write_rows(tmp_path / "rows.jsonl"))
    bare = str(tmp_path)
    for name, config in (
        ("continued", {"adapter": before, "base_model": bare}),
        ("on whole weights", {"adapter": "", "base_model": exported}),
        ("twice", {"adapter": str(tmp_path / "continued")}),
    ):
        info = {"stage": "rsft", "config": {"dataset": rows, **config}, "base_model": bare}
        found = learnt_by(adapter(tmp_path / name, info))
        assert found.preferred == ["Tell me of tea", "Tell me of rain"], name
        assert found.unread == [], name
    again = str(tmp_path / "round")
    found = learnt_by(adapter(Path(again), trained(Path(rows)) | {"base_model": again}))
    assert len(found.traces) == 16, "a record that names itself ends"


@pytest.mark.parametrize(
    ("config", "unread"),
    [
        ({"adapter": "/gone/dpo"}, ["what dpo learnt before"]),
        ({"adapter": "dpo"}, ["what dpo learnt before"]),
        ({"adapter": "ada/dpo"}, ["what dpo learnt before"]),
        ({"base_model": "/gone/exported"}, ["what exported learnt before"]),
        ({"base_model": "{here}/bare"}, []),
        ({"adapter": "{here}/bare"}, ["what bare learnt before"]),
        ({"adapter": "{here}/torn"}, ["what torn learnt before"]),
        ({"base_model": "ada/llama"}, []),
        ({"base_model": "smollm2-135m-instruct"}, []),
    ],
)
def test_what_was_gone_on_from_and_is_gone_may_be_preferences(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, str],
    unread: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bare", "torn", "dpo"):  # the last is another's: records name no relative path
        (tmp_path / name).mkdir()
    (tmp_path / "torn" / "training_info.json").write_text("{")
    (tmp_path / "dpo" / "training_info.json").write_text('{"stage": "rsft"}')
    info = trained(write_rows(tmp_path / "rows.jsonl"))
    info["config"] |= {name: ref.format(here=tmp_path) for name, ref in config.items()}
    found = learnt_by(adapter(tmp_path / "a", info))
    assert found.unread_pairs == found.unread == unread


def test_rows_of_reasoning_preferences_are_known_by_their_own_hash(tmp_path: Path) -> None:
    """`sha256` is that of the pairs that were made of them."""
    rows = write_rows(tmp_path / "rows.jsonl")
    sha256 = read_dataset(str(rows)).sha256
    for name, recorded, unread in (
        ("old", {}, []),
        ("same", {"rows_sha256": sha256}, []),
        ("other", {"rows_sha256": "0" * 64}, ["rows.jsonl as it was"]),
    ):
        info = {"stage": "quality", "config": {"dataset": str(rows)}}
        info["dataset"] = {"sha256": "1" * 64, **recorded}
        found = learnt_by(adapter(tmp_path / name, info))
        assert found.unread_pairs == unread
        assert len(found.preferred) == 8


def test_a_lone_label_is_read_as_the_training_read_it(tmp_path: Path) -> None:
    row = {"prompt": "Tell me of tea", "response": "It is a drink.", "label": "harmful"}
    info = trained(write_rows(tmp_path / "rows.jsonl", [row]))
    info["config"]["label_task"] = "response"
    found = learnt_by(adapter(tmp_path / "a", info))
    assert (found.unread, len(found.traces)) == ([], 1)
