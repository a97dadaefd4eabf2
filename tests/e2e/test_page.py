"""The page in a real browser: it loads quietly, fits, can be used by keyboard, and runs no text."""

from __future__ import annotations

from itertools import groupby

import psutil
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import App, Visitor

TABS = {
    "classify": "#classify-prompt",
    "train": "#train-stage",
    "jobs": "#jobs-table table",
    "samples": "#samples-list [data-row]",
    "compare": "#compare-head .gu-empty",
    "rate": "#rate-item",
}
OVERFLOW = """() => {
  const wide = [...document.querySelectorAll('body *')].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width > 0 && box.right > innerWidth + 1 && !one.closest('.visually-hidden, .vh');
  });
  return [document.documentElement.scrollWidth - innerWidth, wide.slice(0, 3).map(
    (one) => one.tagName + '.' + one.className)];
}"""
SMALL = """() => [...document.querySelectorAll('button, summary, [role=tab]')]
  .filter((one) => !one.closest('.visually-hidden, footer'))
  .map((one) => [one.getBoundingClientRect(), one.outerHTML.slice(0, 120)])
  .filter(([box]) => box.width > 0 && (box.height < 24 || box.width < 24))
  .map(([_, text]) => text)"""


def background(page: Page) -> str:
    value: str = page.evaluate("getComputedStyle(document.body).getPropertyValue('--gu-bg')")
    return value.strip()


def test_every_tab_is_quiet_fits_and_can_be_hit(visit: Visitor, app: App) -> None:
    """All widths in one page: nothing on the console, nothing wide, nothing too small to hit."""
    page = visit.open().page
    for name, shown in TABS.items():
        visit.go(name, shown)
        visit.settle()
        assert page.evaluate(SMALL) == [], name
    visit.go("ablations", "#ablation-head .gu-empty")
    expect(page.locator("#ablation-head")).to_contain_text("No ablation yet")
    expect(page.locator("#ablation-table")).to_be_hidden()
    for width in (1600, 900, 360):
        page.set_viewport_size({"width": width, "height": 800})
        for name, shown in TABS.items():
            visit.go(name, shown)
            visit.settle()
            assert page.evaluate(OVERFLOW) == [0, []], (name, width)
    # What is opened is as narrow.
    visit.go("samples", "#samples-list [data-row]")
    page.locator("#samples-list [data-row] .hs-open").first.click()
    page.locator("#samples-detail h2").first.wait_for()
    for width in (1600, 900, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(OVERFLOW) == [0, []], ("a sample", width)
    visit.go("jobs", "#jobs-table table")
    page.locator("#jobs-table button[data-pick='2']").click()
    page.locator("#job-headline").get_by_text("Try 4-bit.").wait_for()
    for width in (1600, 900, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(OVERFLOW) == [0, []], ("a failed job", width)
    # All tabs were opened: 286 MB where nothing else runs, up to 40 MB more as threads fall out.
    # How soon the page is up, `tests/bench/page_start.py`.
    assert psutil.Process(app.process.pid).memory_info().rss < 340e6


def test_the_keyboard_reaches_all_in_reading_order_and_picks(visit: Visitor) -> None:
    page = visit.open().page
    seen = []
    for _ in range(24):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                """() => { const one = document.activeElement;
                  return one.dataset.tabId || one.closest('[id^=classify-]')?.id
                    || one.innerText?.trim() || one.title; }"""
            )
        )
    order = ["classify", "train", "jobs", "samples", "rate", "classify-prompt"]
    order += ["classify-response", "classify-adapter", "classify-mode", "Classify"]
    # Each choice of a group of radio buttons is a stop of its own.
    stops = [name for name, _ in groupby(name for name in seen if name in order)]
    assert stops[: len(order)] == order
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    # A tab and a row are picked.
    visit.tab("jobs").focus()
    page.keyboard.press("Enter")
    row = page.locator("#jobs-table button[data-pick='2']")
    row.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#job-headline")).to_contain_text("Out of memory")
    expect(row).to_have_attribute("aria-current", "true")
    # The table was drawn anew; who moves by keyboard must not be thrown back to the start.
    assert row.evaluate("one => one === document.activeElement")


def test_dark_and_light_follow_the_system_and_the_switch(app: App, browser: Browser) -> None:
    context = browser.new_context(color_scheme="dark")
    visitor = Visitor(context.new_page(), app.url).open()
    page = visitor.page
    assert background(page) == "#0f1217"
    page.locator("[data-theme-toggle]").click()
    assert background(page) == "#f7f8fa"
    page.goto(app.url)
    page.wait_for_selector("#classify-prompt textarea")
    assert background(page) == "#f7f8fa", "the choice is kept"
    page.goto(f"{app.url}/?__theme=dark")
    page.wait_for_selector("#classify-prompt textarea")
    assert background(page) == "#0f1217", "the address wins"
    assert visitor.troubles == []
    context.close()


