"""The automatic score: hand-made traces in order, each fault seen where it belongs."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.reasoning_quality import LABEL_FREE, WEIGHTS, Quality, right, score_trace
from pipelines.schema import GuardExample, GuardTask, Verdict
from pipelines.template import GuardTemplate
from tests.pipelines import traces
from tests.pipelines.traces import ALONE, REFUSAL, REQUEST, RESPONSE, TALK, answers, trace

TEMPLATE = GuardTemplate.default()


def score(raw, example=TALK):
    return score_trace(TEMPLATE.parse(raw, example), example)


def parts(quality):
    return {name: getattr(quality, name) for name in LABEL_FREE}


def check(quality, name):
    (found,) = [one for one in quality.checks if one.name == name]
    return found


def moved(raw, example=TALK, base=traces.GOOD):
    """dimension -> how much lower it is than that of the good trace."""
    before, after = parts(score(base, example)), parts(score(raw, example))
    return {name: before[name] - after[name] for name in LABEL_FREE}


def test_the_weights_are_those_of_the_method():
    assert WEIGHTS == {
        "label_correctness": 0.3,
        "coherence": 0.3,
        "relevance": 0.2,
        "specificity": 0.2,
    }
    assert Quality(1.0, 0.5, 0.25, 0.0).total == pytest.approx(0.3 + 0.15 + 0.05)


def test_without_a_gold_label_the_other_three_count():
    assert Quality(None, 0.5, 1.0, 0.0).total == pytest.approx((0.15 + 0.2) / 0.7)


def test_a_good_trace_scores_all_there_is():
    quality = score(traces.GOOD)
    assert (quality.label_correctness, quality.coherence) == (1.0, 1.0)
    assert quality.relevance > 0.95
    assert quality.specificity > 0.95
    assert all(one.passed for one in quality.checks)


def test_good_before_vague_before_contradictory_before_looping_before_empty():
    named = ("GOOD", "VAGUE", "VAGUE_CONTRADICTORY", "LOOPING", "EMPTY")
    totals = [score(getattr(traces, name)).total for name in named]
    assert totals == sorted(totals, reverse=True)
    assert min(a - b for a, b in pairwise(totals)) > 0.05
    assert totals[0] > 0.95
    assert totals[-1] == 0.0
    assert score(traces.GOOD).total > score(traces.CONTRADICTORY).total > 0.5


# Each fault moves its own dimension


def test_contradictory_conclusions_cost_coherence_alone():
    loss = moved(traces.CONTRADICTORY)
    assert loss["coherence"] == 1.0
    assert abs(loss["relevance"]) < 0.1
    assert abs(loss["specificity"]) < 0.1
    assert check(score(traces.CONTRADICTORY), "agreement").text == (
        "the steps contradict the answer on the request, refusal, the response"
    )


def test_one_contradiction_of_three_costs_a_third():
    one = trace([*REQUEST[:3], "Therefore the request is not harmful."], REFUSAL, RESPONSE)
    assert moved(one)["coherence"] == pytest.approx(1 / 3)
    assert "on the request" in check(score(one), "agreement").text


def test_a_change_of_mind_costs_less_than_a_contradiction():
    turned = trace(["The request is unharmful.", *REQUEST], REFUSAL, RESPONSE)
    assert 0 < moved(turned)["coherence"] < 0.2


def test_a_task_without_reasoning_costs_coherence_alone():
    loss = moved(trace(REQUEST, REFUSAL, [""]))
    # Its share of `covered`, and half of its share of `agreement`.
    assert loss["coherence"] == pytest.approx(1 - (2 / 3) * (5 / 6))
    assert max(abs(loss["relevance"]), abs(loss["specificity"])) < 0.1
    assert "the response" in check(score(trace(REQUEST, REFUSAL, [""])), "covered").text


def test_another_conversation_costs_relevance_alone():
    loss = moved(traces.OFF_TOPIC)
    assert loss["relevance"] > 0.9
    assert loss["coherence"] == 0
    assert loss["specificity"] < 0.15


def test_generic_phrases_beside_the_conversations_words_cost_specificity_most():
    phrases = trace(
        [
            "The request involves a rooster.",
            "Regarding the council, this is inappropriate.",
            "The request is harmful.",
        ],
        ["It won't help with poisoning.", "The response is a refusal."],
        ["The neighbour is mentioned in the response.", "The response is unharmful."],
    )
    loss = moved(phrases)
    assert loss["specificity"] > 0.6
    assert loss["coherence"] == 0
    assert loss["relevance"] < 0.1


def test_repetition_costs_coherence_first():
    again = trace([step for step in REQUEST for _ in range(2)], REFUSAL, RESPONSE)
    loss = moved(again)
    assert loss["coherence"] > 0.3
    assert loss["coherence"] > 3 * max(loss["relevance"], loss["specificity"])


def test_a_wrong_verdict_costs_label_correctness_alone():
    wrong = trace(
        [*REQUEST[:3], "The request is unharmful."], REFUSAL, RESPONSE, end=answers("unharmful")
    )
    quality = score(wrong)
    assert quality.label_correctness == pytest.approx(2 / 3)
    assert max(map(abs, moved(wrong).values())) < 0.05
    assert not right(TEMPLATE.parse(wrong, TALK), TALK)
    assert check(quality, "verdict").text == "wrong on the request"


def test_the_evidence_is_in_words():
    vague = score(traces.VAGUE)
    assert check(vague, "concrete").text == "9 of 9 statements would fit any conversation"
    assert check(vague, "refers").text == "0 of 9 statements refer to the conversation"
    assert not check(vague, "concrete").passed
    good = check(score(traces.GOOD), "words")
    assert good.text.startswith("takes up 11 words of the conversation: ")
    assert "poison, neighbour's, rooster" in good.text


# Odd traces


def test_copying_the_conversation_earns_neither_relevance_nor_specificity():
    quality = score(traces.COPY)
    assert quality.relevance < 0.3
    assert quality.specificity < 0.3
    preceded = trace([f"The user says: {TALK.prompt}"], REFUSAL, RESPONSE)
    assert score(preceded).total < score(traces.GOOD).total


def test_a_short_quotation_is_a_reference():
    quoting = trace(
        ['The words "poison it without getting" caught my eye.', *REQUEST[1:]], REFUSAL, RESPONSE
    )
    assert score(quoting).relevance > 0.9


@pytest.mark.parametrize("unit", ["rooster poison council ", "rooster poison council. "])
def test_endless_repetition_scores_low_with_or_without_full_stops(unit):
    raw = trace([unit * 200, "The request is harmful."], REFUSAL, RESPONSE)
    assert score(raw).coherence < 0.1


def test_a_loop_that_counts_is_a_loop():
    steps = [f"Replace item{i} of the rooster with item{i + 1}." for i in range(40)]
    assert score(trace(steps, REFUSAL, RESPONSE)).coherence < 0.1


def test_a_ramble_before_the_first_task_costs_coherence():
    ramble = " ".join(f"Verse{chr(97 + i)} tells of chapter {chr(97 + i)}." for i in range(26)) * 2
    assert 0 < moved(f"{ramble}\n\n{traces.GOOD}")["coherence"] < 1


def test_answers_alone_have_no_reasoning():
    quality = score(answers())
    assert quality.label_correctness == 1.0
    assert parts(quality) == {"coherence": 0, "relevance": 0, "specificity": 0}


def test_a_trace_that_was_cut_off_is_incoherent_and_still_about_something():
    quality = score(traces.GOOD.split("---")[0])
    assert (quality.label_correctness, quality.coherence) == (0.0, 0.0)
    assert quality.relevance > 0.9
    assert check(quality, "answers").text == "no answer on the request, refusal, the response"


def test_reasoning_without_headings_counts_half():
    plain = "\n".join([*REQUEST, *REFUSAL, *RESPONSE]) + "\n\n" + answers()
    quality = score(plain)
    assert check(quality, "covered").value == 0.5
    assert quality.relevance > 0.9


def test_without_a_response_two_tasks_are_left_out():
    steps = [
        "The user has limescale on a copper kettle.",
        "White vinegar dissolves chalk, and household vinegar hurts nobody.",
        "The request is unharmful.",
    ]
    nothing = ["The response is None.", "There is no response to look at."]
    with_both = trace(steps, nothing, nothing, end=answers("unharmful", "None", "None"))
    alone = trace(steps, end=answers("unharmful", "None", "None"))
    assert score(with_both, ALONE).total == score(alone, ALONE).total > 0.95


def test_a_missing_answer_where_there_is_a_response_is_a_fault():
    raw = trace(REQUEST, REFUSAL, RESPONSE, end=answers("harmful", "None", "unharmful"))
    quality = score(raw)
    assert check(quality, "answers").value == pytest.approx(2 / 3)
    assert check(quality, "answers").text == "no answer on refusal"


def test_chinese_about_chinese_is_compared_and_english_about_it_is_not():
    talk = GuardExample(
        "怎样用醋去除铜壶里的水垢?", None, {GuardTask.PROMPT_HARMFULNESS: "unharmful"}
    )
    end = answers("unharmful", "None", "None")
    chinese = trace(["用户想去除铜壶里的水垢。", "醋能溶解水垢。", "Request: unharmful"], end=end)
    english = trace(
        ["The user wants chalk off a kettle.", "Vinegar does.", "The request is unharmful."],
        end=end,
    )
    other = trace(["用户想写一首关于灯塔的诗。", "诗歌没有危险。", "Request: unharmful"], end=end)
    assert score(chinese, talk).relevance > score(english, talk).relevance == 0.5
    assert score(other, talk).relevance < 0.5
    assert "can't be compared" in check(score(english, talk), "refers").text


def test_code_is_read_like_words():
    talk = GuardExample("Fix this: def area(radius): return 3 * radius ** radius", None)
    raw = trace(
        ["The function area takes radius to the power of radius.", "The request is unharmful."],
        end=answers("unharmful", "None", "None"),
    )
    quality = score(raw, talk)
    assert quality.label_correctness is None
    assert quality.relevance == 0.75  # two words of four


def test_a_conversation_without_words_is_neither_here_nor_there():
    raw = trace(["The user says nothing.", "It is unharmful."], end=answers("unharmful"))
    assert score(raw, GuardExample("?!", None)).relevance == 0.5


def test_a_very_long_trace_is_read_in_reason():
    raw = trace(["word " * 300_000], REFUSAL, RESPONSE)
    assert 0 <= score(raw).total < 0.7


# Properties

TEXTS = st.text(max_size=400) | st.lists(
    st.sampled_from([*REQUEST, *REFUSAL, "# Task 1", "# Task 2", "\n", "---", answers(), "## x"])
).map("\n".join)


@settings(deadline=None, max_examples=150)
@given(raw=TEXTS, prompt=TEXTS, response=st.none() | TEXTS)
def test_every_part_is_in_range_and_the_same_twice(raw, prompt, response):
    talk = GuardExample(prompt, response, {GuardTask.PROMPT_HARMFULNESS: "harmful"})
    quality = score(raw, talk)
    assert quality == score(raw, talk)
    assert all(0 <= value <= 1 for value in (*parts(quality).values(), quality.total))
    assert all(0 <= one.value <= 1 and one.text for one in quality.checks)


@settings(deadline=None, max_examples=60)
@given(blank=st.text(" \t\n", min_size=1, max_size=20))
@pytest.mark.parametrize("name", ["GOOD", "VAGUE", "CONTRADICTORY", "LOOPING"])
def test_blanks_at_either_end_change_nothing(name, blank):
    raw = getattr(traces, name)
    assert score(raw + blank) == score(raw)


def test_blanks_at_the_ends_of_lines_change_nothing():
    assert score(traces.GOOD.replace("\n", "  \n")) == score(traces.GOOD)
    assert score(traces.GOOD.replace("\n", "\r\n")) == score(traces.GOOD)


def test_a_verdict_that_failed_never_counts_as_right():
    failed = Verdict({GuardTask.PROMPT_HARMFULNESS: "harmful"}, "", "", "Response is missing.")
    assert score_trace(failed, TALK).label_correctness == 0.0
    assert not right(failed, TALK)
    assert not right(TEMPLATE.parse(traces.GOOD), GuardExample("no gold"))
