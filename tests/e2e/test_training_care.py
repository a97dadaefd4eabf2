"""What a run asks of the machine, told before a launch; curves to take away; what a run noted."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Download, Page, expect

from db import jobs
from pipelines.stages import get_stage
from pipelines.stages.base import build_config
from tests.e2e.conftest import App, Visitor, serve

CHECKED = 40_000
"""Milliseconds that a check may take on a busy machine."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app of its own, with a training that waits for a failed one (job 4) and with what job 1
    noted and wrote for other viewers."""
    for app in serve(tmp_path_factory.mktemp("care-home")):
        config = build_config(get_stage("rsft"), "smollm2-demo").model_dump(mode="json")
        with app.database.write() as session:
            waiting = jobs.add_job(session, stage="rsft", config=config, parents=[2])
            waiting.state, waiting.reason = "blocked", "needs job 2 (rsft), which failed"
            assert waiting.id == 4
            said = "out of memory at batch_size=4: going on with batch_size=2 from step 6"
            jobs.add_event(session, 1, "log", data={"text": said})
        (app.settings.jobs_dir / "1" / "tensorboard").mkdir()
        yield app


def choose(page: Page, stage: str, title: str) -> None:
    page.locator("#train-stage label", has_text=title).first.click()
    page.locator(f"#check-{stage}").wait_for()


def name(page: Page, field: str, value: str) -> None:
    """Writes a reference that isn't on offer into its list."""
    box = page.locator(f".field-{field} input:visible").first
    box.fill(value)
    box.press("Enter")


def check(page: Page, stage: str) -> None:
    page.locator(f"#check-{stage}").click()
    page.locator(f"#preview-{stage} .gu-facts").first.wait_for(timeout=CHECKED)


def test_a_check_tells_memory_steps_and_time(visit: Visitor) -> None:
    visit.open().go("train", "#check-rsft")
    check(visit.page, "rsft")
    panel = visit.page.locator("#preview-rsft")
    expect(panel).to_contain_text("Ready to launch")
    expect(panel).to_contain_text("GiB needed")
    bar = panel.locator(".gu-bar")
    assert "GiB" in str(bar.get_attribute("aria-label"))
    facts = panel.locator(".gu-facts").first
    expect(facts).to_contain_text("4 = 2 rows x 2 accumulated")
    expect(facts).to_contain_text("48")  # 96 rows by 4, twice
    expect(facts).to_contain_text("by job 1 (rsft of smollm2-135m-instruct, 1,240 tokens/s)")


def test_what_needs_a_gpu_is_refused_with_what_to_change(visit: Visitor, app: App) -> None:
    visit.open().go("train", "#preset-rsft")
    page = visit.page
    page.locator("#preset-rsft input").click()
    page.locator("[role=option]", has_text="exp19").first.click()
    expect(page.locator("#ways-rsft pre").first).to_contain_text("--preset exp19")
    check(page, "rsft")
    fault = page.locator("#faults-rsft")
    expect(fault).to_contain_text("quantization=nf4: needs a GPU, and there is none here")
    expect(fault).to_contain_text("quantization=none")
    expect(page.locator("#preview-rsft")).to_contain_text("Memory: it needs a GPU")
    with app.database.read() as session:
        before = len(jobs.list_jobs(session))
    page.locator("#launch-rsft").click()
    expect(fault).to_contain_text("needs a GPU", timeout=CHECKED)
    visit.settle()
    with app.database.read() as session:
        assert len(jobs.list_jobs(session)) == before


def test_too_large_a_run_is_refused_with_a_change_that_fits(visit: Visitor) -> None:
    visit.open().go("train", "#check-rsft")
    page = visit.page
    page.locator(".field-batch_size input:visible").first.fill("1024")
    page.locator(".field-batch_size input:visible").first.blur()
    check(page, "rsft")
    fault = page.locator("#faults-rsft")
    expect(fault).to_contain_text("memory: smollm2-135m-instruct would need about")
    expect(fault).to_contain_text("batch_size=")
    expect(page.locator("#preview-rsft")).to_contain_text("Memory: it does not fit")