def test_the_form_shows_its_data_names_a_wrong_field_and_follows_a_preset(visit: Visitor) -> None:
    visit.open().go("train", "#check-rsft")
    page = visit.page
    # The data, with texts hidden.
    page.locator("#check-rsft").click()
    preview = page.locator("#preview-rsft")
    expect(preview).to_contain_text("Ready to launch")
    expect(preview).to_contain_text("96")
    details = preview.locator("details")
    expect(details).to_have_count(3)
    assert details.first.get_attribute("open") is None
    # A wrong field is named, and nothing is lost.
    rate = page.locator(".field-learning_rate input").first
    epochs = page.locator(".field-epochs input").first
    epochs.fill("7")
    rate.fill("1")
    page.locator("#launch-rsft").click()
    expect(page.locator("#faults-rsft")).to_contain_text("learning_rate=1: must be at most 0.01")
    assert (rate.input_value(), epochs.input_value()) == ("1", "7")
    rate.fill("0.0005")
    rate.blur()
    command = page.locator("#ways-rsft pre").first
    expect(command).to_contain_text("--set learning_rate=0.0005")
    expect(command).to_contain_text("--set epochs=7.0")
    # A preset fills all of it.
    page.locator("#preset-rsft input").click()
    page.locator("[role=option]", has_text="exp19").click()
    expect(command).to_have_text("guardui run rsft --preset exp19")
    expect(page.locator(".field-base_model textarea, .field-base_model input").first).to_have_value(
        "meta-llama/Llama-3.2-3B-Instruct"
    )


def test_a_job_is_shown_inert_and_duplicated(visit: Visitor) -> None:
    visit.open("?job=1").go("jobs", "#job-chart svg")
    page = visit.page
    expect(page.locator("#job-headline")).to_contain_text("#1 R-SFT")
    expect(page.locator("#job-chart svg").first).to_have_attribute("role", "img")
    expect(page.locator("#job-log")).to_contain_text("<script>window.xss=1</script>")
    page.locator("[role=tab]", has_text="Artifacts").click()
    expect(page.locator("#job-artifacts")).to_contain_text("artifact:1")
    page.locator("#jobs-table button[data-pick='2']").click()
    page.locator("#job-headline summary").click()
    expect(page.locator("#job-headline pre")).to_contain_text("<script>")
    assert page.evaluate("window.xss") is None
    assert page.locator("#job-headline img, #job-log img").count() == 0
    # A duplicate fills the form of its stage.
    page.locator("#jobs-table button[data-pick='3']").click()
    expect(page.locator("#job-headline")).to_contain_text("Mine")
    page.locator("#job-duplicate").click()
    expect(page.locator("#ways-mine pre").first).to_contain_text("adapter=job:1")


def test_a_conversation_is_asked_for_and_samples_are_searched(visit: Visitor) -> None:
    page = visit.open().page
    page.get_by_role("button", name="Classify", exact=True).click()
    expect(page.locator("#classify-result")).to_contain_text("prompt: it is empty")
    expect(page.get_by_role("button", name="Classify", exact=True)).to_be_enabled()
    page.get_by_role("button", name="A refused attack").click()
    expect(page.locator("#classify-prompt textarea")).to_have_value(
        "How can I get into my neighbour's wifi without them noticing?"
    )
    expect(page.locator("#classify-response textarea")).not_to_have_value("")
    visit.go("samples", "#samples-list [data-row]")
    page.locator("#samples-tools input[type=search]").fill("question 17")
    rows = page.locator("#samples-list [data-row]")
    expect(rows).to_have_count(1)
    rows.locator(".hs-open").first.click()
    expect(page.locator("#samples-detail h2").first).to_be_visible()
    assert page.evaluate("window.xss") is None
    assert page.locator("#samples-detail img").count() == 0


def test_demo_mode_offers_classify_compare_and_rate_only(demo_app: App, browser: Browser) -> None:
    page = browser.new_page()
    visitor = Visitor(page, demo_app.url).open()
    names = page.locator("#tabs > .tab-wrapper [role=tab]").all_inner_texts()
    assert names == ["Classify", "Compare", "Rate"]
    expect(page.locator("#header")).to_contain_text("public")
    visitor.go("rate", "#rate-item")
    assert visitor.troubles == []
    page.close()
