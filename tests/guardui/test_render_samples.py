"""The inspector's renderers: foreign text is inert, words say what signs and colours say."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from db.models import GenerationRow, HardSampleRow, SampleChange, now
from db.samples import Balance, Mix, SampleFilter, SampleLine
from guardui.render_sample_answers import verdict_mark, weight_meaning
from guardui.render_sample_detail import sample_detail
from guardui.render_sample_diff import diff_html, diff_lines
from guardui.render_sample_filters import Counts, filters, histogram
from guardui.render_sample_sets import SetChoice, balance_words, differences, head
from guardui.render_samples import samples_list
from guardui.sample_address import Place
from pipelines.pair_sets import PairSetDiff
from pipelines.schema import GuardTask
from tests.guardui.test_render import NASTY, assert_inert

TRACE = "# Task 1\n## Reasoning Step 1:\nThe user {} harm.\n\nAnswers:\nRequest: {}"
SET = Place(SampleFilter(job_id=1))


def answer(position: int, label: str | None, **values: object) -> GenerationRow:
    filled: dict[str, object] = {
        "position": position,
        "text": TRACE.format("means" if label == "harmful" else "means no", label),
        "labels": {"prompt_harmfulness": label} if label else {},
        "error": None,
        "correct": label == "harmful" if label else None,
        "tokens": 12,
    }
    return GenerationRow(**(filled | values))


def sample(**values: object) -> HardSampleRow:
    filled: dict[str, object] = {
        "id": 3, "job_id": 1, "row_id": "train:1", "source": "Aegis", "model": "artifact:1",
        "sampling": {"seed": 42, "temperature": 0.7}, "task": "prompt_harmfulness",
        "prompt": "a question", "response": None, "gold": {"prompt_harmfulness": "harmful"},
        "k_correct": 1, "k_incorrect": 1, "chosen": 0, "rejected": 1, "weight": 1.1,
        "review": "new", "reason": "", "human_edited": False, "hardness": "hard",
        "direction": "miss", "unparsed": 0, "length": 10, "near_equal": False,
        "length_gap": False, "generations": [answer(0, "harmful"), answer(1, "unharmful")],
    }  # fmt: skip
    return HardSampleRow(**(filled | values))


def line(**values: object) -> SampleLine:
    filled: dict[str, object] = dict.fromkeys(SampleLine._fields) | {
        "id": 7, "job_id": 1, "row_id": "train:7", "task": "refusal", "source": "Aegis",
        "direction": "miss", "hardness": "hard", "k_correct": 1, "k_incorrect": 3, "unparsed": 0,
        "weight": 1.2, "length": 1204, "review": "new", "reason": "", "human_edited": False,
        "near_equal": False, "length_gap": False, "excerpt": "how to",
    }  # fmt: skip
    return SampleLine(**(filled | values))  # type: ignore[arg-type]


def steps(text: str) -> list[tuple[str, list[str]]]:
    return [("Request", [text])]


def test_foreign_text_is_inert() -> None:
    row = sample(
        prompt=NASTY, response=NASTY, source=NASTY, row_id=NASTY, model=NASTY, reason=NASTY,
        review="dropped", sampling={NASTY: NASTY}, gold={"prompt_harmfulness": NASTY},
        generations=[
            answer(0, "harmful", text=NASTY),
            answer(1, "unharmful", text=f"{NASTY} b", error=NASTY),
        ],
        changes=[
            SampleChange(at=now(), action=NASTY, before={}, after={"reason": NASTY}),
        ],
    )  # fmt: skip
    place = replace(SET, filter=replace(SET.filter, source=NASTY, text=NASTY))
    counts = Counts(1, {1: 1}, {"source": {NASTY: 1, "b": 2}, "model": {NASTY: 1, "c": 1}})
    listed = line(source=NASTY, row_id=NASTY, reason=NASTY, review="dropped", excerpt=NASTY)
    for html in (
        sample_detail(row, steps),
        sample_detail(row, lambda _text: []),
        samples_list(place, [listed], 1),
        filters(place, counts),
        head([SetChoice(1, NASTY, 2)], 1, {}, {}),
        differences(NASTY, NASTY, PairSetDiff([NASTY], [], {NASTY: [NASTY]}, 0)),
    ):
        assert_inert(html)
        assert "&lt;script&gt;" in html


def test_no_text_of_a_sample_stands_outside_what_is_shut() -> None:
    html = sample_detail(sample(prompt="a bad thing"), steps)
    assert re.search(r'<p class="gu-plain hs-secret" dir="auto">a bad thing</p>', html)
    assert html.count("a bad thing") == 1


def test_each_verdict_is_right_wrong_not_applicable_or_unread() -> None:
    row = sample(response="an answer")
    request, refusal, _ = list(GuardTask)
    assert "✓ harmful, right" in verdict_mark(request, answer(0, "harmful"), row)
    assert "✕ unharmful, wrong" in verdict_mark(request, answer(0, "unharmful"), row)
    assert "none given" in verdict_mark(request, answer(0, None), row)
    assert "parse error" in verdict_mark(request, answer(0, None, error="no block"), row)
    assert "n/a" in verdict_mark(refusal, answer(0, "harmful"), sample(response=None))


@pytest.mark.parametrize(("weight", "word"), [(1.2, "more"), (0.8, "less"), (1.0, "as an average")])
def test_a_weight_is_told_with_its_meaning(weight: float, word: str) -> None:
    assert word in weight_meaning(sample(weight=weight))


def test_an_answer_can_serve_on_its_own_side_only() -> None:
    html = sample_detail(sample(), steps)
    assert re.findall(r'data-act="pick" data-(\w+)="(\d)"', html) == [
        ("chosen", "0"),
        ("rejected", "1"),
    ]


def test_without_a_pair_nothing_is_compared_or_picked() -> None:
    html = sample_detail(sample(chosen=None, rejected=None, hardness="all_wrong"), steps)
    assert "Makes no pair" in html
    assert "Label error?" in html
    assert 'data-act="pick"' not in html


def test_a_difference_is_told_by_sign_and_line() -> None:
    html = diff_html("the user means harm", "the user means no harm")
    assert '<ins><span class="sign" title="only in the chosen">+</span> no</ins>' in html
    assert "same text" in diff_html("alike", "alike")


def test_both_texts_can_be_put_together_from_a_difference() -> None:
    old, new = "a b\nc\n\nd e f", "a x\n\nd e g\nh"
    rows = diff_lines(old, new)
    for text, other in ((old, "new"), (new, "gone")):
        words = "".join(p.text for row in rows for p in row if p.kind != other)
        assert words.split() == text.split() or "".join(words.split()) == "".join(text.split())


def test_a_bar_says_how_many_and_whether_it_is_chosen() -> None:
    html = histogram({1: 40, 2: 12_345}, 2)
    assert 'aria-label="2 wrong answers: 12,345 samples"' in html
    assert re.findall(r'data-set="wrong=(\d)" aria-pressed="(\w+)"', html) == [
        ("1", "false"),
        ("2", "true"),
    ]


def test_empty_lists_say_what_to_do() -> None:
    dropped = replace(SET, filter=replace(SET.filter, review="dropped"))
    searched = replace(SET, filter=replace(SET.filter, text="x"))
    assert "Train tab" in samples_list(Place(), [], 0)
    assert "Nothing dropped" in samples_list(dropped, [], 0)
    assert "Clear all filters" in samples_list(searched, [], 0)
    assert "first page" in samples_list(replace(SET, page=9), [], 30)


def test_pages_count_the_whole_list() -> None:
    html = samples_list(replace(SET, page=2), [line()], 100_000)
    assert "26\u201326 of 100,000" in html
    assert 'data-page="4000" aria-label="Last page"' in html


def test_balance_is_told_in_sentences() -> None:
    task = "prompt_harmfulness"
    now_ = Mix(4, {(task, "harmful"): 1, (task, "unharmful"): 3}, 900, 800)
    then = Mix(8, {(task, "harmful"): 4, (task, "unharmful"): 4}, 1000, 500)
    said = " ".join(balance_words(Balance(now_, now_, then, then)))
    assert "4 now, 8 then" in said
    assert "gold harmful goes from 25% to 50%" in said
    assert "2.00 times as long" in said


def test_a_text_that_begins_with_a_line_feed_keeps_it() -> None:
    row = sample(generations=[answer(0, "harmful", text="\nfirst"), answer(1, "unharmful")])
    # What browsers drop is the line feed before it.
    assert '<pre hidden data-text="0">\n\nfirst</pre>' in sample_detail(row, steps)
