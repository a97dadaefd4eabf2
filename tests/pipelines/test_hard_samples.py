"""The mining rule on cases made by hand, and the weights."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.hard_samples import (
    choose_pair,
    find_all_wrong,
    find_hard_sample,
    hardness,
    judge,
    rejudge,
    row_seed,
    spread,
    weigh,
)
from pipelines.schema import GuardExample, GuardTask, HardSample, Verdict

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


# By model and source


def mined(d, model="m", source="s"):
    """A sample of four answers with d = wrong - right."""
    wrong = (4 + d) // 2
    return HardSample(
        GuardExample("How?", gold=GOLD, source=source), REQUEST, (), 4 - wrong, wrong, 0, 1, 0.3,
        model,
    )  # fmt: skip


def weights(samples, *args):
    return [sample.weight for sample in weigh(samples, *args)]


def test_the_papers_weights_are_spread_within_each_model_and_source():
    """By hand: 1 - 0.2 + 0.4 (d - min) / (max - min), with the ranges [-2, 2], [-2, 0], [0, 0]."""
    samples = [
        mined(-2, "a", "x"), mined(0, "a", "x"), mined(2, "a", "x"),
        mined(-2, "a", "y"), mined(0, "a", "y"),
        mined(0, "b", "x"),
    ]  # fmt: skip
    assert weights(samples, 0.2) == pytest.approx([0.8, 1.0, 1.2, 0.8, 1.2, 1.0])
    assert weights(samples, 0.5) == pytest.approx([0.5, 1.0, 1.5, 0.5, 1.5, 1.0])
    assert weights(samples, 0.2, "pooled") == pytest.approx([0.8, 1.0, 1.2, 0.8, 1.0, 1.0])
    assert weights(samples, 0.2, "uniform") == [1.0] * 6
    assert weights(samples, 0.2, "stored") == [0.3] * 6


def test_a_known_range_is_used_instead_of_the_observed_one():
    known = {("m", "s"): (-2, 2)}
    assert weights([mined(0), mined(2)], 0.2, "paper", known) == pytest.approx([1.0, 1.2])


def test_samples_without_a_pair_weigh_one_and_widen_no_range():
    wrong = HardSample(GuardExample("How?", source="s"), REQUEST, (), 0, 4, None, None, 0.3, "m")
    assert weights([mined(-2), wrong, mined(0)], 0.2) == pytest.approx([0.8, 1.0, 1.2])
    assert weights([mined(-2), wrong, mined(0)], 0.2, "pooled") == pytest.approx([0.8, 1.0, 1.2])


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from([-2, 0, 2])),
        max_size=30,
    ),
    st.floats(0, 0.99),
)
def test_each_group_is_weighed_as_if_it_were_alone(found, gamma):
    samples = [mined(d, model, source) for model, source, d in found]
    together = weights(samples, gamma)
    for group in {(model, source) for model, source, _ in found}:
        places = [i for i, (model, source, _) in enumerate(found) if (model, source) == group]
        alone = weights([samples[i] for i in places], gamma, "pooled")
        assert [together[i] for i in places] == alone


# Which right and which wrong one


def test_a_random_pair_is_the_same_for_a_row_whatever_else_there_is():
    answers = [verdict(length=n) for n in range(1, 9)] + [
        verdict(REQUEST, length=n) for n in range(1, 9)
    ]
    drawn = {}
    for number in range(20):
        one = GuardExample(f"How {number}?", None, GOLD)
        found = find_hard_sample(one, answers, "random", 7)
        again = find_hard_sample(one, answers, "random", 7)
        assert (found.chosen, found.rejected) == (again.chosen, again.rejected)
        assert found.generations[found.chosen].correct is True
        assert found.generations[found.rejected].correct is False
        drawn[number] = (found.chosen, found.rejected)
    assert len(set(drawn.values())) > 10
    assert row_seed(7, GuardExample("p")) != row_seed(8, GuardExample("p"))
    assert row_seed(7, GuardExample("p")) != row_seed(7, GuardExample("p", "r"))


def test_a_pair_needs_both_sides():
    found = find_hard_sample(example(), [verdict(), verdict(REQUEST)])
    assert choose_pair(found.generations) == (0, 1)
    with pytest.raises(ValueError, match="needs a right and a wrong"):
        choose_pair(found.generations[:1])


# Where all agree against the gold


def test_answers_that_agree_against_the_gold_make_a_sample_without_a_pair():
    answers = [verdict(REQUEST), verdict(error="?"), verdict(REQUEST, REFUSAL)]
    found = find_all_wrong(example(), answers, "m", {"seed": 3})
    assert (found.task, found.k_correct, found.k_incorrect) == (REQUEST, 0, 2)
    assert (found.chosen, found.rejected) == (None, None)
    assert (found.model, found.sampling) == ("m", {"seed": 3})
    assert [one.correct for one in found.generations] == [False, None, False]
    assert hardness(found) == "all_wrong"


def test_the_first_task_on_which_all_are_wrong_is_told():
    assert find_all_wrong(example(), [verdict(RESPONSE), verdict(RESPONSE)]).task is RESPONSE


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [verdict(), verdict()],
        [verdict(REQUEST), verdict()],
        [verdict(REQUEST)],  # one answer agrees with nothing
        [verdict(REQUEST), verdict(error="?")],
        [Verdict({REQUEST: None}, "", "x")] * 3,  # no label that the gold one might be
        [verdict(REFUSAL), verdict(REFUSAL, RESPONSE, error="?")],
    ],
)
def test_anything_else_is_not_all_wrong(answers):
    assert find_all_wrong(example(response=None), answers) is None


# Another gold label


def test_a_relabel_turns_all_wrong_into_settled_and_back():
    before = find_all_wrong(example(None, {REQUEST: "harmful"}), [verdict(REQUEST)] * 3, "m")
    after = rejudge(before, {REQUEST: "unharmful"})
    assert (hardness(after), after.k_correct, after.k_incorrect) == ("settled", 3, 0)
    assert (after.chosen, after.rejected, after.model) == (None, None, "m")
    assert after.example.gold == {REQUEST: "unharmful"}
    assert rejudge(after, {REQUEST: "harmful"}) == before


def test_a_relabel_swaps_the_sides_of_a_hard_sample():
    answers = [verdict(length=5), verdict(REQUEST, length=7), verdict(REQUEST, length=6)]
    before = find_hard_sample(example(), answers, model="m", sampling={"seed": 1})
    after = rejudge(before, GOLD | {REQUEST: "unharmful"})
    assert (before.chosen, before.rejected) == (0, 1)
    assert (after.chosen, after.rejected, after.k_correct, after.k_incorrect) == (1, 0, 2, 1)
    assert (after.model, after.sampling, after.task) == ("m", {"seed": 1}, REQUEST)
    assert rejudge(after, GOLD) == before


def test_without_the_task_s_gold_another_task_makes_the_pair_or_none():
    answers = [verdict(), verdict(REQUEST, REFUSAL)]
    before = find_hard_sample(example(), answers)
    other = rejudge(before, {REFUSAL: "refusal"})
    assert (hardness(other), other.task) == ("hard", REFUSAL)
    none = rejudge(before, {})
    assert (hardness(none), none.task, none.k_correct, none.k_incorrect) == (
        "settled", REQUEST, 0, 0,
    )  # fmt: skip
