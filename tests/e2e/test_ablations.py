"""Comparing runs, launching an ablation and looking at a recipe before its launch, in a browser."""

from __future__ import annotations

import math
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from db import groups, jobs, lifecycle
from db.models import ACTIVE, ENDED, WAITING, Event, now
from db.session import Database
from pipelines.stages import get_stage
from pipelines.stages.base import build_config
from tests.e2e.conftest import PATIENCE, App, Visitor, serve
from tests.e2e.test_page import OVERFLOW
from tests.tiny_runs import write_rows

NASTY = "<img src=x onerror='window.xss=1'>"
EPOCHS = (1, 3, 5)
STEPS_AN_EPOCH = 12


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A page of its own with a finished sweep, for these tests launch jobs."""
    for app in serve(tmp_path_factory.mktemp("lab")):
        seed_sweep(app.database)
        yield app
        leave_nothing_behind(app.database)


def leave_nothing_behind(database: Database) -> None:
    """Ends what a failed test left waiting or running."""
    with database.write() as session:
        for job in jobs.list_jobs(session, states=(*WAITING, *ACTIVE)):
            lifecycle.request_stop(session, job.id)
            if job.pid:
                with suppress(ProcessLookupError):
                    os.killpg(job.pid, signal.SIGKILL)


def seed_sweep(database: Database) -> int:
    """Three runs over epochs; the last one failed half-way. Returns the group."""
    stage = get_stage("rsft")
    with database.write() as session:
        group = groups.add_group(
            session, kind="sweep", name="epochs", title=f"Epochs {NASTY}", field="epochs"
        )
        for number, epochs in enumerate(EPOCHS):
            config = build_config(stage, "smollm2-demo", {"epochs": epochs, "holdout": 0.1})
            job = jobs.add_job(
                session,
                stage="rsft",
                preset="smollm2-demo",
                config=config.model_dump(mode="json"),
                title=f"Epochs: {epochs}",
                group_id=group.id,
                group_key=str(epochs),
            )
            failed = number == len(EPOCHS) - 1
            steps = STEPS_AN_EPOCH * (epochs - 2 if failed else epochs)
            job.state, job.reason = ("failed", f"diverged {NASTY}") if failed else ("succeeded", "")
            job.step, job.total_steps = steps, STEPS_AN_EPOCH * epochs
            job.started_at = now() - timedelta(minutes=9)
            job.finished_at = job.started_at + timedelta(seconds=3 * steps)
            for step in range(1, steps + 1):
                loss = 0.6 + 1.9 * math.exp(-step / 15)
                data = {"loss": loss, "epoch": step / STEPS_AN_EPOCH, "tokens": 900.0 * step}
                session.add(Event(job_id=job.id, kind="metrics", step=step, data=data))
                if step % 6 == 0:
                    held = {"eval_loss": loss + 0.02 * number}
                    session.add(Event(job_id=job.id, kind="metrics", step=step, data=held))
        return group.id


def results(visit: Visitor) -> Page:
    """The group, by its address."""
    visit.open("?group=1")
    visit.page.locator("#ablation-table table").wait_for(timeout=PATIENCE)
    return visit.page


def new_ablation(visit: Visitor, title: str) -> Page:
    """The form, with this ablation chosen."""
    visit.open()
    visit.tab("ablations").click()
    page = visit.page
    page.get_by_role("tab", name="New ablation").click()
    choose(page, "ablation-name", title)
    return page


def choose(page: Page, name: str, option: str) -> None:
    page.locator(f"#{name} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def test_a_group_is_looked_at_and_taken_away(visit: Visitor) -> None:
    """One page, which from the row of a job on is another one."""
    page = results(visit)
    a_group_is_one_picture_and_one_table(page)
    nothing_scrolls_sideways(page)
    picture_and_numbers_can_be_taken_away(page)
    runs_of_other_lengths_are_laid_along_what_is_chosen(page)
    from_a_row_to_its_job_and_back(page)


def a_group_is_one_picture_and_one_table(page: Page) -> None:
    expect(page.locator("#ablation-chart svg[role=img]")).to_have_count(2)
    expect(page.locator("#ablation-chart h3")).to_have_text(["Training loss", "Held-out loss"])
    rows = page.locator("#ablation-table tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("succeeded")
    expect(rows.nth(2)).to_contain_text(f"diverged {NASTY}")
    # Each line by name, dash and colour.
    names = page.locator("#ablation-chart svg[role=img]").first.locator("text.name")
    expect(names).to_have_count(3)
    looks = page.evaluate(
        """() => [...document.querySelectorAll('#ablation-table tbody .curve')]
          .map((one) => getComputedStyle(one).stroke + getComputedStyle(one).strokeDasharray)"""
    )
    assert len(set(looks)) == 3


def nothing_scrolls_sideways(page: Page) -> None:
    for part in ("Results", "New ablation"):
        page.get_by_role("tab", name=part).click()
        if part == "New ablation":
            page.locator("#ablation-check").click()
            page.locator("#ablation-preview table").wait_for()
        for width in (900, 360, 1440):
            for scheme in ("light", "dark"):
                page.set_viewport_size({"width": width, "height": 800})
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                assert page.evaluate(OVERFLOW) == [0, []], (part, width, scheme)
    page.get_by_role("tab", name="Results").click()


def picture_and_numbers_can_be_taken_away(page: Page) -> None:
    for form, begins in (("PNG", b"\x89PNG"), ("CSV", b"job,value_of_epochs,rows,steps")):
        with page.expect_download() as waited:
            page.get_by_role("link", name=f"Download {form}").click()
        assert waited.value.suggested_filename == f"group-1-curves.{form.lower()}"
        assert Path(waited.value.path()).read_bytes().startswith(begins)


def runs_of_other_lengths_are_laid_along_what_is_chosen(page: Page) -> None:
    chart = page.locator("#ablation-chart svg[role=img]").first
    expect(chart).to_contain_text("rows seen")
    choose(page, "ablation-axis", "epochs")
    expect(chart).to_contain_text("epochs")
    assert "at 3 epochs" in (chart.get_attribute("aria-label") or "")
    choose(page, "ablation-axis", "tokens seen")
    expect(chart).to_contain_text("tokens seen")


def from_a_row_to_its_job_and_back(page: Page) -> None:
    button = page.locator("#ablation-table button[data-pick]").nth(1)
    number = button.get_attribute("data-pick")
    button.click()
    headline = page.locator("#job-headline")
    expect(headline).to_contain_text(f"#{number} R-SFT")
    headline.get_by_role("link", name="Epochs: 3").click()
    page.locator("#ablation-table table").wait_for()
    assert page.url.endswith("?group=1")


def test_an_ablation_is_checked_before_its_launch(visit: Visitor, app: App) -> None:
    page = new_ablation(visit, "Epochs")
    a_check_shows_the_runs_and_what_they_ask(page)
    a_value_that_can_not_run_is_told_and_nothing_is_queued(page, app)
    any_field_of_any_stage(page)


def a_check_shows_the_runs_and_what_they_ask(page: Page) -> None:
    expect(page.locator("#ablation-values textarea, #ablation-values input")).to_have_value(
        "1, 3, 5, 10"
    )
    page.locator("#ablation-check").click()
    preview = page.locator("#ablation-preview")
    expect(preview.locator("tbody tr")).to_have_count(4)
    expect(preview).to_contain_text("GiB")
    expect(preview.locator("pre")).to_have_text("guardui sweep epochs --set holdout=0.1")
    expect(page.locator("#ablation-note")).to_contain_text("Ready to launch")


def a_value_that_can_not_run_is_told_and_nothing_is_queued(page: Page, app: App) -> None:
    choose(page, "ablation-name", "Rows")
    page.locator("#ablation-values textarea, #ablation-values input").fill("50, 500, 0")
    page.locator("#ablation-check").click()
    expect(page.locator("#ablation-preview")).to_contain_text(
        "max_rows=500: the dataset has 180 rows"
    )
    page.locator("#ablation-launch").click()
    note = page.locator("#ablation-note")
    expect(note).to_contain_text("Nothing was queued")
    with app.database.read() as session:
        assert [one.name for one in groups.list_groups(session)].count("rows") == 0


def any_field_of_any_stage(page: Page) -> None:
    choose(page, "ablation-name", "Another field …")
    choose(page, "ablation-field", "lora_r")
    page.locator("#ablation-values textarea, #ablation-values input").fill("4, 16")
    page.locator("#ablation-check").click()
    expect(page.locator("#ablation-preview pre")).to_have_text(
        "guardui sweep rsft.lora_r --values '4, 16' --set holdout=0.1"
    )
    choose(page, "ablation-stage", "HS-DPO")
    expect(page.locator("#ablation-dataset")).to_be_hidden()


def test_a_launched_sweep_runs_to_its_picture(
    visit: Visitor, app: App, tiny_base: Path, tmp_path: Path
) -> None:
    """Two values on a tiny model, by real workers, while the page looks on."""
    page = new_ablation(visit, "Epochs")
    page.locator("#ablation-values textarea, #ablation-values input").fill("1, 2")
    page.locator("#ablation-base textarea, #ablation-base input").fill(str(tiny_base))
    page.locator("#ablation-dataset input").fill(str(write_rows(tmp_path / "rows.jsonl")))
    page.locator("#ablation-dataset input").press("Enter")
    page.get_by_role("button", name="More settings of all runs").click()
    page.locator("#ablation-more textarea").fill("device=cpu\nprecision=fp32\naccumulation=1")
    page.locator("#ablation-launch").click()
    expect(page.locator("#ablation-group input")).to_have_value(
        re.compile(r"#\d+ Epochs \(2 runs\)")
    )
    with app.database.read() as session:
        group = groups.list_groups(session)[0]
        ids = [job.id for job in group.jobs]
        assert [job.group_key for job in group.jobs] == ["1", "2"]
    states = wait_until_ended(app.database, ids)
    assert states == ["succeeded", "succeeded"]
    rows = page.locator("#ablation-table tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("succeeded", timeout=PATIENCE)
    expect(page.locator("#ablation-chart svg[role=img]")).to_have_count(2, timeout=PATIENCE)


def wait_until_ended(database: Database, ids: list[int], seconds: float = 240) -> list[str]:
    """The states of these jobs once all have ended."""
    deadline = time.monotonic() + seconds
    while True:
        with database.read() as session:
            found = [jobs.get_job(session, job_id) for job_id in ids]
            states = [job.state for job in found if job]
        if all(state in ENDED for state in states):
            return states
        assert time.monotonic() < deadline, states
        time.sleep(0.5)


# Recipes


def test_a_recipe_shows_its_jobs_and_why_one_can_not_run_here(visit: Visitor) -> None:
    visit.open().go("train", "#launch-rsft")
    page = visit.page
    page.get_by_role("tab", name="Whole recipe").click()
    choose(page, "recipe-name", "Ensemble mining, small")
    page.locator("#recipe-check").click()
    rows = page.locator("#recipe-steps tbody tr")
    # The starter set has six sources: main and five variants, as many miners, merge, HS-DPO.
    expect(rows).to_have_count(14)
    expect(rows.nth(1)).to_contain_text("R-SFT without starter/fraud")
    expect(rows.nth(1)).to_contain_text("GiB")
    expect(rows.nth(6)).to_contain_text("takes main")
    expect(page.locator("#recipe-note")).to_contain_text("14 jobs in this order")
    choose(page, "recipe-name", "One epoch, then on to three")
    page.locator("#recipe-check").click()
    expect(page.locator("#recipe-steps tbody tr")).to_have_count(2)
    expect(page.locator("#recipe-steps")).to_contain_text("refused")
    expect(page.locator("#recipe-note")).to_contain_text("jobs can't run here")
