"""`guardui benchmarks`: what there is, what a folder holds, and where the two differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardui.cli import app
from pipelines.benchmarks import BENCHMARKS
from tests.pipelines.test_benchmark_reading import authors, write


def call(*words: object, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["benchmarks", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def by_name(*words: object) -> dict[str, dict]:
    return {one["name"]: one for one in json.loads(call(*words, "--json")[0])}


def test_the_list_names_all() -> None:
    shown, _ = call()
    assert all(name in shown for name in BENCHMARKS)
    assert "2,853" in shown
    listed = by_name()
    assert list(listed) == list(BENCHMARKS)
    assert listed["SafeRLHF"]["hub"] == "PKU-Alignment/PKU-SafeRLHF/test"
    assert listed["HarmBenchResponse"]["hub"] is None
    assert "found" not in listed["SafeRLHF"]
    assert listed["OverRefusal"]["tasks"] == [
        "prompt_harmfulness",
        "refusal",
        "response_harmfulness",
    ]


def test_a_folder_is_counted_and_its_faults_are_told(tmp_path: Path) -> None:
    write(tmp_path, "AegisSafetyTest.json", [authors("a", None, "harmful")] * 2)
    write(tmp_path, "SafeRLHF.json", [authors("a", "r", "refusal")])
    listed = by_name("--folder", tmp_path)
    (found,) = listed["AegisSafetyTest"]["found"]
    assert (found["rows"], found["difference"]) == (2, -357)
    assert listed["ToxicChat"]["found"] == []
    assert listed["ToxicChat"]["error"] is None
    assert "SafeRLHF.json:1: output: 'refusal'" in listed["SafeRLHF"]["error"]
    shown, _ = call("--folder", tmp_path)
    lines = {line.split()[0].rstrip(":"): line for line in shown.splitlines()[:14]}
    assert lines["AegisSafetyTest"].split() == ["AegisSafetyTest", "prompt", "359", "2", "-357"]
    assert lines["SafeRLHF"].endswith("faulty")
    assert lines["ToxicChat"].endswith("not here")
    assert "SafeRLHF: dataset=SafeRLHF" in shown
    assert "AegisSafetyTest: 1 row repeats a conversation" in shown


def test_a_folder_that_is_none() -> None:
    _, told = call("--folder", "nowhere", code=2)
    assert "folder=nowhere: there is no such folder" in told


@pytest.mark.realdata
def test_the_refusal_file_is_fifty_rows_short(realdata: Path) -> None:
    listed = by_name("--folder", realdata / "benchmarks")
    differing = {
        found["name"]: found["difference"]
        for one in listed.values()
        for found in one["found"]
        if found["difference"]
    }
    assert differing == {"XSTestResponseRefusal": -50}
    assert sum(bool(one["found"]) for one in listed.values()) == 11
