"""The page as a whole: what it imports, whom it offers what, and what its listeners do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from db import jobs, leases, lifecycle
from db.session import Database, open_database
from guardui.access import Role, check_moderator, role_of
from guardui.jobs_view import Selection, changes, choose, log_end, view
from guardui.layout import device_name, header_html
from guardui.live import Live, moderator_choices
from guardui.serve import check_port
from guardui.tabs import recipe, stage_runs
from guardui.tabs.uploads import keep_upload
from guardui.tabs.wiring import told
from pipelines.base_models import DEMO_BASE
from pipelines.schema import ConfigError, InputError
from pipelines.settings import Settings
from pipelines.stages import get_stage
from pipelines.stages.base import build_config

HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "matplotlib", "plotly")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def sqlite(home: Settings) -> Any:
    """A database of its own; the page is the same on either kind."""
    database = open_database(home.database_url)
    yield database
    database.dispose()


def add(database: Database, stage: str = "rsft", **values: Any) -> int:
    config = build_config(get_stage(stage), "smollm2-demo", values)
    with database.write() as session:
        return jobs.add_job(
            session, stage=stage, preset="smollm2-demo", config=config.model_dump(mode="json")
        ).id


# Gradio leaves an event loop open in the process that builds a page, hence one of its own.
DESCRIBE = """
import json, sys
import gradio as gr
from db.session import open_database
from guardui.layout import build_page
from guardui.theme import GuardTheme, head
from pipelines.jobs.supervisor import Supervisor
from pipelines.settings import get_settings
settings = get_settings()
page = build_page(open_database(settings.database_url), settings)
GuardTheme(), head()
blocks = page.blocks.values()
print(json.dumps({
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "tabs": [block.id for block in blocks if isinstance(block, gr.Tab) and block.id],
    "ids": [block.elem_id for block in blocks if block.elem_id],
    "public": sorted(
        str(fn.api_name) for fn in page.fns.values() if fn.api_visibility == "public"
    ),
}))
"""


def described(home: Settings, *, demo: bool) -> dict[str, list[str]]:
    """What a freshly built page consists of."""
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        env=os.environ | {"GUARDUI_HOME": str(home.home), "GUARDUI_DEMO": str(int(demo))},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_researcher_gets_all_tabs_in_reading_order(home: Settings) -> None:
    page = described(home, demo=False)
    outer = ("classify", "train", "jobs", "ablations", "samples", "compare", "rate")
    assert tuple(name for name in page["tabs"] if name in outer) == outer
    assert page["public"] == ["classify", "job", "jobs", "stop", "submit"]
    assert not set(page["modules"]) & set(HEAVY)


def test_the_public_gets_nothing_of_the_workshop(home: Settings) -> None:
    page = described(home, demo=True)
    figures = ["tables", "training", "calibration"]
    assert page["tabs"] == ["classify", "compare", *figures, "rate"]
    assert page["public"] == ["classify"]
    workshop = ("train", "job", "sample", "launch", "recipe", "ablation", "access", "key")
    assert not [name for name in page["ids"] if name.startswith(workshop)]
    rows = {f"compare-{name}" for name in ("rows", "kinds", "detail", "errors", "tests")}
    assert not rows & set(page["ids"])


def test_roles(home: Settings) -> None:
    assert role_of(home) is Role.RESEARCHER
    assert role_of(home.model_copy(update={"demo": True})) is Role.PUBLIC


def test_the_public_may_not_name_a_path(home: Settings) -> None:
    demo = home.model_copy(update={"demo": True})
    check_moderator(home, "/any/path", [])
    check_moderator(demo, "artifact:1", ["artifact:1"])
    with pytest.raises(InputError, match="not on offer"):
        check_moderator(demo, "/etc", ["artifact:1"])


def test_the_header_tells_device_and_job(sqlite: Database, home: Settings) -> None:
    assert "idle" in header_html(sqlite, home)
    assert device_name() in header_html(sqlite, home)
    job = add(sqlite)
    with sqlite.write() as session:
        leases.claim(session, job, pid=1, pid_created=1.0, boot_id="x")
        lifecycle.set_progress(session, job, step=61, total=100)
    assert f"R-SFT #{job} 61%" in header_html(sqlite, home)


# Jobs


def test_the_running_job_is_shown_first_and_the_wanted_one_kept(sqlite: Database) -> None:
    first, second, third = add(sqlite), add(sqlite), add(sqlite)
    with sqlite.write() as session:
        leases.claim(session, second, pid=1, pid_created=1.0, boot_id="x")
    with sqlite.read() as session:
        listed = jobs.list_jobs(session)
    assert choose(listed, None) == second
    assert choose(listed, first) == first
    assert choose(listed, 99) == second
    assert choose([], 99) is None
    assert third == listed[0].id


def test_without_jobs_every_part_has_something_to_say(sqlite: Database, home: Settings) -> None:
    parts = view(sqlite, home, Selection())
    assert "No jobs yet" in parts["table"]
    assert "No job chosen" in parts["headline"]
    assert not any(parts[name] for name in ("stop", "resume", "cancel", "sooner", "duplicate"))


def test_buttons_follow_the_state(sqlite: Database, home: Settings) -> None:
    running, first, second = add(sqlite), add(sqlite), add(sqlite)
    with sqlite.write() as session:
        leases.claim(session, running, pid=1, pid_created=1.0, boot_id="x")

    def shown(job: int) -> set[str]:
        parts = view(sqlite, home, Selection(job))
        names = ("stop", "resume", "cancel", "sooner", "duplicate")
        return {name for name in names if parts[name]}

    assert shown(running) == {"stop", "duplicate"}
    assert shown(first) == {"cancel", "duplicate"}
    assert shown(second) == {"cancel", "sooner", "duplicate"}
    with sqlite.write() as session:
        lifecycle.finish(session, running, "failed", "broke")
    assert shown(running) == {"resume", "duplicate"}


def test_only_what_changed_is_sent_again(sqlite: Database, home: Settings) -> None:
    job = add(sqlite)
    parts, seen = changes(view(sqlite, home, Selection(job)), {})
    assert "table" in parts
    assert changes(view(sqlite, home, Selection(job)), seen)[0] == {}
    with sqlite.write() as session:
        lifecycle.request_stop(session, job)
    changed, _ = changes(view(sqlite, home, Selection(job)), seen)
    assert {"table", "headline", "cancel", "resume"} <= set(changed)
    assert "config" not in changed


def test_the_curve_has_the_job_compared_with(sqlite: Database, home: Settings) -> None:
    one, other = add(sqlite), add(sqlite)
    with sqlite.write() as session:
        for job in (one, other):
            lifecycle.set_progress(session, job, step=2, total=2)
            for step in (1, 2):
                jobs.add_event(session, job, "metrics", step, {"loss": job + step, "grad_norm": 1})
    parts = view(sqlite, home, Selection(one, "loss", other))
    assert f"#{other} R-SFT: loss" in parts["chart"]
    assert parts["metric"] == ((("loss", "loss"), ("grad norm", "grad_norm")), "loss")


def test_the_log_is_its_end_without_overwritten_progress(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert log_end(log) == ""
    log.write_text("start\n 1%\r 50%\r100%\nend\n")
    assert log_end(log) == "start\n100%\nend\n"
    log.write_text("x" * 50_000 + "\nlast\n")
    assert log_end(log) == "last\n"


# Train


def filled(stage: str, **values: Any) -> list[Any]:
    from guardui.forms import field_specs, form_values

    names = [spec.name for spec in field_specs(get_stage(stage).config)]
    given = form_values(get_stage(stage), "smollm2-demo")
    for name, value in values.items():
        given[names.index(name)] = value
    return given


def test_the_same_run_is_told_as_command_and_yaml() -> None:
    html = stage_runs.same_run(get_stage("rsft"), "smollm2-demo", filled("rsft", epochs=7))
    assert "guardui run rsft --preset smollm2-demo --set epochs=7.0" in html
    assert "epochs: 7.0" in html


def test_a_wrong_field_is_named_and_nothing_is_stored(sqlite: Database) -> None:
    stage = get_stage("rsft")
    with pytest.warns(UserWarning, match="learning_rate=1"):
        note, job = stage_runs.launch_stage(
            sqlite, stage, "smollm2-demo", filled("rsft", learning_rate=1)
        )
    assert "learning_rate=1: must be at most 0.01" in note.value
    assert job == gr.skip()
    with sqlite.read() as session:
        assert jobs.list_jobs(session) == []


def test_check_shows_the_data_or_its_faults(sqlite: Database, tmp_path: Path) -> None:
    stage = get_stage("rsft")
    note, preview = stage_runs.looked_at(sqlite, stage, "smollm2-demo", filled("rsft"))
    assert note.visible is False
    assert "96 rows of starter" in preview
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "hello", "label": "purple"}\n')
    with pytest.warns(UserWarning, match="purple"):
        note, _ = stage_runs.looked_at(
            sqlite, stage, "smollm2-demo", filled("rsft", dataset=str(bad))
        )
    assert "bad.jsonl:1: label" in note.value


def test_a_recipe_fills_its_fields_and_refuses_whole(sqlite: Database) -> None:
    demo = recipe.get_recipe("demo")
    assert recipe.starting_value(demo, "base_model") == DEMO_BASE
    assert "Mine hard samples" in recipe.shown_chain(demo)
    with pytest.warns(UserWarning, match="nowhere"):
        note, _ = recipe.launch_recipe(sqlite, "demo", DEMO_BASE, 96, "/nowhere.jsonl")
    assert "/nowhere.jsonl" in note.value
    with sqlite.read() as session:
        assert jobs.list_jobs(session) == []


def test_uploads_never_overwrite_each_other(home: Settings, tmp_path: Path) -> None:
    sent = tmp_path / "rows.jsonl"
    sent.write_text("one")
    first = keep_upload(home, str(sent))
    sent.write_text("two")
    second = keep_upload(home, str(sent))
    assert first != second
    assert Path(first).read_text() == "one"
    assert Path(second).parent == home.uploads_dir


def test_what_nobody_foresaw_is_told_without_its_traceback() -> None:
    with pytest.warns(UserWarning, match="server's log"), told("Not done") as outcome:
        raise RuntimeError("secret detail")
    assert "secret" not in outcome.note
    assert "Something went wrong" in outcome.note


def test_a_foreseen_error_is_told_as_it_is() -> None:
    with pytest.warns(UserWarning, match="k=1"), told("Not done") as outcome:
        raise ConfigError(["k=1: must be at least 2"])
    assert "k=1: must be at least 2" in outcome.note


# Classify


def test_moderators_are_newest_first_with_the_base_last(sqlite: Database, tmp_path: Path) -> None:
    job = add(sqlite)
    with sqlite.write() as session:
        for name in ("old", "new"):
            jobs.add_artifact(
                session,
                job_id=job,
                kind="adapter",
                name=name,
                path=str(tmp_path),
                sha256="",
                size=1,
            )
    found = [value for _, value in moderator_choices(sqlite)]
    assert found == ["artifact:2", "artifact:1", DEMO_BASE]


@pytest.mark.parametrize(
    ("prompt", "response", "said"),
    [
        ("  ", None, "prompt: it is empty"),
        ("x" * 101, None, "prompt: it has 101 characters; at most 100 are read"),
        ("x", "y" * 200, "response: it has 200 characters"),
    ],
)
def test_what_cannot_be_moderated_is_refused_before_a_model_is_loaded(
    sqlite: Database, home: Settings, prompt: str, response: str | None, said: str
) -> None:
    live = Live(sqlite, home.model_copy(update={"max_input_chars": 100}))
    with pytest.raises(InputError, match=said):
        next(live.stream(prompt, response, DEMO_BASE))


# Serving


def test_an_occupied_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port={port}: already in use"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_app_ends_with_one_line_where_the_port_is_taken(home: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "app.py"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            env=os.environ | {"GUARDUI_PORT": port},
        )
    assert done.returncode == 2
    assert f"port={port}: already in use" in done.stderr
    assert "Traceback" not in done.stderr
