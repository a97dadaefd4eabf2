"""What an annotator is shown: escaped, without verdicts, the same whichever arm stands where."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from db.study_models import BOTH_BAD
from guardui import identity, rate_asked, render_rate, render_rate_after, render_rate_entry
from guardui.theme import STATIC
from pipelines.schema import InputError
from pipelines.settings import Settings
from pipelines.shown_reasoning import shown_reasoning
from pipelines.studies.design import StudyDesign
from tests.rating_study import VERDICTS, trace

BAD = "<img src=x onerror=alert(1)>'\"&"
PAIR = {
    "prompt": BAD,
    "response": BAD,
    "left": trace(BAD),
    "right": trace("a cat"),
    "left_verdicts": VERDICTS,
    "right_verdicts": {"prompt_harmfulness": BAD, "refusal": None},
}


def item(left: str, right: str, **more: object) -> str:
    return render_rate.item("Pair 1", "weapons", "Which?", left, right, **more)  # type: ignore[arg-type]


def test_a_trace_keeps_its_steps_and_loses_its_verdicts() -> None:
    sections = shown_reasoning(trace("a cat", "Response: harmful\nCompletion: refusal"))
    assert [title for title, _ in sections] == ["Request", "Refusal"]
    assert [len(steps) for _, steps in sections] == [2, 1]
    shown = json.dumps(sections)
    for hidden in ("Answers", "onclusion", "unharmful", "compliance", "refusal", "Response:"):
        assert hidden not in shown
    assert sections[1][1] == ["Look at the answer.\nThe assistant goes along."]


@pytest.mark.parametrize(
    "raw", ["", "Answers: \nRequest: harmful\nCompletion: None\nResponse: None"]
)
def test_a_trace_without_reasoning_says_so(raw: str) -> None:
    assert item(raw, raw).count("No reasoning was written.") == 2


def test_foreign_text_stays_text() -> None:
    design = StudyDesign(question=BAD, guidelines=BAD, consent=BAD, topics=[BAD])
    pages = [
        render_rate.item(BAD, BAD, BAD, trace(BAD), BAD, talk="", criteria=["coherence"]),
        render_rate.conversation(BAD, BAD),
        render_rate_entry.entry([(1, BAD)], hub=True, account=BAD),
        render_rate_entry.consent(BAD, design, link=True),
        render_rate_after.feedback(PAIR, 1, "left", BAD),
        render_rate_after.after(BAD, 1, BAD, PAIR, verdicts=True, support=True, editing=True),
        render_rate_after.plain("done", BAD),
    ]
    for page in pages:
        assert "<img" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;&#x27;&quot;&amp;" in page


def test_both_sides_are_made_alike() -> None:
    one, other = trace("the one"), trace("the other")
    there, back = item(one, other), item(other, one)
    swapped = (
        there.replace("the one", "@").replace("the other", "the one").replace("@", "the other")
    )
    assert swapped == back
    assert len(there) == len(back)


def test_the_conversation_is_no_part_of_the_page_until_it_is_asked_for() -> None:
    closed = item("a", "b")
    assert "data-reveal" in closed
    assert '<div id="rate-talk"></div>' in closed
    open_again = item("a", "b", talk=render_rate.conversation("the secret", None))
    assert "the secret" in open_again
    assert "only the request is judged" in open_again
    assert re.search(r'class="rate-veil" hidden', open_again)


def test_steps_count_on_through_the_sections_and_can_be_marked() -> None:
    html = item(trace("a"), trace("b"))
    for letter, side in (("A", "left"), ("B", "right")):
        for step in (1, 2, 3):
            assert (
                f'data-side="{side}" data-step="{step}" aria-label="Mark step {step} of {letter}'
                in (html)
            )
    for mark in render_rate.MARKS:
        assert f'<option value="{mark}">' in html
    again = render_rate_after.after("x", 3, "q", PAIR, verdicts=True, support=False, editing=False)
    assert "<select" not in again


def test_answers_are_labelled_radio_buttons() -> None:
    html = item("a", "b", criteria=["coherence", "support"])
    assert html.count('type="radio" name="overall"') == 6
    assert f'name="overall" value="{BOTH_BAD}"' in html
    assert html.count('name="coherence-left"') == html.count('name="coherence-right"') == 5
    assert "support-" not in html  # it is asked once the verdicts are shown
    assert html.count("<fieldset") == html.count("<legend") == 3
    assert 'id="rate-head" tabindex="-1"' in html


def test_verdicts_are_shown_afterwards_by_word_and_sign() -> None:
    args = ("Saved", 2, "Which?", PAIR)
    html = render_rate_after.after(*args, verdicts=True, support=True, editing=False)
    assert "A slightly better" in html
    assert "✓</span>unharmful" in html
    assert "→</span>compliance" in html
    assert html.count("none could be read") == 3
    assert html.count('name="support-left"') == 5
    assert '<details class="rate-change">' in html
    without = render_rate_after.after(*args, verdicts=False, support=False, editing=True)
    assert "concluded" not in without
    assert "support" not in without
    assert '<details class="rate-change" open>' in without
    alone = PAIR | {"response": None}
    assert "n/a" in render_rate_after.after(
        "x", 3, "q", alone, verdicts=True, support=False, editing=False
    )


@pytest.mark.parametrize(
    ("said", "expected", "title"),
    [
        (1, "left", "Yes, A reasons better"),
        (4, "left", "Most would say that A reasons better"),
        (BOTH_BAD, "right", "Most would say that B reasons better"),
        (3, "", "Thank you"),
    ],
)
def test_practice_is_answered_with_what_was_expected(said: int, expected: str, title: str) -> None:
    html = render_rate_after.feedback(PAIR, said, expected, "Because.")
    assert title in html
    assert "Because." in html


def test_consent_has_own_words_or_the_usual_ones() -> None:
    usual = render_rate_entry.consent("S", StudyDesign(), link=False)
    assert "withdraw" in usual
    assert "Specificity" in usual
    assert "personal link" not in usual
    assert "Leave these topics out" not in usual
    own = StudyDesign(guidelines="Be kind.", consent="Yes?", topics=["weapons"], criteria=[])
    html = render_rate_entry.consent("S", own, link=True)
    assert "Be kind." in html
    assert "voluntary" not in html
    assert 'name="topic" value="weapons"' in html
    assert "Your personal link" in html


def test_screens_that_only_say_something() -> None:
    for name in render_rate_after.PLAIN:
        assert 'id="rate-head"' in render_rate_after.plain(name)
    assert 'data-act="resume"' in render_rate_after.plain("stopped")


def test_the_entry_offers_what_there_is() -> None:
    nothing = render_rate_entry.entry([], hub=False)
    assert "No study is open" in nothing
    assert 'data-send="enter"' in nothing
    assert 'data-send="join"' not in nothing
    hub = render_rate_entry.entry([(3, "S")], hub=True)
    assert "login/huggingface" in hub
    known = render_rate_entry.entry([(3, "S")], hub=True, account="ada")
    assert "logged in as ada" in known
    assert 'name="name"' not in known


# ---- what the browser may send ----
@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "token"),
        ({"token": "a b", "overall": 1}, "token"),
        ({"token": "t", "overall": 6}, "overall"),
        ({"token": "t", "overall": True}, "overall"),
        ({"token": "t", "overall": "3"}, "overall"),
        ({"token": "t", "overall": 1, "criteria": {"beauty": [1, 2]}}, "criteria: "),
        ({"token": "t", "overall": 1, "criteria": {"coherence": [0, 2]}}, "criteria.coherence.0"),
        ({"token": "t", "overall": 1, "note": "x" * 2001}, "note"),
        (
            {"token": "t", "overall": 1, "marks": [{"side": "up", "step": 1, "mark": "key"}]},
            "marks",
        ),
        (
            {"token": "t", "overall": 1, "marks": [{"side": "left", "step": 1, "mark": "x"}]},
            "marks",
        ),
    ],
)
def test_an_answer_that_cannot_be_is_refused_by_name(body: dict[str, object], where: str) -> None:
    with pytest.raises(InputError, match=rf"^{re.escape(where)}") as caught:
        rate_asked.read(rate_asked.Answer, body)
    assert "a b" not in str(caught.value)


# ---- identity ----
def test_the_key_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "new")
    key = identity.key_of(settings)
    assert len(key) == 32
    assert identity.key_of(settings) == key
    path = settings.home / identity.KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in settings.home.iterdir()] == [identity.KEY_FILE]
    path.write_bytes(b"short")
    with pytest.raises(InputError, match="holds 5 bytes, must be 32"):
        identity.key_of(settings)


def test_codes_name_their_study_and_are_known_by_a_keyed_hash(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "a")
    code = identity.new_code(12)
    assert identity.study_of(code) == 12
    assert identity.study_of(f" {code}\n") == 12
    for wrong in ("", "12", "x-abc", "0-" + "a" * 24, "12-short", "12-" + "a" * 99, f"{code};"):
        assert identity.study_of(wrong) is None
    hashed = identity.code_hash(settings, 12, code)
    assert re.fullmatch(r"[0-9a-f]{64}", hashed)
    assert hashed == identity.code_hash(settings, 12, f"{code} ")
    assert hashed != identity.code_hash(settings, 13, code)
    assert hashed != identity.code_hash(Settings(home=tmp_path / "b"), 12, code)
    assert identity.hub_hash(settings, 12, "7") != identity.code_hash(settings, 12, "7")


def test_a_hub_login_is_read_from_the_session() -> None:
    user = {"sub": "7", "preferred_username": "ada"}
    assert identity.hub_account({"oauth_info": {"userinfo": user}}) == ("7", "ada")
    for nobody in (None, {}, {"oauth_info": None}, {"oauth_info": {"userinfo": {"sub": ""}}}):
        assert identity.hub_account(nobody) is None


def test_the_script_never_runs_what_it_is_told() -> None:
    """The only HTML it sets is what the server sends as `html`."""
    scripts = "\n".join(file.read_text("utf-8") for file in sorted(STATIC.glob("rate*.js")))
    assert re.findall(r"innerHTML = (\S+)", scripts) == ["answer.html;", "answer.html;"]
    for word in ("eval(", "insertAdjacentHTML", "outerHTML", "document.write", "new Function"):
        assert word not in scripts
