"""The Studies tab in a browser: a study from stored answers to its links, and a report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from db.session import Database
from guardui import study_acts
from pipelines.settings import Settings
from tests.e2e.conftest import App, Visitor, serve
from tests.e2e.test_page import OVERFLOW
from tests.rated_studies import NASTY, draft, rate
from tests.stored_answers import write_answers

LATER = 90_000


def fill(database: Database, settings: Settings) -> None:
    """A closed study that was rated, and answers of two arms for a new one."""
    study = draft(database, f"Rated {NASTY}", items=8)
    study_acts.open_study(database, study)
    rate(database, settings, study)
    study_acts.close_study(database, study, "All pairs are rated.")
    write_answers(settings.home / "answers", nasty=True)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    yield from serve(tmp_path_factory.mktemp("studied"), fill)


@pytest.fixture
def visit(lab: App, browser: Browser) -> Iterator[Visitor]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    visitor = Visitor(page, lab.url)
    yield visitor
    assert page.evaluate("window.xss") is None
    page.close()
    assert visitor.troubles == []


def part(page: Page, title: str) -> None:
    page.locator("#study-parts").get_by_role("tab", name=title, exact=True).click()


def choose_arms(page: Page, folder: Path) -> None:
    field = page.locator("#study-form .field-arms input")
    for name in ("tuned", "plain"):
        field.fill(str(folder / name))
        field.press("Enter")


def test_a_study_is_made_looked_through_opened_and_people_are_invited(
    lab: App, visit: Visitor, browser: Browser
) -> None:
    page = visit.open().page
    visit.go("studies", "#studies-list table")
    page.get_by_role("tab", name="New study").click()
    expect(page.locator("#power-answer")).to_contain_text("210", timeout=LATER)
    page.locator("#study-create").click()
    expect(page.locator("#study-faults")).to_contain_text("arms", timeout=LATER)
    choose_arms(page, lab.settings.home / "answers")
    page.locator("#study-form .field-name textarea").fill("Fresh")
    page.locator("#study-form .field-items input").fill("6")
    page.get_by_role("button", name="Training pairs").click()
    page.locator("#study-form .field-unknown_training_ok input").check()
    page.locator("#study-check").click()
    expect(page.locator("#study-preview")).to_contain_text("first right", timeout=LATER)
    page.locator("#study-create").click()
    fresh = page.locator("#studies-list").get_by_role("button", name="Fresh", exact=True)
    fresh.click(timeout=LATER)
    expect(page.locator("#study-headline")).to_contain_text("draft")
    part(page, "Items")
    items = page.locator("#study-items")
    for _ in range(3):
        items.get_by_role("button", name="Next").click()
    expect(items).to_contain_text("item 4 of")
    talk = items.locator(".st-talk .in")
    expect(talk).to_be_hidden()
    items.get_by_text("Show the conversation").click()
    expect(talk).to_contain_text(NASTY)
    page.locator("#study-open").click()
    page.locator("#study-open-yes").click()
    expect(page.locator("#study-headline")).to_contain_text("people rate it", timeout=LATER)
    part(page, "Design and files")
    expect(page.locator("#study-design pre")).to_have_text(re.compile("^[0-9a-f]{64}$"))
    part(page, "People")
    page.locator("#invite-names textarea").fill(f"Anna {NASTY}\nBen")
    page.locator("#invite-count input").fill("3")
    page.locator("#invite-make").click()
    links = page.locator("#invite-links li")
    expect(links).to_have_count(3, timeout=LATER)
    expect(page.locator("#study-people")).to_contain_text(f"1 · Anna {NASTY}")
    with page.expect_download() as waited:
        page.get_by_role("link", name="Download CSV").click()
    table = Path(waited.value.path()).read_text()
    address = links.nth(1).locator("code").inner_text()
    assert address in table
    assert address.startswith(f"{lab.url}/?tab=rate#rate=")
    guest = browser.new_page()
    guest.goto(address)
    expect(guest.locator("#rate-screen")).to_contain_text("Taking part", timeout=LATER)
    guest.close()
    page.locator("#study-close").click()
    page.locator("#study-reason textarea, #study-reason input").fill("Enough")
    page.locator("#study-close-yes").click()
    expect(page.locator("#study-headline")).to_contain_text("Enough", timeout=LATER)


def test_a_report_is_read_and_taken_away(visit: Visitor) -> None:
    page = visit.open().page
    visit.go("studies", "#studies-list table")
    page.locator("#studies-list").get_by_role("button", name=f"Rated {NASTY}", exact=True).click()
    report = page.locator("#study-report")
    expect(report).to_contain_text("The rule, set before the first rating", timeout=LATER)
    expect(report.get_by_role("img").first).to_have_attribute("aria-label", re.compile("target"))
    shown = {"Items": "#study-items .st-item", "People": "#study-people table"}
    shown |= {"Design and files": "#study-files a", "Report": "#study-report table"}
    for width in (1440, 360):
        page.set_viewport_size({"width": width, "height": 800})
        for title, inside in shown.items():
            part(page, title)
            page.locator(inside).first.wait_for(timeout=LATER)
            visit.settle()
            assert page.evaluate(OVERFLOW) == [0, []], (title, width)
    part(page, "Design and files")
    with page.expect_download(timeout=LATER) as waited:
        page.get_by_role("link", name="Markdown").click()
    assert "Rated" in Path(waited.value.path()).read_text()
