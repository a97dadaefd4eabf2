"""The Ablations tab without a browser: what is asked for, checked, launched, shown and sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from db import groups, jobs
from db.models import Event
from db.session import Database, open_database
from guardui.group_downloads import group_routes
from guardui.group_view import Looked, view
from guardui.tabs import ablations_launch, ablations_runs, recipe
from guardui.tabs.ablations_runs import asked_for, same_elsewhere, words_of
from pipelines.jobs import launchers
from pipelines.jobs.sweeps import SWEEPS, read_values
from pipelines.schema import InputError
from pipelines.settings import Settings
from pipelines.stages import all_stages

NAMED: dict[str, Any] = {
    "preset": "smollm2-demo",
    "base": "",
    "dataset": "starter",
    "rows": "",
    "held": 0.1,
    "more": "",
}


@pytest.fixture
def database(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A home in which nothing that is queued starts."""
    monkeypatch.setitem(launchers.LAUNCHERS, "local", lambda *_words: 2**22 + 1)
    monkeypatch.setattr(gr, "Info", lambda *_words, **_more: None)
    monkeypatch.setattr(gr, "Warning", lambda *_words, **_more: None)
    database = open_database(home.database_url)
    yield database
    database.dispose()


def filled(
    what: str = "epochs",
    values: str = "1, 3",
    stage: str = "rsft",
    field: str | None = "epochs",
    skip: bool = False,
    **more: Any,
) -> list[Any]:
    """The form's values in the order of its parts."""
    return [what, stage, field, values, *(NAMED | more).values(), skip]


def test_only_what_differs_is_asked_for() -> None:
    assert asked_for(filled()) == ("epochs", {"holdout": 0.1, "values": "1, 3"}, {}, False)
    name, values, presets, skip = asked_for(
        filled(
            base=" my/base ",
            rows="50",
            held=0,
            preset="exp19",
            more='lora_r=8\n\nlora_targets=["q_proj"]',
            skip=True,
        )
    )
    assert values == {
        "base_model": "my/base",
        "max_rows": "50",
        "lora_r": "8",
        "lora_targets": ["q_proj"],
        "values": "1, 3",
    }
    assert (name, presets, skip) == ("epochs", {"rsft": "exp19"}, True)


def test_what_is_swept_or_unknown_to_the_stage_is_not_asked_for() -> None:
    _, values, _, _ = asked_for(filled("rows", "50, 0", rows="7"))
    assert "max_rows" not in values
    name, values, _, _ = asked_for(filled("", "1, 2", "mine", "k", base="x", preset=None))
    assert (name, values) == ("mine.k", {"values": "1, 2"})
    with pytest.raises(InputError, match="lora_r: must be KEY=VALUE"):
        asked_for(filled(more="lora_r"))


def test_the_same_on_the_command_line() -> None:
    assert same_elsewhere(*asked_for(filled(values="1, 3, 5, 10", held=0))) == (
        "guardui sweep epochs"
    )
    assert same_elsewhere(*asked_for(filled(skip=True, preset="exp19"))) == (
        "guardui sweep epochs --preset rsft=exp19 --values '1, 3' --set holdout=0.1 --skip"
    )


@pytest.mark.parametrize("name", SWEEPS)
def test_usual_values_are_typed_as_they_are_read(name: str) -> None:
    sweep = SWEEPS[name]
    read = read_values(words_of(sweep.values))
    assert [str(one) for one in read] == [str(one) for one in sweep.values]


def test_the_form_follows_the_ablation_and_the_stage() -> None:
    stage, field, values, summary, _, base, _, rows, _, _ = ablations_launch.chosen_sweep("rows")
    assert (stage.visible, field.visible, base.visible, rows.visible) == (False, False, True, False)
    assert (values, "500 and 5,000" in summary) == ("500, 5000, 0", True)
    for name in all_stages():
        field, preset, base, *_ = ablations_launch.chosen_stage(name)
        assert preset.visible is bool(all_stages()[name].presets)
        assert base.visible is ("base_model" in all_stages()[name].config.model_fields)


