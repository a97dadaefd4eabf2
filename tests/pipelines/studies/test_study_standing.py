"""What is said of a study that goes on, that was closed early, and of one person or three arms."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from guardui.render_study_report import report_part
from pipelines.preferences.report import report
from pipelines.preferences.results import StudyReport
from pipelines.preferences.votes import Vote
from pipelines.studies.card import study_card
from pipelines.studies.design import StudyDesign
from pipelines.studies.document import report_json, report_text
from pipelines.studies.figures import counted_words, evidence_words
from pipelines.studies.records import StudyFacts, StudyRecords
from pipelines.studies.standing import SHORT, citations, early_warning, headlines
from pipelines.studies.words import design_words, end_rule, pass_rule
from tests.simulated_studies import Study

DAY = datetime(2026, 11, 21, tzinfo=UTC)
SEQUENTIAL = {"stopping": "sequential"}


def facts(rated: int, wanted: int, state: str = "open", **design: Any) -> StudyFacts:
    """A study of two arms that is so far."""
    return StudyFacts(
        id=1, name="s", state=state, arms=({"name": "DPO"}, {"name": "R-SFT"}),
        design=StudyDesign(**design), design_hash="ab" * 32, job_id=None, items=wanted, practice=0,
        attention=0, pairs=wanted, wanted=wanted, rated=rated, strata={"": wanted}, created_at=DAY,
        opened_at=DAY, closed_at=DAY if state == "closed" else None,
        close_reason="it looked good" if state == "closed" else "",
    )  # fmt: skip


@pytest.fixture(scope="module")
def votes() -> list[Vote]:
    return Study(5, lean=0.9, people_apart=0.1).draw(np.random.default_rng(0))


def told(votes: list[Vote], one: StudyFacts) -> StudyReport:
    """The report, but for the people, who are no part of the records here."""
    return replace(report(votes, one.arm_names, one.design), people=())


def forms(one: StudyFacts, found: StudyReport) -> dict[str, str]:
    """Every form in which somebody reads the report."""
    records = StudyRecords(one)
    return {
        "markdown": report_text(records, found),
        "html": report_text(records, found, "html"),
        "page": report_part(one, found),
        "card": study_card(records, found),
    }


def test_a_study_closed_early_passes_nowhere_without_saying_so(votes: list[Vote]) -> None:
    short = facts(280, 400, "closed")
    found = told(votes, short)
    assert found.comparisons[0].verdict.sentence.startswith("Passed: ")
    warning = early_warning(short, found)
    assert warning.startswith("Closed at 280 of 400 ratings, reason: it looked good. The rule")
    assert end_rule(short.design) in warning
    assert headlines(short, found)[0].startswith(f"{SHORT}: Passed: ")
    assert citations(short, found)[0].endswith("; closed at 280 of 400 ratings).")
    for form, text in forms(short, found).items():
        assert "Closed at 280 of 400 ratings, reason: it looked good" in text, form
        assert "Closed on 2026-11-21 at 280 of 400 ratings" in text, form
    assert 'class="st-verdict none"' in forms(short, found)["page"]
    said = report_json(short, found)
    assert (said["warning"], said["headlines"]) == (warning, headlines(short, found))
    assert said["citations"] == citations(short, found)

    whole = facts(280, 280, "closed")
    assert early_warning(whole, found) == ""
    assert headlines(whole, found) == [found.comparisons[0].verdict.sentence]
    assert 'class="st-verdict ok"' in report_part(whole, found)
    assert "it looked good" in report_text(StudyRecords(whole), found)


def test_an_open_study_speaks_of_so_far(votes: list[Vote]) -> None:
    going = facts(280, 400)
    found = told(votes, going)
    assert "280 of 400 ratings are in, and this study has a fixed" in early_warning(going, found)
    assert headlines(going, found)[0].startswith("So far: Passed: ")
    assert citations(going, found)[0].startswith("So far, DPO was preferred over R-SFT in ")
    for form in ("markdown", "html"):
        assert "So far: Passed" in forms(going, found)[form]
    assert "So far, DPO" in forms(going, found)["card"]


def test_a_sequential_study_is_held_to_its_rule(votes: list[Vote]) -> None:
    early, late = votes[:15], votes
    for state, words in (("open", "does not let it end yet"), ("closed", "Closed at 15 of 400")):
        one = facts(15, 400, state, **SEQUENTIAL)
        found = told(early, one)
        assert not found.stopping.enough
        assert words in early_warning(one, found)
        for form in ("markdown", "html", "page"):
            assert found.stopping.sentence in forms(one, found)[form], form
    closed = facts(280, 400, "closed", **SEQUENTIAL)
    found = told(late, closed)
    assert found.stopping.enough
    assert early_warning(closed, found) == ""
    assert headlines(closed, found)[0].startswith("Passed: ")
    for form in ("markdown", "html", "page"):
        assert found.stopping.sentence in forms(closed, found)[form], form


def test_the_rule_is_the_same_in_all_words(votes: list[Vote]) -> None:
    rule = end_rule(StudyDesign(stopping="sequential"))
    assert "every pair is rated as often as wanted or, before, once the e-value" in rule
    described = StudyDesign.model_fields["stopping"].description or ""
    enough = told(votes, facts(280, 400, **SEQUENTIAL)).stopping.sentence
    for words in (rule, described, enough):
        assert "the study passes or speaks against the first arm" in words
    assert "only the e-value may be looked at" in rule
    assert "no harm" not in rule


def test_the_e_value_speaks_of_these_people_and_first_ratings(votes: list[Vote]) -> None:
    (one,) = told(votes, facts(280, 280)).comparisons
    words = evidence_words(one.evidence)
    assert "the first decisive rating of each conversation" in words
    assert words.endswith("among these people the arms differ.")
    (few,) = told(votes[:5], facts(5, 280)).comparisons
    assert "has not reached 20" in evidence_words(few.evidence)


def test_each_comparison_is_cited_for_itself(votes: list[Vote]) -> None:
    base = [replace(vote, second_arm=2, pair=vote.pair + 1000) for vote in votes[:90]]
    lone = replace(votes[0], first_arm=1, second_arm=2, pair=5000, item=900, annotator="q")
    three = replace(facts(371, 371), arms=tuple({"name": name} for name in ("a", "b", "c")))
    found = told([*votes, *base, lone], three)
    first, second, third = citations(three, found)
    assert first.startswith("a was preferred over b in ")
    assert "of 280 blinded pairwise ratings of 200 conversations by 5 people (" in first
    assert second.startswith("a was preferred over c in ")
    assert "of 90 blinded pairwise ratings of 90 conversations by" in second
    assert third.startswith("b was preferred over c in ")
    assert "of 1 blinded pairwise rating of 1 conversation by 1 person (" in third
    card = study_card(StudyRecords(three), found)
    assert card.count("was preferred over") == 3
    assert len(citations(three, told(votes, three))) == 1, "what nobody rated is not cited"


@pytest.mark.parametrize(
    ("each", "overlap", "words"),
    [
        (1, 3, "wanted: each pair once, 20% of them 3 times to tell how far people agree."),
        (5, 3, "wanted: each pair 5 times."),
        (3, 3, "wanted: each pair 3 times."),
    ],
)
def test_how_often_pairs_are_rated(each: int, overlap: int, words: str) -> None:
    one = facts(0, 10, ratings_per_pair=each, overlap_ratings=overlap)
    assert any(line.endswith(words) for line in design_words(one))


def test_a_target_is_told_as_it_was_set() -> None:
    assert "wins at least 62.5%," in pass_rule(StudyDesign(target=0.625), "DPO")
    assert "wins at least 57%," in pass_rule(StudyDesign(target=0.57), "DPO")


def test_changes_of_mind_name_the_verdicts_only_where_they_are_shown(votes: list[Vote]) -> None:
    changed = [replace(votes[0], last_score=6 - votes[0].score, score=5), *votes[1:]]
    for shown in (True, False):
        one = facts(280, 280, reveal_verdicts=shown)
        found = told(changed, one)
        words = " ".join(counted_words(found, one.design))
        assert ("Changed once the verdicts were shown: 1" in words) == shown
        assert ("Changed afterwards: 1" in words) != shown
        assert ("verdicts were shown" in forms(one, found)["card"]) == shown
