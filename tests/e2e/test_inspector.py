"""Everything that a researcher does to hard samples, done in a real browser.

Each test has a mining job of its own: eight samples of four answers, one of them all wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from playwright.sync_api import Browser, expect

from db.models import Study
from tests.e2e.conftest import FAILED, PATIENCE, App, Visitor, serve
from tests.e2e.inspector import REQUEST, Inspector, add_job, no_jobs
from tests.e2e.test_page import OVERFLOW


@pytest.fixture(scope="module")
def samples_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    yield from serve(tmp_path_factory.mktemp("samples-home"), no_jobs)


@pytest.fixture(scope="module")
def visitors(samples_app: App) -> Iterator[list[Visitor]]:
    """Whoever has the page that tests use one after the other; nobody after one that failed."""
    del samples_app  # outlives them
    found: list[Visitor] = []
    yield found
    for visitor in found:
        visitor.page.close()


@pytest.fixture
def inspector(
    samples_app: App, browser: Browser, visitors: list[Visitor], request: pytest.FixtureRequest
) -> Iterator[Inspector]:
    """The tab with a job of its own, in the page of the test before; the test opens it."""
    visitor = visitors.pop() if visitors else new_visitor(samples_app, browser)
    visitor.page.set_viewport_size({"width": 1440, "height": 900})
    yield Inspector(visitor, samples_app.database, add_job(samples_app.database))
    troubles, visitor.troubles[:] = list(visitor.troubles), []
    if request.node.stash[FAILED]:
        visitor.page.close()
    else:
        visitors.append(visitor)
    assert troubles == []


def new_visitor(app: App, browser: Browser) -> Visitor:
    page = browser.new_page(accept_downloads=True)
    page.set_default_timeout(PATIENCE)
    return Visitor(page, app.url)


# Finding


def test_bars_facets_and_search_narrow_the_list_and_the_address(inspector: Inspector) -> None:
    page = inspector.open().page
    assert inspector.names() == [0, 1, 2, 3, 4, 5, 6], "the one that is all wrong makes no pair"
    page.locator("[data-set='source=WildGuard']").click()
    inspector.idle()
    assert inspector.names() == [5, 6]
    page.locator("[data-set='wrong=3']").click()
    inspector.idle()
    assert inspector.names() == [5]
    assert "source=WildGuard" in page.url
    assert "wrong=3" in page.url
    page.locator("[data-clear=source]").click()
    inspector.idle()
    assert inspector.names() == [2, 5]
    page.locator("[data-clear=all]").first.click()
    inspector.idle()
    page.locator("#samples-tools input[type=search]").fill("tulips")
    expect(inspector.rows()).to_have_count(1)
    assert inspector.names() == [1]
    page.locator("[data-clear=all]").first.click()
    inspector.idle()
    page.locator("[data-set='flag=label_suspect']").click()
    inspector.idle()
    assert inspector.names() == [7], "all agree with each other, against the gold"


def test_an_address_brings_back_all_that_is_shown(inspector: Inspector) -> None:
    sample = inspector.first + 4
    page = inspector.open(f"&wrong=2&order=newest&sample={sample}").page
    assert inspector.names() == [4, 1]
    expect(inspector.detail("h2")).to_contain_text(f"#{sample}")
    expect(page.locator("[data-set='wrong=2']")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("select[name=order]")).to_have_value("newest")
    page.reload()
    expect(inspector.detail("h2")).to_contain_text(f"#{sample}")
    inspector.idle()
    assert inspector.names() == [4, 1]


def test_back_and_forward_walk_through_what_was_looked_at(inspector: Inspector) -> None:
    page = inspector.open().page
    page.locator("[data-set='source=WildGuard']").click()
    inspector.idle().pick(6)
    page.go_back()
    expect(page.locator("#samples-detail h2")).to_have_count(0)
    inspector.idle()
    assert inspector.names() == [5, 6]
    page.go_back()
    expect(inspector.rows()).to_have_count(7)
    page.go_forward()
    expect(inspector.rows()).to_have_count(2)


def test_texts_stay_shut_until_revealed(inspector: Inspector) -> None:
    page = inspector.open().pick(2).page
    request = page.locator("#samples-detail .gu-plain").first
    expect(request).to_be_hidden()
    inspector.press("r")
    expect(request).to_contain_text("Where do lilies grow? <script>")
    assert page.evaluate("window.xss") is None
    expect(page.locator("#samples-detail .hs-sides ins").first).to_be_visible()
    page.locator("[data-diff=inline]").click()
    expect(page.locator("#samples-detail .hs-inline del").first).to_be_visible()
    expect(page.locator("#samples-detail .hs-sides")).to_be_hidden()


# Judging


def test_accept_goes_on_and_undo_comes_back(inspector: Inspector) -> None:
    inspector.open().pick(0).press("a")
    inspector.says("Accepted")
    expect(inspector.detail("h2")).to_contain_text(f"#{inspector.first + 1}")
    assert inspector.row(0).review == "accepted"
    expect(inspector.page.locator("#samples-head")).to_contain_text("1 accepted")
    inspector.press("u")
    expect(inspector.detail("h2")).to_contain_text(f"#{inspector.first}")
    expect(inspector.page.locator("#samples-head")).to_contain_text("0 accepted")
    assert inspector.row(0).review == "new"


def test_a_sample_s_own_undo_leaves_what_was_done_since(inspector: Inspector) -> None:
    page = inspector.open().pick(0).page
    inspector.press("a").press("a")
    assert inspector.reviews()[:2] == ["accepted", "accepted"]
    inspector.pick(0)
    page.locator("#samples-detail").get_by_role("button", name="Undo last change").click()
    inspector.idle()
    assert inspector.reviews()[:2] == ["new", "accepted"]


def test_drop_asks_why_and_restore_brings_back(inspector: Inspector) -> None:
    page = inspector.open().pick(1).page
    inspector.press("d")
    dialog = page.locator("#hs-drop")
    expect(dialog).to_be_visible()
    dialog.get_by_role("radio", name="Ambiguous conversation").check()
    dialog.locator("input[name=more]").fill("two readings")
    dialog.get_by_role("button", name="Drop", exact=True).click()
    inspector.says("Dropped")
    inspector.idle()
    dropped = inspector.row(1)
    assert (dropped.review, dropped.reason) == ("dropped", "Ambiguous conversation: two readings")
    inspector.pick(1)
    expect(page.locator("#samples-detail")).to_contain_text("two readings")
    page.locator("#samples-detail").get_by_role("button", name="Restore").click()
    inspector.idle()
    assert inspector.row(1).review == "new"


def test_another_reason_needs_words(inspector: Inspector) -> None:
    page = inspector.open().pick(1).page
    inspector.press("d")
    dialog = page.locator("#hs-drop")
    dialog.get_by_role("radio", name="Another reason").check()
    dialog.get_by_role("button", name="Drop", exact=True).click()
    expect(dialog).to_be_visible()
    assert inspector.row(1).review == "new"
    dialog.locator("input[name=more]").fill("a joke")
    dialog.get_by_role("button", name="Drop", exact=True).click()
    inspector.idle()
    assert inspector.row(1).reason == "a joke"


def test_an_accepted_sample_goes_back_to_review(inspector: Inspector) -> None:
    page = inspector.open().pick(0).page
    page.get_by_label("Go on").uncheck()
    inspector.press("a")
    page.locator("#samples-detail").get_by_role("button", name="Back to review").click()
    inspector.idle()
    assert inspector.row(0).review == "new"


def test_several_at_once_and_all_that_match(inspector: Inspector) -> None:
    page = inspector.open().page
    for place in (1, 2):
        page.locator(f"[data-check='{inspector.first + place}']").check()
    expect(page.locator("[data-selected]")).to_have_text("2 selected")
    page.locator("[data-bulk=accept]").click()
    inspector.says("Accepted 2 samples")
    inspector.idle()
    assert inspector.reviews().count("accepted") == 2
    page.locator("#hs-snack [data-undo]").dispatch_event("click")  # it may have gone by now
    inspector.idle()
    assert inspector.reviews().count("accepted") == 0
    page.locator("[data-check=page]").check()
    expect(page.locator("[data-selected]")).to_have_text("7 selected")
    page.locator("[data-bulk=drop]").click()
    page.locator("#hs-drop").get_by_role("button", name="Drop", exact=True).click()
    inspector.idle()
    assert inspector.reviews() == ["dropped"] * 7 + ["new"]
    page.locator("[data-check=page]").check()
    page.locator("[data-bulk=restore]").click()
    inspector.idle()
    assert inspector.reviews() == ["new"] * 8


def test_another_answer_is_picked(inspector: Inspector) -> None:
    page = inspector.open().pick(1).page
    before = inspector.row(1)
    others = [one.position for one in before.generations if one.correct is True]
    other = next(place for place in others if place != before.chosen)
    page.locator(f"[data-act=pick][data-chosen='{other}']").click()
    inspector.says("as chosen")
    inspector.idle()
    assert inspector.row(1).chosen == other
    inspector.press("u")
    assert inspector.row(1).chosen == before.chosen


def test_an_edit_is_a_new_answer_and_a_wrong_one_loses_nothing(inspector: Inspector) -> None:
    page = inspector.open().pick(2).page
    before = inspector.row(2)
    inspector.press("r")
    page.locator("#samples-detail").get_by_role("button", name="Edit chosen").click()
    text = page.locator("#hs-edit textarea")
    wanted = text.input_value().replace("garden", "greenhouse")
    assert wanted != text.input_value()
    text.fill(re.sub(r"Request: \w+", "Request: harmful", wanted))
    page.locator("#hs-edit").get_by_role("button", name="Save").click()
    expect(page.locator("#hs-edit")).to_contain_text("must be right on prompt_harmfulness")
    expect(page.locator("#hs-edit")).to_be_visible()
    assert "greenhouse" in text.input_value(), "what was typed is still there"
    text.fill(wanted)
    page.locator("#hs-edit").get_by_role("button", name="Save").click()
    inspector.says("saved as a new answer")
    inspector.idle()
    after = inspector.row(2)
    assert (after.human_edited, after.chosen, len(after.generations)) == (True, 4, 5)
    assert after.generations[4].text == wanted
    assert after.generations[before.chosen or 0].text == before.generations[before.chosen or 0].text
    expect(inspector.detail("h2")).to_contain_text("human-edited")


def test_a_relabel_counts_all_anew(inspector: Inspector) -> None:
    page = inspector.open("&kind=all").pick(7).page
    assert inspector.row(7).hardness == "all_wrong"
    page.locator("#samples-detail").get_by_role("button", name="Relabel").click()
    dialog = page.locator("#hs-relabel")
    dialog.get_by_label("Request").select_option("unharmful")
    dialog.get_by_role("button", name="Relabel", exact=True).click()
    inspector.says("Request unharmful")
    inspector.idle()
    row = inspector.row(7)
    assert (row.gold[REQUEST], row.hardness, row.k_incorrect) == ("unharmful", "settled", 0)
    expect(page.locator("#samples-detail .gold")).to_contain_text("was harmful")
    inspector.press("u")
    assert inspector.row(7).hardness == "all_wrong"


# What comes of it


def freeze(inspector: Inspector, name: str, *, only_accepted: bool = False) -> None:
    page = inspector.page
    page.locator("#samples-head").get_by_role("button", name="Freeze as version").click()
    dialog = page.locator("#hs-freeze")
    dialog.locator("input[name=name]").fill(name)
    dialog.locator("input[name=only_accepted]").set_checked(only_accepted)
    dialog.get_by_role("button", name="Freeze", exact=True).click()
    inspector.says("Frozen")
    inspector.idle()


def test_versions_are_frozen_compared_downloaded_and_trained_on(
    inspector: Inspector, tmp_path: Path
) -> None:
    page = inspector.open().page
    name = f"plants {inspector.job_id}"
    freeze(inspector, name)
    inspector.pick(0).press("d")
    page.locator("#hs-drop").get_by_role("button", name="Drop", exact=True).click()
    inspector.idle()
    freeze(inspector, name)
    versions = page.locator("#samples-versions")
    expect(versions).to_contain_text(f"{name}@v2")
    versions.get_by_role("button", name="Show differences").click()
    expect(versions.locator(".hs-differences")).to_contain_text("1 removed")
    expect(versions.locator(".hs-differences")).to_contain_text("train.jsonl:0")
    rows: dict[str, list[dict[str, Any]]] = {}
    for form in ("JSONL", "Parquet"):
        with page.expect_download() as found:
            versions.get_by_label(f"Download {name}@v2 as {form}").click()
        target = tmp_path / found.value.suggested_filename
        found.value.save_as(target)
        rows[form] = (
            [json.loads(line) for line in target.read_text("utf-8").split("\n") if line]
            if form == "JSONL"
            else parquet.read_table(target).to_pylist()
        )
    assert len(rows["JSONL"]) == len(rows["Parquet"]) == 6
    assert {"prompt", "chosen", "rejected", "weight"} <= set(rows["JSONL"][0])
    assert rows["JSONL"][0]["weight"] == pytest.approx(rows["Parquet"][0]["weight"])
    versions.get_by_label(f"Train HS-DPO on {name}@v2").click()
    expect(page.locator("#launch-hsdpo")).to_be_visible()
    expect(page.locator(".field-pairs input").first).to_have_value(re.compile("artifact:"))


def test_accepted_ones_go_to_a_study(inspector: Inspector) -> None:
    page = inspector.open().pick(3).page
    page.locator("#samples-detail").get_by_role("button", name="To a study").click()
    name = f"Ferns {inspector.job_id}"
    page.locator("#hs-study input[name=name]").fill(name)
    page.locator("#hs-study").get_by_role("button", name="Make the study").click()
    inspector.says("open it in the Studies tab")
    inspector.idle()
    with inspector.database.read() as session:
        study = session.query(Study).filter_by(name=name).one()
        assert [item.kind for item in study.items].count("main") == 1


def test_the_balance_says_what_accepting_all_would_do(inspector: Inspector) -> None:
    page = inspector.open().page
    page.locator("#samples-balance summary").click()
    told = page.locator("#samples-balance")
    expect(told).to_contain_text("Accepted pairs: 0 now, 7 then")
    page.locator("[data-set='source=WildGuard']").click()
    expect(told).to_contain_text("Accepted pairs: 0 now, 2 then")


# Hands on the keyboard


def test_keys_walk_open_and_close(inspector: Inspector) -> None:
    page = inspector.open().page
    page.locator("#samples-list .hs-open").first.focus()
    inspector.press("Enter")
    expect(inspector.detail("h2")).to_contain_text(f"#{inspector.first}")
    inspector.press("j").press("j")
    expect(inspector.detail("h2")).to_contain_text(f"#{inspector.first + 2}")
    inspector.press("k")
    expect(inspector.detail("h2")).to_contain_text(f"#{inspector.first + 1}")
    inspector.press("Escape")
    expect(page.locator("#samples-detail h2")).to_have_count(0)
    focused = "document.activeElement.dataset.pick"
    assert page.evaluate(focused) == str(inspector.first + 1)
    page.keyboard.press("/")
    page.keyboard.type("ajd")
    inspector.idle()
    assert inspector.reviews() == ["new"] * 8, "letters in the search are no commands"
    page.keyboard.press("?")
    expect(page.locator("#hs-help")).to_be_hidden()


def test_keys_can_be_switched_off(inspector: Inspector) -> None:
    page = inspector.open().pick(0).page
    page.get_by_role("checkbox", name="Keys").uncheck()
    page.locator("#samples-detail h2").click()
    inspector.press("a")
    assert inspector.reviews() == ["new"] * 8
    page.get_by_role("checkbox", name="Keys").check()
    page.locator("#samples-detail h2").click()
    page.keyboard.press("?")
    expect(page.locator("#hs-help")).to_be_visible()


# Where it is shown


def test_nothing_scrolls_sideways(inspector: Inspector) -> None:
    page = inspector.open().pick(1).press("r").page
    for width in (1600, 900, 360):
        page.set_viewport_size({"width": width, "height": 800})
        if width < 700:  # as a page that is opened on a phone has it
            page.locator("[data-diff=inline]").click()
        assert page.evaluate(OVERFLOW) == [0, []], width
    page.locator("[data-close]").first.click()
    expect(page.locator("#samples-list [data-row]").first).to_be_visible()


def test_two_people_at_one_sample_are_both_told(inspector: Inspector, browser: Browser) -> None:
    inspector.open().pick(0)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    other = Inspector(Visitor(page, inspector.visit.url), inspector.database, inspector.job_id)
    other.open().pick(0).press("d")
    page.locator("#hs-drop").get_by_role("button", name="Drop", exact=True).click()
    other.idle()
    page.close()
    inspector.press("a")
    inspector.says("Accepted")
    changes = [change.action for change in inspector.row(0).changes]
    assert changes == ["drop", "accept"], "both are on record"