def test_a_check_shows_runs_refusals_and_caveats(database: Database, tiny_base: Path) -> None:
    base = str(tiny_base)
    note, shown = ablations_runs.check(database, filled(base=base))
    assert "2 runs" in note.value
    assert "guardui sweep epochs" in shown
    note, shown = ablations_runs.check(database, filled("rows", "50, 500, 0", base=base))
    assert "1 of the values can&#x27;t run" in note.value
    assert "max_rows=500: the dataset has 180 rows" in shown
    assert "other rows are held out" in shown
    note, shown = ablations_runs.check(database, filled("", "1", field="epochs", base=base))
    assert "at least two values" in note.value


def test_a_launch_queues_all_and_shows_the_group(database: Database, tiny_base: Path) -> None:
    given = filled(base=str(tiny_base), values="1, 2")
    note, _, group = ablations_runs.start(database, given)
    assert note.visible is False
    shown = view(database, Looked(group))
    assert shown["body"] is True
    assert shown["table"].count("<tr><td") == 2
    assert "No curves" in shown["chart"]
    note, _, _ = ablations_runs.start(database, filled("rows", "50, 500", base=str(tiny_base)))
    assert "Nothing was queued" in note.value
    with database.read() as session:
        assert len(groups.list_groups(session)) == 1


def test_the_view_keeps_to_what_there_is(database: Database) -> None:
    empty = view(database, Looked(7, "loss", "rows"))
    assert (empty["body"], empty["group"]) == (False, ((), None))
    group = seeded(database)
    shown = view(database, Looked(99, "no such", "hours"))
    assert shown["group"][1] == group
    assert (shown["metric"][1], shown["axis"][1]) == ("loss", "rows")
    assert view(database, Looked(group, "loss", "tokens"))["axis"][1] == "tokens"


def seeded(database: Database) -> int:
    """A sweep of two runs with two records each."""
    with database.write() as session:
        group = groups.add_group(session, kind="sweep", name="epochs", title="Epochs")
        for label in ("1", "3"):
            config = {"batch_size": 2, "accumulation": 3}
            job = jobs.add_job(
                session, stage="rsft", config=config, group_id=group.id, group_key=label
            )
            for step in (1, 2):
                data = {"loss": 2.0 / step, "epoch": step / 2, "tokens": step * 8.0}
                session.add(Event(job_id=job.id, kind="metrics", step=step, data=data))
        return group.id


def test_files_are_sent_to_researchers_alone(database: Database, home: Settings) -> None:
    group = seeded(database)
    client = TestClient(Starlette(routes=group_routes(database)))
    table = client.get(f"/groups/{group}/curves.csv")
    assert (
        table.headers["content-disposition"] == f'attachment; filename="group-{group}-curves.csv"'
    )
    assert table.text.splitlines()[1] == "1,1,6,1,0.5,8,2"
    picture = client.get(f"/groups/{group}/curves.png?by=epochs")
    assert (picture.headers["content-type"], picture.content[:4]) == ("image/png", b"\x89PNG")
    assert client.get(f"/groups/{group}/curves.svg").status_code == 404
    assert "there is no such group" in client.get("/groups/99/curves.csv").text
    assert "metric=acc" in client.get(f"/groups/{group}/curves.png?metric=acc").text


# Recipes


def test_a_recipe_is_shown_with_what_each_job_asks(database: Database, tiny_base: Path) -> None:
    note, shown = recipe.check_recipe(database, "demo", str(tiny_base), 96, "starter")
    assert "3 jobs in this order" in note.value
    assert shown.count("GiB") == 3
    assert "up to" in shown  # how long the pairs are isn't known yet
    note, shown = recipe.check_recipe(database, "ensemble-demo", str(tiny_base), 96, "starter")
    assert "14 jobs in this order" in note.value
    assert "R-SFT without starter/fraud" in shown


def test_a_recipe_that_is_refused_is_shown_with_the_reason(database: Database) -> None:
    note, shown = recipe.check_recipe(database, "demo", "/no/such/base", 96, "starter")
    assert "1 of 3 jobs can&#x27;t run here" in note.value
    assert shown.count("✕ refused") == 1
    note, shown = recipe.check_recipe(database, "demo", "/no/such/base", 96, "/no/rows")
    assert "/no/rows" in note.value


def test_a_recipe_is_launched_whole(database: Database, tiny_base: Path) -> None:
    note, first = recipe.launch_recipe(database, "demo", str(tiny_base), 8, "starter")
    assert note.visible is False
    with database.read() as session:
        (group,) = groups.list_groups(session)
        assert [job.group_key for job in group.jobs] == ["rsft", "mine", "hsdpo"]
        assert group.jobs[0].id == first