def test_an_adapter_that_is_yet_to_be_trained_is_reckoned_with(visit: Visitor) -> None:
    visit.open().go("train", "#check-rsft")
    page = visit.page
    choose(page, "mine", "Mine hard samples")
    name(page, "adapter", "job:4")
    check(page, "mine")
    expect(page.locator("#preview-mine")).to_contain_text("GiB needed")
    expect(page.locator("#preview-mine")).to_contain_text("key and value cache")
    choose(page, "hsdpo", "HS-DPO")
    name(page, "adapter", "job:4")
    name(page, "pairs", "job:4")
    check(page, "hsdpo")
    expect(page.locator("#preview-hsdpo")).to_contain_text("GiB needed")
    expect(page.locator("#preview-hsdpo")).to_contain_text("yet to be made")


def test_a_wrong_evaluation_set_is_named(visit: Visitor) -> None:
    visit.open().go("train", "#check-rsft")
    page = visit.page
    page.locator("button", has_text="Advanced").first.click()
    name(page, "eval_dataset", "/no/such/rows.jsonl")
    page.locator("#check-rsft").click()
    expect(page.locator("#faults-rsft")).to_contain_text(
        "eval_dataset=/no/such/rows.jsonl: there is no such file", timeout=CHECKED
    )


@pytest.mark.parametrize(("width", "theme"), [(360, "light"), (1440, "dark")])
def test_the_plan_fits_the_screen(app: App, browser: Browser, width: int, theme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    visitor = Visitor(page, app.url).open(f"?__theme={theme}")
    visitor.go("train", "#check-rsft")
    check(page, "rsft")
    visitor.settle()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    low = page.evaluate(
        """() => [...document.querySelectorAll('#preview-rsft .gu-bar')].map(
          (one) => one.getBoundingClientRect().right - innerWidth)"""
    )
    assert low
    assert max(low) < 0
    page.close()


def taken(page: Page, link: str) -> Download:
    with page.expect_download() as waited:
        page.locator(f"#job-chart a[href^='{link}']").click()
    return waited.value


def test_curves_are_taken_away_as_picture_and_table(visit: Visitor, tmp_path: Path) -> None:
    from matplotlib.image import imread

    visit.open("?job=1").go("jobs", "#jobs-table table")
    page = visit.page
    page.locator("#jobs-table button[data-pick='1']").click()
    page.locator("#job-chart a").first.wait_for()
    picture = taken(page, "jobs/1/curves.png")
    assert picture.suggested_filename == "job-1-curves.png"
    picture.save_as(tmp_path / "curves.png")
    # Two panels, loss and learning rate: 8 by 5.3 inches at 150 dots an inch.
    assert imread(tmp_path / "curves.png").shape[:2] == (pytest.approx(795, abs=2), 1200)
    table = taken(page, "jobs/1/curves.csv")
    assert table.suggested_filename == "job-1-curves.csv"
    table.save_as(tmp_path / "curves.csv")
    with (tmp_path / "curves.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [float(row["loss"]) for row in rows] == [
        0.6 + 1.9 * math.exp(-step / 15) for step in range(1, 61)
    ]


def test_what_a_run_noted_and_wrote_for_other_viewers_is_shown(visit: Visitor, app: App) -> None:
    visit.open("?job=1").go("jobs", "#jobs-table table")
    page = visit.page
    page.locator("#jobs-table button[data-pick='1']").click()
    expect(page.locator("#job-headline")).to_contain_text("going on with batch_size=2 from step 6")
    page.locator("[role=tab]", has_text="Artifacts").click()
    folder = app.settings.jobs_dir / "1" / "tensorboard"
    expect(page.locator("#job-artifacts")).to_contain_text(f"tensorboard --logdir {folder}")
