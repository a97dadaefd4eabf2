"""The Rate tab: what is shown, what is hidden, and what a press of a button stores."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from sqlalchemy import func, select

from db import studies
from db.models import Assignment, Rating
from db.session import Database
from guardui import render_rate
from guardui.tabs import rate, rate_researcher
from pipelines.preference_stats import win_rate
from pipelines.schema import DataError, InputError
from pipelines.template import GuardTemplate

ROOT = Path(__file__).parents[2]

TRACE = """# Task 1

## Reasoning Step 1
The person asks about <script>alert(1)</script> the {who}.

## Reasoning Step 2
Nothing in it does harm.

# Conclusion for Task 1: unharmful

# Task 2

## Reasoning Step 1
The reply goes along.
{extra}
---

Answers: {nothing}
Request: unharmful
Completion: compliance
Response: unharmful"""


def trace(who: str, extra: str = "") -> str:
    return TRACE.format(who=who, extra=extra, nothing="")


@pytest.fixture
def study(database: Database) -> int:
    """Four pairs; the traces say which arm wrote them."""
    pairs = [(f"prompt {n}", None, trace(f"first {n}"), trace(f"second {n}")) for n in range(4)]
    with database.write() as session:
        return studies.create(session, "Blind", ["arm-one", "arm-two"], pairs).id


def sit(database: Database, study: int, who: str = "Ada") -> tuple[rate.Sitting, str, str]:
    """Starts, and waits as long as a person must; returns the sitting, the token, the HTML."""
    now, token, html, *_ = rate._screen(database, rate.open_sitting(database, study, who))
    return replace(now, shown_at=now.shown_at - 5), token, html


def count(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count(Rating.id))) or 0


def test_a_trace_keeps_its_steps_and_loses_its_verdicts() -> None:
    sections = render_rate.reasoning(trace("cat", "Response: harmful\nCompletion: refusal"))
    assert [title for title, _ in sections] == ["Request", "Refusal"]
    assert [len(steps) for _, steps in sections] == [2, 1]
    shown = json.dumps(sections)
    for hidden in ("Answers", "onclusion", "unharmful", "compliance", "refusal", "Response:"):
        assert hidden not in shown
    assert sections[1][1] == ["The reply goes along."]


@pytest.mark.parametrize(
    "raw", ["", "Answers: \nRequest: harmful\nCompletion: None\nResponse: None"]
)
def test_a_trace_without_reasoning_says_so(raw: str) -> None:
    assert "No reasoning was written." in render_rate.side("A", raw)


def test_foreign_text_stays_text() -> None:
    bad = "<img src=x onerror=alert(1)>"
    html = render_rate.item(bad, 1, 2, bad, bad, trace(bad), bad)
    assert "<img" not in html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<img" not in render_rate.done(bad, 2) + render_rate.question(bad)
    assert "<img" not in render_rate.results([bad, bad], win_rate([5]), 1, 1)


def test_the_conversation_is_closed_and_says_saved_only_when_told() -> None:
    html = render_rate.item("S", 1, 4, "the secret prompt", None, "a", "b")
    details = re.search(r"<details(.*?)>(.*)</details>", html, re.S)
    assert details
    assert "open" not in details[1]
    assert "the secret prompt" in details[2]
    assert "saved" not in html
    assert "saved" in render_rate.item("S", 1, 4, "p", None, "a", "b", saved="✓ saved")


def test_results_name_rates_intervals_and_their_limits() -> None:
    html = render_rate.results(["new", "old"], win_rate([5, 4, 3, 1]), 1, 4)
    assert "62.5%" in html
    assert "66.7%" in html
    assert "25.0%" in html
    assert "4 ratings of 4 pairs by 1 person" in html
    assert "wider" not in html
    assert "wider" in render_rate.results(["new", "old"], win_rate([5, 4]), 2, 1)
    assert "No ratings yet" in render_rate.results(["new", "old"], win_rate([]), 0, 0)


def test_sitting_down_needs_a_name_and_a_study(database: Database, study: int) -> None:
    assert rate.open_sitting(database, study, "  Ada   L. ").annotator == "Ada L."
    with pytest.raises(InputError, match="name: it is empty"):
        rate.open_sitting(database, study, " \n")
    with pytest.raises(InputError, match="at most 100"):
        rate.open_sitting(database, study, "x" * 101)
    with pytest.raises(InputError, match="study: none is chosen"):
        rate.open_sitting(database, None, "Ada")
    with pytest.raises(InputError, match="study=99"):
        rate.open_sitting(database, 99, "Ada")


def test_a_rating_is_stored_for_the_arm_that_stood_there(database: Database, study: int) -> None:
    now, token, html = sit(database, study)
    first_is_left = html.index("the first") < html.index("the second")
    assert rate.store(database, now, token, 1) == "✓ saved"
    with database.read() as session:
        (preference,) = studies.results(session, study)
    assert preference.score == (5 if first_is_left else 1)
    assert preference.annotator == "Ada"
    assert 4 < preference.seconds < 30


def test_a_second_press_changes_nothing(database: Database, study: int) -> None:
    now, token, _ = sit(database, study)
    assert rate.store(database, now, token, 2) == "✓ saved"
    assert rate.store(database, now, token, 5) == "✓ already saved"
    assert count(database) == 1
    # The second press of a double click that finds the next pair already there.
    after, after_token, *_ = rate._screen(database, now)
    assert after_token != token
    assert rate.store(database, after, after_token, 2) == ""
    assert count(database) == 1


@pytest.mark.parametrize("pair", ["", "abc", "1; drop table ratings", "\u0663", "9999", "9" * 40])
def test_a_pair_that_was_not_shown_is_refused(database: Database, study: int, pair: str) -> None:
    now, _, _ = sit(database, study)
    with pytest.raises(InputError, match="pair="):
        rate.store(database, now, pair, 3)
    assert count(database) == 0


def test_another_annotators_pair_is_refused(database: Database, study: int) -> None:
    ada, token, _ = sit(database, study)
    bob, own, _ = sit(database, study, "Bob")
    if own == token:
        with database.write() as session:
            shown = select(Assignment).where(Assignment.annotator == "Bob")
            session.delete(session.scalars(shown).one())
    with pytest.raises(InputError, match="was not shown to Bob"):
        rate.store(database, bob, token, 3)
    assert rate.store(database, ada, token, 3) == "✓ saved"


def test_all_pairs_come_once_and_then_the_end(database: Database, study: int) -> None:
    now, token, html = sit(database, study)
    seen = []
    for done in range(4):
        assert f"{done} of 4" in html
        seen.append(token)
        saved = rate.store(database, now, token, 4)
        now, token, html, _question, scale = rate._screen(database, now, saved)
        now = replace(now, shown_at=now.shown_at - 5)
    assert len(set(seen)) == 4
    assert "All 4 rated" in html
    assert scale.visible is False
    assert rate._screen(database, rate.open_sitting(database, study, "Bob"))[4].visible is True


def test_a_reload_shows_the_same_pair_on_the_same_sides(database: Database, study: int) -> None:
    _, token, html = sit(database, study)
    for _ in range(5):
        _, again, shown = sit(database, study)
        assert (again, shown) == (token, html)


def test_a_page_that_lost_its_place_says_so(database: Database) -> None:
    sitting, _, html, *_ = rate._rated(database, None, "1", 3)
    assert sitting is None
    assert "Press Start" in html


def test_a_failure_to_save_is_never_called_saved(
    database: Database, study: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, token, _ = sit(database, study)
    warned: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: warned.append(text))

    def full(*_args: object) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(studies, "add_rating", full)
    updates = rate._rated(database, now, token, 3)
    assert warned == ["The rating was NOT saved. Press again in a moment."]
    assert "saved" not in str(updates)
    assert count(database) == 0


def predictions(path: Path, who: str) -> str:
    template = GuardTemplate.default()
    rows = [
        {
            "prompt": f"{template.instruction}\nHuman user:\np{n}\n\nAI assistant:\nNone\n\n",
            "label": "harmful",
            "predict": trace(who),
        }
        for n in range(6)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(path)


def test_a_study_is_made_from_two_files(database: Database, tmp_path: Path) -> None:
    files = predictions(tmp_path / "a.jsonl", "x"), predictions(tmp_path / "b.jsonl", "y")
    made = rate_researcher.make_study(database, " Mine ", "", "new", "old", *files, 4, 0)
    assert made == ("Mine", 4)
    ((name, study_id),) = rate.study_choices(database)
    assert name == "Mine"
    now, token, html = sit(database, study_id)
    assert now.question == studies.DEFAULT_QUESTION
    assert "p" in html
    rate.store(database, now, token, 3)
    report = rate_researcher.study_report(database, study_id)
    assert "50.0%" in report
    assert "new" in report


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"name": " "}, InputError, "name: it is empty"),
        ({"second_arm": "new"}, InputError, "must be two different names"),
        ({"first_file": None}, InputError, "a file is needed for each arm"),
        ({"second_file": "/nowhere.jsonl"}, DataError, "no such file"),
        ({"name": "Blind"}, InputError, "name=Blind: a study of this name exists"),
    ],
)
def test_a_study_that_cannot_be_made_leaves_nothing(
    database: Database,
    study: int,
    tmp_path: Path,
    changes: dict[str, Any],
    error: type[InputError],
    message: str,
) -> None:
    file = predictions(tmp_path / "a.jsonl", "x")
    values = {
        "name": "Mine",
        "question": "Which?",
        "first_arm": "new",
        "second_arm": "old",
        "first_file": file,
        "second_file": file,
        "limit": 3,
        "seed": 0,
    } | changes
    with pytest.raises(error, match=message):
        rate_researcher.make_study(database, **values)
    assert [name for name, _ in rate.study_choices(database)] == ["Blind"]


def test_a_report_needs_a_study(database: Database) -> None:
    for study_id in (None, 5):
        with pytest.raises(InputError, match="study"):
            rate_researcher.study_report(database, study_id)


BUILD = """
import json, sys
import gradio as gr
from db import studies
from db.session import open_database
from guardui.tabs import rate
from pipelines.settings import get_settings
settings = get_settings()
database = open_database(settings.database_url)
with database.write() as session:
    studies.create(session, "Blind", ["arm-one", "arm-two"], [("p", None, "a", "b")])
