"""A study from the personal link to its end in a real browser: keyboard only, blind, loss-proof."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from db import study_ratings
from db.models import StudySlot
from tests.e2e.conftest import Visitor
from tests.e2e.rating import NASTY, Studies, heading
from tests.e2e.test_page import OVERFLOW

SMALL = """() => [...document.querySelectorAll('#rate-app :is(button, a, summary, select, label)')]
  .filter((one) => !one.matches('.vh'))
  .map((one) => [one.getBoundingClientRect(), one.outerHTML.slice(0, 120)])
  .filter(([box]) => box.width > 0 && (box.height < 24 || box.width < 24))
  .map(([_, text]) => text)"""
COVERED = """() => {
  const top = document.querySelector(".rate-decide").getBoundingClientRect().top;
  const fields = "#rate-form > :not(.rate-decide) :is(input, select, textarea)";
  return [...document.querySelectorAll(fields)].filter((one) => {
    one.focus();
    return one.getBoundingClientRect().bottom > top;
  }).map((one) => one.outerHTML);
}"""


def tab_to(page: Page, selector: str) -> None:
    """Presses Tab until the element has the focus."""
    for _ in range(60):
        if page.evaluate("(one) => document.activeElement.matches(one)", selector):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"no Tab leads to {selector}")


def levels(page: Page, *names: str) -> None:
    for name in names:
        for side in ("left", "right"):
            tab_to(page, f"input[name={name}-{side}]")
            page.keyboard.press("Space")
            page.keyboard.press("ArrowRight")


def press_place(page: Page, key: str, code: str) -> None:
    """A key as another keyboard layout has it."""
    press = "given => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', given))"
    page.evaluate(press, {"key": key, "code": code, "bubbles": True, "cancelable": True})


def test_a_study_by_keyboard_alone(rated: Studies, rater: Visitor) -> None:
    page = rater.open(f"?rate={rated.codes['keyed'][0]}").page
    press = page.keyboard.press
    expect(page.locator("#rate-head")).to_have_text("keyed")
    assert rated.codes["keyed"][0] not in page.url
    tab_to(page, "#rate-screen input[name=agreed]")
    press("Space")
    press("Enter")
    heading(page, "Practice 1")
    press("?")
    expect(page.locator("#rate-help")).to_be_visible()
    press("Escape")
    press("r")
    expect(page.locator("#rate-talk")).to_contain_text("prompt")
    page.locator("#rate-head").focus()
    press("1")
    levels(page, "coherence", "relevance", "specificity")
    press("Enter")
    heading(page, "reasons better")
    expect(page.locator("#rate-screen")).to_contain_text("It names what is asked.")
    press("Enter")
    heading(page, "Practice is over")
    press("Enter")
    for number in (1, 2):
        heading(page, f"Pair {number}")
        expect(page.locator("#rate-screen")).not_to_contain_text("prompt main")
        press("r") if number == 1 else press_place(page, "к", "KeyR")
        expect(page.locator("#rate-talk")).to_contain_text("prompt main")
        press("Enter")
        expect(page.locator("#rate-missing")).to_contain_text("coherence of A")
        tab_to(page, "#rate-screen .rate-note summary")
        press("Enter")
        press("Tab")
        page.keyboard.type("b5s?u both")  # no key works in a field
        expect(page.locator("#rate-form [name=overall]:checked")).to_have_count(0)
        page.locator("#rate-head").focus()
        tab_to(page, ".rate-mark[data-side=right]")
        press("w")
        levels(page, "coherence", "relevance", "specificity")
        press("b")  # where the focus is, there are levels, of which none is b
        press("4")
        expect(page.locator("[name=specificity-right]:checked")).to_have_value("4")
        expect(page.locator("[name=specificity-right]:checked")).to_be_focused()
        expect(page.locator("#rate-form [name=overall]:checked")).to_have_count(0)
        assert page.evaluate(COVERED) == []
        page.locator("#rate-head").focus()
        press_place(page, "p", "KeyB")  # a Latin letter is what it is
        expect(page.locator("#rate-form [name=overall]:checked")).to_have_count(0)
        press("b")
        expect(page.locator("#rate-form [name=overall]:checked")).to_have_value("0")
        press_place(page, "é", "Digit2")
        expect(page.locator("#rate-form [name=overall]:checked")).to_have_value("2")
        expect(page.locator("#rate-draft")).to_have_text("draft saved")
        assert page.evaluate(SMALL) == []
        press("Enter")
        heading(page, "Saved")
        expect(page.locator("#rate-saved")).to_have_text("✓ Saved")
        expect(page.locator("#rate-screen")).to_contain_text("compliance")
        assert page.evaluate(SMALL) == []
        expect(page.get_by_label("5, fully")).to_have_count(2)
        levels(page, "support")
        press("Enter")
        if number == 1:
            heading(page, "Pair 2")
            press("u")
            heading(page, "Your last answer")
            press("5")
            press("Enter")
            heading(page, "Saved")
            expect(page.locator("#rate-saved")).to_contain_text("Second opinion kept")
            page.locator("#rate-head").focus()
            press("Enter")
    heading(page, "All rated")
    with rated.app.database.read() as session:
        rows = study_ratings.ratings_of(session, rated.ids["keyed"])
    main = [row.rating for row in rows if row.item.kind == "main"]
    assert [(one.revision, one.overall) for one in main] == [(1, 2), (2, 5), (1, 2)]
    assert main[0].note == "b5s?u both"
    assert [(mark["side"], mark["mark"]) for mark in main[0].marks] == [("right", "wrong")]
    assert main[0].criteria["coherence"] == [2, 2]
    assert main[0].criteria["specificity"] == [2, 4]
    assert main[0].criteria["support"] == [2, 2]
    assert rater.troubles == []


def test_hostile_text_stays_text_and_nothing_is_wide(rated: Studies, rater: Visitor) -> None:
    page = rater.open("?tab=rate").page
    page.set_viewport_size({"width": 360, "height": 740})
    expect(page.locator("#rate-screen")).to_contain_text("I was invited")
    page.get_by_label("Your name").fill(NASTY)
    page.get_by_role("button", name="Take part").click()
    heading(page, NASTY)
    assert page.evaluate(OVERFLOW) == [0, []]
    page.locator("[name=agreed]").check()
    page.get_by_role("button", name="Begin").click()
    heading(page, "Pair 1")
    page.locator("[data-reveal]").click()
    expect(page.locator("#rate-talk")).to_contain_text(NASTY)
    expect(page.locator(".rate-sides")).to_contain_text(NASTY)
    page.locator(".rate-note summary").click()
    page.get_by_label("Note on this pair").fill(NASTY)
    assert page.evaluate(OVERFLOW) == [0, []]
    page.get_by_label("About the same").check()
    page.get_by_role("button", name="Save").click()
    heading(page, "Saved")
    assert page.evaluate(OVERFLOW) == [0, []]
    assert page.evaluate("window.xss") is None
    assert page.locator("#rate-screen :is(script, img)").count() == 0
    assert rater.troubles == []


def test_a_draft_outlives_a_reload_and_a_restart(rated: Studies, rater: Visitor) -> None:
    page = rater.open(f"?rate={rated.codes['kept'][0]}").page
    expect(page.locator("#rate-head")).to_have_text("kept")
    page.locator("[name=agreed]").check()
    page.get_by_role("button", name="Begin").click()
    heading(page, "Pair 1")
    shown = page.locator(".rate-sides").inner_text()
    page.locator("[data-reveal]").click()
    expect(page.locator("#rate-talk")).to_contain_text("prompt main")
    page.get_by_label("Mark step 2 of A").select_option("vague")
    page.locator(".rate-note summary").click()
    page.get_by_label("Note on this pair").fill("half a tho")
    page.reload()  # at once: before it was sent
    page.locator("#rate-form").wait_for()
    assert page.locator(".rate-sides").inner_text() == shown
    expect(page.get_by_label("Note on this pair")).to_have_value("half a tho")
    expect(page.get_by_label("Mark step 2 of A")).to_have_value("vague")
    # The server goes away; what is changed meanwhile is said not to be saved.
    rated.app.process.terminate()
    rated.app.process.wait(20)
    page.get_by_label("Note on this pair").fill("half a thought")
    expect(page.locator("#rate-saved")).to_have_text(re.compile("Not saved yet"))
    page.locator("#rate-head").focus()
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    expect(page.locator("#rate-saved")).not_to_contain_text("✓")
    rated.restart()
    page.evaluate("dispatchEvent(new Event('online'))")  # it tries at once, not only in a while
    expect(page.locator("#rate-head")).to_have_text("Saved")
    with rated.app.database.read() as session:
        (row,) = study_ratings.ratings_of(session, rated.ids["kept"])
        query = select(StudySlot).where(StudySlot.id == row.rating.slot_id)
        slot = session.scalars(query).one()
    assert (row.rating.overall, row.rating.note) == (4, "half a thought")
    assert row.rating.marks == [{"side": "left", "step": 2, "mark": "vague"}]
    assert slot.done_at is not None
