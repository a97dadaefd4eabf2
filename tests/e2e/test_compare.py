"""The Compare tab in a browser: choosing runs, reading a cell, browsing disagreements, a report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from db.session import Database
from pipelines.settings import Settings
from tests.e2e.conftest import App, Visitor, serve
from tests.e2e.test_page import OVERFLOW
from tests.evaluation_runs import PROMPT, REFUSAL, RESPONSE, add_evaluation

NASTY = "<img src=x onerror='window.xss=1'>"
AEGIS, SIMPLE = ("AegisSafetyTest", PROMPT), ("SimpleSafetyTests", PROMPT)
HARM, REFUSED = ("HarmBenchResponse", RESPONSE), ("XSTestResponseRefusal", REFUSAL)
SECRET = "what nobody wants to read"


def fill(database: Database, settings: Settings) -> None:
    """Three runs, of which the first misses what the second finds, and a baseline."""
    said = {
        "first": {AEGIS: "m" * 15 + "TTTTtttttf!", SIMPLE: "TTTm", HARM: "TTmttf", REFUSED: "TTtm"},
        "second": {
            AEGIS: "T" * 15 + "TTTTttttfff",
            SIMPLE: "TTTT",
            HARM: "TmTttt",
            REFUSED: "TTtt",
        },
        f"third {NASTY}": {AEGIS: "T" * 15 + "TTTTttttttt", SIMPLE: "TTTT"},
    }
    for number, (name, answers) in enumerate(said.items()):
        add_evaluation(
            database,
            settings.home / "evaluations" / str(number),
            name,
            answers,
            training={"epochs": number + 1},
            raw=f"# Task 1\n## Step 1: {SECRET} {NASTY}",
            category=f"fraud {NASTY}",
        )
    add_evaluation(
        database,
        settings.home / "evaluations" / "words",
        "tf-idf",
        {AEGIS: "Tm" * 8 + "TTTttttttf"},
        kind="baseline",
        mode="computed",
    )


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    yield from serve(tmp_path_factory.mktemp("evaluated"), fill)


def compared(visit: Visitor, query: str = "?compare=1,2") -> Page:
    """The tab with two runs, by its address."""
    visit.open(query)
    visit.page.locator("#compare-tables table").first.wait_for()
    return visit.page


def choose(page: Page, name: str, option: str) -> None:
    page.locator(f"#compare-{name} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def test_runs_are_chosen_and_policies_changed(visit: Visitor) -> None:
    visit.open().tab("compare").click()
    page = visit.page
    tables = page.locator("#compare-tables")
    tables.locator("table").first.wait_for()
    # The newest three, and the baseline that was asked the same.
    for name in ("first", "second", "third", "tf-idf", "always-harmful", "GuardReasoner-8B"):
        expect(tables.locator("tbody").nth(1)).to_contain_text(name)
    page.locator("#compare-runs .token-remove").first.click()
    expect(tables).not_to_contain_text("third")
    choose(page, "policy", "is left out")
    expect(tables).to_contain_text("Rows without a verdict are left out")
    choose(page, "metric", "recall")
    expect(tables).to_contain_text("recall in percent")
    expect(tables).not_to_contain_text("GuardReasoner")
    page.locator("#compare-runs .remove-all").click()
    expect(page.locator("#compare-head")).to_contain_text("No run chosen")
    expect(tables).to_be_hidden()
    page.locator("#compare-runs input").click()
    page.get_by_role("option", name="second").click()
    expect(tables.locator("tbody").first).to_contain_text("second")


def test_cells_disagreements_and_the_report(visit: Visitor) -> None:
    """Two runs in one page: each part is looked at in its own function."""
    page = compared(visit)
    the_report_can_be_taken_away(page)
    a_cell_tells_its_interval_to_mouse_and_keyboard(page)
    disagreements_are_browsed_and_texts_stay_shut_until_asked_for(page)


def a_cell_tells_its_interval_to_mouse_and_keyboard(page: Page) -> None:
    tip = page.locator("#cmp-tip")
    cell = page.locator("#compare-tables .cmp-run .cmp-value").first
    cell.hover()
    expect(tip).to_contain_text("95% interval")
    page.mouse.move(2, 2)
    expect(tip).to_be_hidden()
    page.locator("#compare-tables [data-cells] [tabindex='0']").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(tip).to_be_visible()
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label.startswith("GuardReasoner-3B, Response harmfulness, F1: ")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.get_by_label("Show intervals in the cells").check()
    expect(page.locator("#compare-tables .cmp-run .cmp-more").first).to_be_visible()


def disagreements_are_browsed_and_texts_stay_shut_until_asked_for(page: Page) -> None:
    page.get_by_role("tab", name="A against B").click()
    expect(page.locator("#compare-tests")).to_contain_text("McNemar")
    page.locator("#compare-kinds [data-kind=b_right]").click()
    expect(page.locator("#compare-rows [data-open]")).to_have_count(12)
    page.get_by_role("button", name="Next page").click()
    rows = page.locator("#compare-rows")
    expect(rows).to_contain_text("AegisSafetyTest:12")
    rows.locator("[data-open]").first.click()
    detail = page.locator("#compare-detail")
    expect(detail.locator("h2")).to_contain_text("AegisSafetyTest:12")
    expect(detail.locator(".gu-gen").nth(0)).to_contain_text("✕ unharmful, wrong")
    expect(detail.locator(".gu-gen").nth(1)).to_contain_text("✓ harmful, right")
    secrets = detail.locator(".hs-secret")
    expect(secrets).to_have_count(3)
    expect(secrets.first).to_be_hidden()
    detail.get_by_role("button", name="Reveal texts").click()
    expect(secrets.nth(2)).to_contain_text(f"{SECRET} {NASTY}")
    expect(secrets.nth(2)).to_be_visible()
    rows.locator("[data-open]").nth(1).click()
    expect(detail.locator("h2")).to_contain_text("AegisSafetyTest:13")
    expect(secrets.first).to_be_hidden()


def the_report_can_be_taken_away(page: Page) -> None:
    with page.expect_download(timeout=60_000) as waited:
        page.get_by_role("link", name="Download the report as Markdown").click()
    assert waited.value.suggested_filename == "evaluation-report.md"
    text = Path(waited.value.path()).read_text()
    assert "second" in text
    assert "third" not in text


def test_nothing_scrolls_sideways(visit: Visitor) -> None:
    page = compared(visit, "?compare=1,2,3")
    shown = {
        "Tables": "#compare-tables table",
        "A against B": "#compare-tests table",
        "Mistakes": "#compare-errors table",
        "Training": "#compare-trend svg",
        "Calibration": "#compare-calibration svg",
    }
    for width in (900, 360):
        page.set_viewport_size({"width": width, "height": 800})
        for title, part in shown.items():
            page.get_by_role("tab", name=title, exact=True).click()
            page.locator(part).first.wait_for()
            visit.settle()
            assert page.evaluate(OVERFLOW) == [0, []], (title, width)
