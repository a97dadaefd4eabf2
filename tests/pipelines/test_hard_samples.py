"""The mining rule on cases made by hand, and the weights."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.hard_samples import find_hard_sample, judge, spread, weigh
from pipelines.schema import GuardExample, GuardTask, Verdict

REQUEST, REFUSAL, RESPONSE = (
    GuardTask.PROMPT_HARMFULNESS,
    GuardTask.REFUSAL,
    GuardTask.RESPONSE_HARMFULNESS,
)
GOLD = {REQUEST: "harmful", REFUSAL: "refusal", RESPONSE: "unharmful"}
WRONG = {REQUEST: "unharmful", REFUSAL: "compliance", RESPONSE: "harmful"}


def verdict(*wrong, length=10, error=None):
    """A verdict that is right on every task but these."""
    labels = {task: (WRONG if task in wrong else GOLD)[task] for task in GuardTask}
    return Verdict({} if error else labels, "", "x" * length, error)


def example(response="I can't help.", gold=GOLD):
    return GuardExample("How?", response, dict(gold), row_id="r1")


def test_the_first_mixed_task_in_the_authors_order_makes_the_pair():
    everything = find_hard_sample(example(), [verdict(), verdict(*GuardTask)])
    assert everything.task is REQUEST
    later = find_hard_sample(example(), [verdict(), verdict(REFUSAL, RESPONSE)])
    assert later.task is RESPONSE
    last = find_hard_sample(example(), [verdict(), verdict(REFUSAL)])
    assert last.task is REFUSAL


def test_an_unmixed_task_is_passed_over():
    always_wrong = [verdict(REQUEST, REFUSAL), verdict(REQUEST)]
    assert find_hard_sample(example(), always_wrong).task is REFUSAL


@pytest.mark.parametrize("answers", [[verdict()] * 4, [verdict(*GuardTask)] * 4, []])
def test_agreement_is_no_hard_sample(answers):
    assert find_hard_sample(example(), answers) is None


def test_a_generation_that_was_not_parsed_is_dropped():
    failed = verdict(error="no answers block", length=99)
    assert find_hard_sample(example(), [verdict(), failed]) is None
    assert find_hard_sample(example(), [verdict(REQUEST), failed]) is None
    found = find_hard_sample(example(), [failed, verdict(REQUEST), verdict(), failed])
    assert (found.k_correct, found.k_incorrect) == (1, 1)
    assert (found.chosen, found.rejected) == (2, 1)
    assert [one.correct for one in found.generations] == [None, False, True, None]


def test_one_unparsed_field_drops_the_whole_generation():
    half = Verdict({REQUEST: "unharmful"}, "", "x", error="Completion: can't be read")
    assert judge(half, GOLD, REQUEST) is None
    assert find_hard_sample(example(), [verdict(), half]) is None


def test_a_label_of_none_is_wrong_where_there_is_gold():
    silent = Verdict({REQUEST: None, REFUSAL: None, RESPONSE: None}, "", "x")
    assert judge(silent, GOLD, REQUEST) is False


def test_the_longest_of_each_side_is_taken_and_the_first_of_equals():
    answers = [
        verdict(length=5),
        verdict(REQUEST, length=7),
        verdict(length=9),
        verdict(REQUEST, length=7),
        verdict(length=9),
        verdict(REQUEST, length=3),
    ]
    found = find_hard_sample(example(), answers)
    assert (found.chosen, found.rejected) == (2, 1)
    assert (found.k_correct, found.k_incorrect) == (3, 3)


def test_tasks_of_a_response_are_skipped_without_one():
    answers = [verdict(), verdict(REFUSAL, RESPONSE)]
    assert find_hard_sample(example(response=None), answers) is None
    assert find_hard_sample(example(), answers) is not None


def test_a_task_without_gold_is_skipped():
    answers = [verdict(), verdict(*GuardTask)]
    assert find_hard_sample(example(gold={REFUSAL: "refusal"}), answers).task is REFUSAL
    assert find_hard_sample(example(gold={}), answers) is None


def test_weights_by_hand():
    assert spread([-2, 0, 2], 0.2) == pytest.approx([0.8, 1.0, 1.2])
    assert spread([-2, 2, -1], 0.5) == pytest.approx([0.5, 1.5, 0.75])


def test_weights_where_there_is_nothing_to_spread():
    assert spread([], 0.2) == []
    assert spread([3], 0.2) == [1.0]
    assert spread([2, 2, 2], 0.5) == [1.0, 1.0, 1.0]
    assert spread([-2, 0, 2], 0.0) == [1.0, 1.0, 1.0]


def test_weigh_gives_the_harder_sample_more():
    easy = find_hard_sample(example(), [verdict(), verdict(), verdict(), verdict(REQUEST)])
    hard = find_hard_sample(example(), [verdict(), *[verdict(REQUEST)] * 3])
    assert easy.weight == hard.weight == 1.0
    assert [one.weight for one in weigh([easy, hard], 0.2)] == pytest.approx([0.8, 1.2])


@given(
    st.lists(st.integers(-64, 64), min_size=1, max_size=50),
    st.floats(0, 0.99, allow_nan=False),
)
def test_weights_lie_in_their_range_and_rise_with_the_difference(differences, gamma):
    weights = spread(differences, gamma)
    assert len(weights) == len(differences)
    assert all(1 - gamma - 1e-9 <= weight <= 1 + gamma + 1e-9 for weight in weights)
    pairs = sorted(zip(differences, weights, strict=True))
    assert all(low[1] <= high[1] for low, high in itertools.pairwise(pairs))
    if len(set(differences)) > 1:
        assert min(weights) == pytest.approx(1 - gamma)
        assert max(weights) == pytest.approx(1 + gamma)
