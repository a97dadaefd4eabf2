"""Which files may be named from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardui.access import TERMINAL, Role, Visitor, acting_as
from pipelines.confinement import check_place, check_values, confined
from pipelines.jobs.references import resolve_reference
from pipelines.schema import InputError
from pipelines.settings import Settings
from pipelines.stages import get_stage
from pipelines.stages.base import build_config

ELSEWHERE = Visitor(Role.RESEARCHER, "ada", "10.0.0.1")


@pytest.mark.parametrize(
    "value",
    [
        "/etc/passwd",
        "/nothing/here",
        "~/.ssh/id_rsa",
        "~root",
        "../x.jsonl",
        "a/../../x",
        "\\\\host\\x",
    ],
)
def test_a_place_outside_is_refused_whether_it_is_there_or_not(home: Settings, value: str) -> None:
    with confined(home.home), pytest.raises(InputError, match="is outside of the home's folders"):
        check_place("dataset", value)
    check_place("dataset", value)  # at the machine itself everything may be named


def test_the_homes_folders_may_be_named_and_its_own_files_not(home: Settings) -> None:
    home.uploads_dir.mkdir()
    rows = home.uploads_dir / "rows.jsonl"
    rows.write_text("{}")
    (home.uploads_dir / "out").symlink_to("/etc")
    (home.home / "users.json").write_text("{}")
    with confined(home.home):
        for value in (str(rows), str(home.uploads_dir), "owner/name", "starter", "job:3", "a b"):
            check_place("dataset", value)
        for place in ("out/passwd", "../users.json", "../guardui.db", ".."):
            with pytest.raises(InputError, match="outside"):
                check_place("dataset", str(home.uploads_dir / place))


def test_a_researcher_elsewhere_launches_nothing_on_other_files(home: Settings) -> None:
    stage = get_stage("rsft")
    with acting_as(ELSEWHERE):
        for values in ({"dataset": "/etc/passwd"}, {"base_model": "/opt/model"}):
            with pytest.raises(InputError, match="outside of the home's folders"):
                build_config(stage, "smollm2-demo", values)
        build_config(stage, "smollm2-demo", {"dataset": "owner/name"})
    with acting_as(TERMINAL):
        build_config(stage, "smollm2-demo", {"dataset": "/etc/passwd"})


def test_a_bare_name_is_no_file_of_the_servers_folder(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("Documents", "starter", "ToxicChat"):
        Path(name).mkdir()
    stage = get_stage("rsft")
    with acting_as(ELSEWHERE):
        with pytest.raises(InputError, match="dataset=Documents: is outside"):
            build_config(stage, "smollm2-demo", {"dataset": "Documents"})
        for name in ("starter", "ToxicChat", "owner/name", "not-here", "job:1", "artifact:1", ""):
            check_place("dataset", name)
        # A word that names no file, such as a run's, may be what a folder is called.
        check_values({"name": "Documents"}, ["dataset"])
        with pytest.raises(InputError, match="benchmarks=Documents"):
            check_values({"benchmarks": ["starter", "Documents"]}, ["benchmarks"])
    build_config(stage, "smollm2-demo", {"dataset": "Documents"})


def test_an_adapter_elsewhere_is_not_looked_for(home: Settings, database: object) -> None:
    with acting_as(ELSEWHERE), pytest.raises(InputError, match="adapter=/etc: is outside"):
        resolve_reference(database, "adapter", "/etc")  # type: ignore[arg-type]