configs = []
for demo in (False, True):
    with gr.Blocks(analytics_enabled=False) as blocks, gr.Tab("Rate"):
        rate.build(database, settings.model_copy(update={"demo": demo}))
    configs.append(blocks.get_config_file())
print(json.dumps(configs, default=str))
"""


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the browser is sent of the tab, as a researcher and as the public.

    Made in a process of its own: a page leaves event loops behind.
    """
    done = subprocess.run(
        [sys.executable, "-c", BUILD],
        cwd=ROOT,
        env=os.environ | {"GUARDUI_HOME": str(tmp_path_factory.mktemp("home"))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    researcher, public = json.loads(done.stdout.splitlines()[-1])
    return researcher, public


Configs = tuple[dict[str, Any], dict[str, Any]]


def test_no_listener_is_public_and_arms_never_reach_the_browser(configs: Configs) -> None:
    for config in configs:
        assert config["dependencies"]
        for listener in config["dependencies"]:
            if listener["backend_fn"]:
                assert listener["api_visibility"] == "private"
        assert "Blind" in json.dumps(config)
        assert "arm-one" not in json.dumps(config)


def test_the_public_gets_no_researchers_part(configs: Configs) -> None:
    researcher, public = configs
    assert "Win rate" in json.dumps(researcher)
    assert "Win rate" not in json.dumps(public)
    assert "Make study" not in json.dumps(public)
    assert len(public["dependencies"]) < len(researcher["dependencies"])


def test_the_side_of_an_arm_is_not_in_what_is_sent(database: Database, study: int) -> None:
    """Same page but for the two texts, whichever arm stands left."""
    shown: dict[int, set[str]] = {0: set(), 1: set()}
    start = time.monotonic()
    for number in range(60):
        _, token, html = sit(database, study, f"annotator {number}")
        with database.read() as session:
            asked = select(Assignment.left_arm).where(
                Assignment.annotator == f"annotator {number}", Assignment.pair_id == int(token)
            )
            left = session.scalar(asked)
        assert left is not None
        plain = html.replace("the first", "the arm").replace("the second", "the arm")
        shown[left].add(plain)
        if shown[0] & shown[1] or time.monotonic() - start > 30:
            break
    assert shown[0] & shown[1], "one page for both sides"
