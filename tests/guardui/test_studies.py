"""The Studies tab without a browser: what it shows, asks, escapes, and hands out."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from db import jobs
from db.models import now
from db.session import Database, open_database
from guardui import study_acts, study_reports
from guardui.forms import field_specs, form_values
from guardui.layout import board_timers
from guardui.render_studies import duration_of
from guardui.render_study_people import as_csv, file_name, links_shown
from guardui.render_study_power import USUAL, mean_ratings, needed, power_answer, usual_table
from guardui.studies_view import BUTTONS, Looked, view
from guardui.study_downloads import EXPORTS, REPORTS, study_routes
from guardui.study_reports import records_of, report_of
from guardui.tabs.studies_new import checked
from guardui.tabs.studies_people import base_of
from pipelines.preferences.power import decisive_needed, pass_chance, rate_that_passes
from pipelines.schema import InputError, NotFoundError
from pipelines.settings import Settings
from pipelines.stages import get_stage
from pipelines.studies.standing import citations
from tests.rated_studies import draft, rate
from tests.stored_answers import write_answers

STUDY_FILES = [*REPORTS, *EXPORTS]


@pytest.fixture(scope="module")
def rated(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Database, Settings, int, int]]:
    """A closed study of two arms and an open one of three; nothing here changes them."""
    home = tmp_path_factory.mktemp("rated")
    settings = Settings(home=home, database_url=f"sqlite:///{home / 'guardui.db'}")
    database = open_database(settings.database_url)
    two = draft(database)
    study_acts.open_study(database, two)
    rate(database, settings, two)
    study_acts.close_study(database, two, "All pairs are rated.")
    three = draft(database, "Three", ("tuned", "plain", "base"), items=6, stopping="sequential")
    study_acts.open_study(database, three)
    rate(database, settings, three, people=("", "", ""), seed=1)
    yield database, settings, two, three
    database.dispose()


@pytest.fixture
def database(home: Settings) -> Iterator[Database]:
    """One of its own; the page is the same on either kind."""
    database = open_database(home.database_url)
    yield database
    database.dispose()


def test_without_studies_it_says_what_to_do(database: Database) -> None:
    shown = view(database, Looked())
    assert "No study yet" in shown["list"]
    assert "New study" in shown["list"]
    assert not shown["body"]
    assert not any(shown[name] for name in BUTTONS)


def test_a_draft_is_looked_through_opened_paused_and_closed(
    database: Database, home: Settings
) -> None:
    study = draft(database, items=5)
    shown = view(database, Looked(study, "items", 1))
    assert {name for name in BUTTONS if shown[name]} == {"open", "delete"}
    items = shown["items"]
    assert "item 1 of 10" in items
    assert "practice" in items
    assert "<script>" not in items
    assert "&lt;script&gt;" in items
    # Past the last is the last; the conversation is shut, and arms are named behind a fold.
    last = view(database, Looked(study, "items", 99))["items"]
    assert "item 10 of 10" in last
    third = view(database, Looked(study, "items", 3))["items"]
    assert '<details class="st-talk"><summary>' in third
    assert third.index("Here A is tuned and B is plain") > third.index("<details><summary>What")
    assert "A draft" in view(database, Looked(study))["report"]
    digest = study_acts.open_study(database, study)
    assert len(digest) == 64
    shown = view(database, Looked(study, "design"))
    assert digest in shown["design"]
    assert "wins at least 60%" in shown["design"]
    assert {name for name in BUTTONS if shown[name]} == {"pause", "close"}
    with pytest.raises(InputError, match="is open"):
        study_acts.delete_study(database, study)
    with pytest.raises(InputError, match="is open; must be draft"):
        study_acts.open_study(database, study)
    study_acts.pause_study(database, study)
    assert view(database, Looked(study))["resume"]
    study_acts.resume_study(database, study)
    with pytest.raises(InputError, match="reason: it is empty"):
        study_acts.close_study(database, study, "  ")
    study_acts.close_study(database, study, "enough")
    assert "enough" in view(database, Looked(study))["headline"]
    with pytest.raises(InputError, match="is closed; nobody"):
        study_acts.invite(database, home, study, 1)
    gone = draft(database, "Another")
    study_acts.delete_study(database, gone)
    with pytest.raises(NotFoundError, match="no such study"):
        study_acts.facts(database, gone)


def test_links_are_made_once_and_names_are_forgotten(database: Database, home: Settings) -> None:
    study = draft(database, items=3)
    made = study_acts.invite(database, home, study, 2, ["=cmd()", "", " Zoë "])
    assert [who for who, _ in made] == ["1 · =cmd()", "2 · Zoë"]
    codes = [code for _, code in made]
    assert len(set(codes)) == 2
    held = home.home / "guardui.db"
    database.dispose()
    assert codes[0].encode() not in held.read_bytes()
    people = view(database, Looked(study, "people"))
    assert "Zoë" in people["people"]
    assert people["has_names"]
    assert study_acts.forget_names(database, study) == 2
    people = view(database, Looked(study, "people"))
    assert "Zoë" not in people["people"]
    assert not people["has_names"]
    with pytest.raises(InputError, match="people=0: must be from 1"):
        study_acts.invite(database, home, study, 0)
    links = [(who, study_acts.link("http://host:1/app/", code)) for who, code in made]
    assert links[0][1] == f"http://host:1/app/?tab=rate#rate={codes[0]}"
    page = links_shown("My study!", links)
    assert 'download="my-study-links.csv"' in page
    assert page.count("data-copy-text") == 3
    assert as_csv([("=cmd()", "x")]).split("\r\n")[1] == "'=cmd(),x"
    assert file_name("…") == "study"


def test_a_withdrawn_person_counts_no_more(database: Database, home: Settings) -> None:
    study = draft(database, items=6)
    study_acts.open_study(database, study)
    first, second = rate(database, home, study, people=("", ""))
    before = report_of(records_of(database, study))
    study_acts.withdraw(database, study, first, erase=False)
    kept = report_of(records_of(database, study))
    assert kept.stored == before.stored
    assert dict(kept.left_out)["withdrawn"] > 0
    assert kept.counted < before.counted
    study_acts.withdraw(database, study, second, erase=True)
    gone = report_of(records_of(database, study))
    assert gone.stored < kept.stored
    assert gone.counted == 0
    with pytest.raises(NotFoundError, match="no such person"):
        study_acts.withdraw(database, study, 999, erase=True)
    assert "withdrawn" in view(database, Looked(study, "people"))["people"]


def test_the_report_tells_result_rule_and_evidence(
    rated: tuple[Database, Settings, int, int],
) -> None:
    database, _, two, three = rated
    shown = view(database, Looked(two))
    report = shown["report"]
    assert "Enough to tell from 50%?" in report
    assert "Passes at the target" in report
    found = report_of(records_of(database, two))
    assert found.comparisons[0].verdict.sentence.split(":")[0] in report
    for words in (
        "The rule, set before the first rating",
        "Krippendorff",
        "line at 20",
        "at equal length",
        "The left one wins",
        "coherence",
        "Not counted, practice",
        "Not counted, attention item",
        "Automatic reasoning score",
    ):
        assert words in report, words
    assert "Still being rated" not in report
    assert 'role="img"' in report
    several = view(database, Looked(three))["report"]
    assert "Bradley-Terry" in several
    assert several.count('class="st-pair"') == 3
    assert "May it end?" in several
    assert "May it end?" not in report
    people = view(database, Looked(two, "people"))
    assert "1 · Anna" in people["people"]
    assert ">2<" in people["people"]


def test_a_fixed_study_warns_until_it_is_rated(
    database: Database, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = draft(database, items=8)
    study_acts.open_study(database, study)
    assert "No rating yet" in view(database, Looked(study))["report"]
    rate(database, home, study, most=3)
    assert "Still being rated" in view(database, Looked(study))["report"]
    made = report_of(records_of(database, study))
    rate(database, home, study, people=("",), most=1)
    monkeypatch.setattr(study_reports, "REST", 1e9)
    later = records_of(database, study)
    assert report_of(later, following=True) is made, "the next look is for later"
    assert report_of(later).stored == made.stored + 1
    (told,) = citations(later.facts, report_of(later))
    assert told.startswith("So far, tuned was preferred over plain in ")


@pytest.mark.parametrize("file", STUDY_FILES)
def test_files_are_handed_out_without_names(
    rated: tuple[Database, Settings, int, int], file: str
) -> None:
    database, _, two, _ = rated
    client = TestClient(Starlette(routes=study_routes(database)))
    answer = client.get(f"/studies/{two}/{file}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith(f'tuned-against-plain-{file}"')
    assert answer.headers["content-security-policy"] == "sandbox"
    content = answer.content
    if file.endswith(".zip"):
        archive = zipfile.ZipFile(io.BytesIO(content))
        content = b"".join(archive.read(name) for name in archive.namelist())
    for secret in (b"Anna", b"Ben", b"/home/me"):
        assert secret not in content
    if file == "report.html":
        assert b"<script" not in content
    if file == "report.json":
        assert json.loads(content)["study"]["state"] == "closed"


def test_what_is_not_there_is_refused(rated: tuple[Database, Settings, int, int]) -> None:
    database, _, two, _ = rated
    client = TestClient(Starlette(routes=study_routes(database)))
    assert client.get("/studies/999/report.md").status_code == 404
    wrong = client.get(f"/studies/{two}/report.pdf")
    assert (wrong.status_code, "must be one of" in wrong.text) == (404, True)


def test_sample_sizes_are_those_of_the_exact_test() -> None:
    for (rate_, power), (decisive, passes, passing_rate) in USUAL.items():
        assert decisive_needed(rate_, power) == decisive
        assert pass_chance(decisive, rate_, rate_) == pytest.approx(passes, abs=0.005)
        assert rate_that_passes(decisive, rate_) == pytest.approx(passing_rate, abs=0.0005)
    assert "210<br><small>53% at 60%<br>80% at 62.6%" in usual_table()
    found = needed(0.6, 0.8, ties=0.3, ratings_per_pair=mean_ratings(1, 0.25, 3))
    assert (found.decisive, found.ratings, found.pairs) == (210, 300, 200)
    answer = power_answer(0.6, 0.8, 0.2, 1.0)
    assert "210 of them tell it from 50% 80 times in a hundred" in answer
    assert "passed 50 times in a hundred if it is just the truth" in answer
    assert "58.0% with ties as halves, which passes 23 times" in answer
    for wrong in ((0.5, 0.8, 0.0, 1.0), (0.6, 1.0, 0.0, 1.0), (0.6, 0.8, 1.0, 1.0)):
        assert "must be" in power_answer(*wrong)


def test_small_things(rated: tuple[Database, Settings, int, int]) -> None:
    asked = SimpleNamespace(headers={"referer": "http://page:7860/sub/?study=1#x"})
    assert base_of(asked) == "http://page:7860/sub/"  # type: ignore[arg-type]
    link = [("1", "http://page:7860/?rate=1-x")]
    assert "GUARDUI_RATE_URL" in links_shown("Study", link, workshop=True)
    assert "GUARDUI_RATE_URL" not in links_shown("Study", link)
    assert duration_of(now(), now()) == "0 s"

    chosen = SimpleNamespace(value="Studies")
    assert [one.active for one in board_timers(chosen)] == [False, False, True]  # type: ignore[arg-type]


def test_a_check_shows_the_study_that_would_be_made(database: Database, tmp_path: Path) -> None:
    stage = get_stage("study")
    names = [spec.name for spec in field_specs(stage.config)]
    filled = form_values(stage, None)
    with pytest.warns(UserWarning, match="arms=none"):  # a toast, where there is a page
        fault, shown = checked(database, stage, filled)
    assert "arms" in fault.value
    assert "Not looked at" in shown
    given = {"arms": write_answers(tmp_path), "items": 8, "unknown_training_ok": True}
    for name, value in given.items():
        filled[names.index(name)] = value
    _, shown = checked(database, stage, filled)
    for words in ("Ready to create", "tuned and plain", "first right", "both wrong", "Left out"):
        assert words in shown, words
    assert view(database, Looked())["body"] is False, "nothing was made"


def test_the_list_tells_of_studies_being_made(database: Database) -> None:
    with database.write() as session:
        for name in ("Going", "Broken"):
            config = {"name": name, "arms": ["a", "b"]}
            job = jobs.add_job(session, stage="study", config=config)
        job.state, job.reason = "failed", "no conversation is left <b>"
    shown = view(database, Looked())
    assert "Going" in shown["list"]
    assert "makes it" in shown["list"]
    assert "no conversation is left &lt;b&gt;" in shown["list"]
    assert not shown["body"]
