"""What a run asks of the machine, told before a launch; curves to take away; what a run noted."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Download, Page, expect

from db import jobs
from pipelines.stages import get_stage
from pipelines.stages.base import build_config
from tests.e2e.conftest import App, Visitor, serve

SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"
BARS_END = """() => [...document.querySelectorAll('#preview-rsft .gu-bar')].map(
  (one) => one.getBoundingClientRect().right - innerWidth)"""


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
    page.locator(f"#preview-{stage} .gu-facts").first.wait_for()


def preset(page: Page, name: str) -> None:
    """Fills all of the R-SFT form anew."""
    page.locator("#preset-rsft input").click()
    page.locator("[role=option]", has_text=name).first.click()
    expect(page.locator("#ways-rsft pre").first).to_contain_text(f"--preset {name}")


def test_a_check_tells_what_a_run_asks_and_what_is_wrong_with_it(visit: Visitor, app: App) -> None:
    """One page, a check after the other: each part begins with a form that it fills itself."""
    page = visit.open().page
    visit.go("train", "#check-rsft")
    memory_steps_and_time_are_told(visit)
    too_large_a_run_is_refused_with_a_change_that_fits(page)
    what_needs_a_gpu_is_refused_with_what_to_change(page, app)
    a_wrong_evaluation_set_is_named(page)
    an_adapter_that_is_yet_to_be_trained_is_reckoned_with(page)


def memory_steps_and_time_are_told(visit: Visitor) -> None:
    page = visit.page
    check(page, "rsft")
    panel = page.locator("#preview-rsft")
    expect(panel).to_contain_text("Ready to launch")
    expect(panel).to_contain_text("GiB needed")
    bar = panel.locator(".gu-bar")
    assert "GiB" in str(bar.get_attribute("aria-label"))
    facts = panel.locator(".gu-facts").first
    expect(facts).to_contain_text("4 = 2 rows x 2 accumulated")
    expect(facts).to_contain_text("48")  # 96 rows by 4, twice
    expect(facts).to_contain_text("by job 1 (rsft of smollm2-135m-instruct, 1,240 tokens/s)")
    for width, scheme in ((360, "light"), (360, "dark"), (1440, "dark"), (1440, "light")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        visit.settle()
        assert page.evaluate(SIDEWAYS) <= 0, (width, scheme)
        ends = page.evaluate(BARS_END)
        assert ends
        assert max(ends) < 0, (width, scheme)


def too_large_a_run_is_refused_with_a_change_that_fits(page: Page) -> None:
    page.locator(".field-batch_size input:visible").first.fill("1024")
    page.locator(".field-batch_size input:visible").first.blur()
    page.locator("#check-rsft").click()
    fault = page.locator("#faults-rsft")
    expect(fault).to_contain_text("memory: smollm2-135m-instruct would need about")
    expect(fault).to_contain_text("batch_size=")
    expect(page.locator("#preview-rsft")).to_contain_text("Memory: it does not fit")


def what_needs_a_gpu_is_refused_with_what_to_change(page: Page, app: App) -> None:
    preset(page, "exp19")
    with app.database.read() as session:
        before = len(jobs.list_jobs(session))
    # The launch first: the check would say the same, and what is awaited would be there already.
    page.locator("#launch-rsft").click()
    fault = page.locator("#faults-rsft")
    expect(fault).to_contain_text("quantization=nf4: needs a GPU, and there is none here")
    expect(fault).to_contain_text("quantization=none")
    with app.database.read() as session:
        assert len(jobs.list_jobs(session)) == before
    page.locator("#check-rsft").click()
    expect(page.locator("#preview-rsft")).to_contain_text("Memory: it needs a GPU")
    expect(fault).to_contain_text("needs a GPU")


def a_wrong_evaluation_set_is_named(page: Page) -> None:
    preset(page, "smollm2-demo")
    page.locator("button:visible", has_text="Advanced").first.click()
    name(page, "eval_dataset", "/no/such/rows.jsonl")
    page.locator("#check-rsft").click()
    expect(page.locator("#faults-rsft")).to_contain_text(
        "eval_dataset=/no/such/rows.jsonl: there is no such file"
    )


def an_adapter_that_is_yet_to_be_trained_is_reckoned_with(page: Page) -> None:
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


def taken(page: Page, link: str) -> Download:
    with page.expect_download() as waited:
        page.locator(f"#job-chart a[href^='{link}']").click()
    return waited.value


def test_curves_are_taken_away_and_what_a_run_noted_is_shown(
    visit: Visitor, app: App, tmp_path: Path
) -> None:
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
    # What it noted, and wrote for other viewers.
    expect(page.locator("#job-headline")).to_contain_text("going on with batch_size=2 from step 6")
    page.locator("[role=tab]", has_text="Artifacts").click()
    folder = app.settings.jobs_dir / "1" / "tensorboard"
    expect(page.locator("#job-artifacts")).to_contain_text(f"tensorboard --logdir {folder}")
