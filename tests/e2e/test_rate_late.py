"""What goes wrong around rating in a real browser: late replies, quick exits, refused codes."""

from __future__ import annotations

from playwright.sync_api import Route, expect
from sqlalchemy import select

from db.models import StudySlot
from tests.e2e.conftest import Visitor
from tests.e2e.rating import Studies, heading


def drafts(rated: Studies, name: str) -> list[str]:
    """The notes of the drafts that the database holds."""
    with rated.app.database.read() as session:
        query = select(StudySlot.draft).where(StudySlot.study_id == rated.ids[name])
        return [draft["note"] for draft in session.scalars(query) if draft]


def test_what_comes_late_spoils_nothing(rated: Studies, rater: Visitor) -> None:
    page = rater.open(f"?tab=rate#rate={rated.codes['late'][0]}").page
    page.locator("[name=agreed]").check()
    assert rated.codes["late"][0] not in page.url
    page.get_by_role("button", name="Begin").click()
    heading(page, "Pair 1")
    held: list[Route] = []
    page.route("**/rate/api/draft", lambda route: held.append(route))
    with page.expect_request("**/rate/api/draft"):
        page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#rate-unseen")).to_contain_text("Show the conversation first")
    expect(page.locator("[data-reveal]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#rate-talk")).to_contain_text("prompt main")
    page.keyboard.press("Enter")
    heading(page, "Saved")
    # The draft's answer comes once the item is gone.
    assert len(held) == 1
    held[0].continue_()
    page.unroute("**/rate/api/draft")
    page.wait_for_timeout(300)
    expect(page.locator("#rate-saved")).to_have_text("✓ Saved")
    page.keyboard.press("Enter")
    heading(page, "Pair 2")
    page.locator(".rate-note summary").click()
    page.get_by_label("Note on this pair").fill("one")
    expect(page.locator("#rate-draft")).to_have_text("draft saved")
    page.get_by_label("Note on this pair").fill("one and two")
    page.get_by_role("button", name="Break").click()  # at once: before it was sent
    heading(page, "Time for a break")
    assert drafts(rated, "late") == ["one and two"]
    page.keyboard.press("Enter")
    heading(page, "Pair 2")
    page.get_by_label("Note on this pair").fill("to the end")
    page.goto("about:blank")
    for _ in range(600):
        if drafts(rated, "late") == ["to the end"]:
            break
        page.wait_for_timeout(50)
    assert drafts(rated, "late") == ["to the end"]
    assert [said for said in rater.troubles if "422" not in said] == []


def test_a_code_is_never_lost_unasked(rated: Studies, rater: Visitor) -> None:
    mine, other = rated.codes["kept"][1], rated.codes["late"][1]
    page = rater.open(f"?tab=rate#rate={mine}").page
    expect(page.locator("#rate-head")).to_contain_text("kept")
    page.goto(f"{rater.url}/?rate={other}")
    expect(page.locator("#rate-swap")).to_contain_text(f"#rate={mine}")
    page.get_by_role("button", name="Stay with mine").click()
    expect(page.locator("#rate-head")).to_contain_text("kept")
    refused = {"error": "This invite code is not known here.", "code": "who"}
    page.route("**/rate/api/*", lambda route: route.fulfill(status=401, json=refused))
    page.reload()
    expect(page.locator("#rate-alert")).to_contain_text("not known here")
    page.unroute("**/rate/api/*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#rate-head")).to_contain_text("kept")
    expect(page.locator("#rate-who")).to_be_hidden()
    # A wrong code that is typed takes nothing away either.
    page.evaluate("document.querySelector('[data-another]').click()")
    page.get_by_label("Invite code").fill("1-" + "x" * 24)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#rate-alert")).to_contain_text("not known here")
    page.evaluate("(code) => (location.hash = `rate=${code}`)", other)
    page.get_by_role("button", name="Use the new link").click()
    expect(page.locator("#rate-head")).to_contain_text("late")
    page.evaluate("document.querySelector('[data-open=leave]').click()")
    expect(page.locator("#rate-leave")).to_contain_text(f"#rate={other}")
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.locator("#rate-screen")).to_contain_text("I was invited")
