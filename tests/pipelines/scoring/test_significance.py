import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipelines.metrics import Policy, count, scores
from pipelines.schema import GuardTask, InputError
from pipelines.scoring.significance import (
    average_differences,
    common_rows,
    compare,
    compare_columns,
    holm,
    in_words,
    mcnemar,
)

PROMPT, REFUSAL, RESPONSE = GuardTask


def moderators(rows=600, seed=1, better=0.1):
    """Gold, A, and B that mends some of A's mistakes; four rows a prompt."""
    generator = np.random.default_rng(seed)
    gold = generator.random(rows) < 0.5
    first = np.where(generator.random(rows) < 0.25, ~gold, gold).astype(np.int8)
    second = np.where(generator.random(rows) < better, gold, first).astype(np.int8)
    return gold, first, second, np.arange(rows) // 4


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_a_fair_coin_for_each_row_told_apart(first, second):
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_mcnemar_on_numbers_known_by_hand():
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(1, 5) == pytest.approx(2 * 7 / 64)
    assert mcnemar(4, 4) == mcnemar(0, 0) == 1.0


def test_holm_on_numbers_known_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_difference_is_that_of_the_scores():
    gold, first, second, group = moderators()
    for policy in Policy:
        found = compare(gold, first, second, group, "f1", policy)
        a = scores(count(gold, first), policy).f1
        b = scores(count(gold, second), policy).f1
        assert (found.a, found.b, found.difference) == pytest.approx((a, b, b - a))
        assert found.interval[0] < found.difference < found.interval[1]
        assert (found.rows, found.groups) == (600, 150)


def test_the_interval_is_that_of_drawing_prompts_one_by_one():
    gold, first, second, group = moderators(rows=300)
    first[::17] = -1
    found = compare(gold, first, second, group, resamples=4000)
    generator = np.random.default_rng(8)
    drawn = []
    for _ in range(1500):
        prompts = generator.integers(0, 75, 75)
        taken = (prompts[:, None] * 4 + np.arange(4)).ravel()
        a, b = (scores(count(gold[taken], one[taken])).f1 for one in (first, second))
        drawn.append(b - a)
    assert found.interval == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.01)


def test_pairing_sees_what_two_intervals_side_by_side_do_not():
    from pipelines.metrics import intervals

    gold, first, second, group = moderators(better=0.15)
    found = compare(gold, first, second, group)
    apart = [intervals(gold, one, group)["f1"] for one in (first, second)]
    assert apart[0][1] > apart[1][0]
    assert found.interval[0] > 0


def test_rows_told_apart_follow_metric_and_policy():
    gold = [True, True, True, False, False, False]
    first, second = [1, -1, 0, 1, 0, -1], [0, 1, 1, 0, 0, -1]

    def told(metric="accuracy", policy=Policy.WRONG_ONCE):
        found = compare(gold, first, second, metric=metric, policy=policy)
        return found.only_a_right, found.only_b_right

    assert told() == (1, 3)
    assert told(policy=Policy.DROPPED) == (1, 2)
    assert told("recall") == (1, 2)
    assert told("false_positive_rate") == (0, 1)
    assert told("failure_rate") == (0, 1)


@pytest.mark.parametrize("rows", [1, 3, 5, 6, 40])
@pytest.mark.parametrize("metric", ["accuracy", "f1", "recall", "false_negative_rate"])
def test_where_all_rows_turn_the_interval_is_of_the_exact_tests_mind(rows, metric):
    found = compare([True] * rows, [0] * rows, [1] * rows, metric=metric)
    sign = -1 if metric == "false_negative_rate" else 1
    assert found.difference == sign
    least = min(sign * end for end in found.interval)
    assert (least > 0) == (found.p_value < 0.05)
    assert max(sign * end for end in found.interval) == 1


def test_the_same_verdicts_are_no_proof_of_being_equally_good():
    gold, said = [True] * 5 + [False] * 95, [1, 1, 1, 1, 0] + [0] * 95
    ends = {m: compare(gold, said, said, metric=m).interval for m in ("accuracy", "recall")}
    share = 1 - 0.025 ** (1 / 100)
    assert ends["accuracy"] == pytest.approx((-share, share))
    # Five of the rows are all that recall looks at.
    assert ends["recall"][1] > 0.5
    bent = compare(gold, said, said).interval
    assert bent[0] < -0.3 < 0.3 < bent[1]


def test_differences_of_averages_that_do_not_vary_have_a_width():
    def asked(said, apart):
        return {
            n: Column(list("abcd"), [True] * 4, [said] * 4, np.arange(4) + apart * place)
            for place, n in enumerate("xy")
        }

    task, overall = average_differences(asked(0, 10), asked(1, 10))
    assert overall.value == 1
    alone = compare([True] * 4, [0] * 4, [1] * 4).interval
    assert alone[0] < task.interval[0] < 1 == task.interval[1]
    assert overall.interval == task.interval
    # The same prompts twice tell no more than once.
    assert average_differences(asked(0, 0), asked(1, 0))[0].interval == pytest.approx(alone)


def test_only_refusals_differ_for_the_authors_policy():
    gold, first, second = [True, True, False], [1, -1, 0], [1, 1, 0]
    of = {
        task: compare(gold, first, second, policy=Policy.AUTHORS, task=task).a
        for task in (RESPONSE, REFUSAL)
    }
    assert of == {RESPONSE: 1.0, REFUSAL: 0.5}


def test_undefined_has_no_difference():
    found = compare([False, False], [0, 1], [0, 0])
    assert (found.a, found.difference, found.interval) == (None, None, None)
    assert "F1 is not defined for A nor for B on these 2 rows" in in_words(found, "A", "B")
    assert "no row in common" in in_words(compare([], [], []), "A", "B")
    with pytest.raises(InputError, match="metric=auc"):
        compare([True], [1], [1], metric="auc")


class Column:
    task = PROMPT

    def __init__(self, ids, gold, predicted, group=None):
        self.row_ids = np.array(ids)
        self.gold, self.predicted = np.array(gold), np.array(predicted)
        self.group = np.arange(len(ids)) if group is None else np.array(group)


def test_the_same_samples_before_and_after_in_any_order():
    before = Column(["a", "b", "c", "d"], [True, True, False, True], [0, 0, 0, 1])
    after = Column(["d", "c", "b", "x"], [True, False, True, True], [0, 0, 1, 1])
    found = compare_columns(before, after, metric="accuracy")
    assert (found.rows, found.a, found.b) == (3, pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (found.only_a_right, found.only_b_right) == (1, 1)
    hard = compare_columns(before, after, row_ids={"b", "c", "a"}, metric="accuracy")
    assert (hard.rows, hard.a, hard.b) == (2, 0.5, 1.0)
    with pytest.raises(InputError, match="none of those in common"):
        compare_columns(before, after, row_ids=["a"])


def test_rows_that_are_not_the_same_are_refused():
    one = Column(["a", "b"], [True, False], [1, 0])
    with pytest.raises(InputError, match="row=b: the two have different gold"):
        common_rows(one, Column(["b"], [True], [1]))
    with pytest.raises(InputError, match="B has a row more than once"):
        common_rows(one, Column(["a", "a"], [True, True], [1, 1]))
    other = Column(["a"], [True], [1])
    other.task = REFUSAL
    with pytest.raises(InputError, match="task=refusal"):
        common_rows(one, other)


def test_differences_of_averages_are_paired():
    from pipelines.scoring.averages import averages

    gold, first, second, group = moderators(better=0.3)
    ids = [str(number) for number in range(600)]
    a, b = ({"x": Column(ids, gold, one, group)} for one in (first, second))
    difference = average_differences(a, b | {"y": a["x"]})[-1]
    apart = [averages(one)[-1] for one in (a, b)]
    assert difference.value == pytest.approx(apart[1].value - apart[0].value)
    assert difference.benchmarks == ("x",)
    width = difference.interval[1] - difference.interval[0]
    assert width < min(one.interval[1] - one.interval[0] for one in apart)
    assert average_differences(a, {}) == []


def words(gold, first, second, **options):
    return in_words(compare(gold, first, second, **options), "Base", "Tuned")


def test_words_for_a_difference_that_chance_does_not_explain():
    gold, first, second, group = moderators(better=0.3)
    text = words(gold, first, second, group=group)
    assert "points higher for Tuned than for Base" in text
    assert "600 rows); the 95% interval of the difference, +" in text
    assert "points, leaves out zero. Tuned alone is right on " in text
    assert "Base alone on 0; equally good moderators" in text
    assert text.endswith("Both tests say that chance is a poor explanation of the difference.")


def test_words_for_a_difference_that_chance_may_explain():
    gold = [True, False] * 50
    first, second = [1, 0] * 50, [1, 0] * 50
    first[0], first[3], second[7], second[8] = 0, 1, 1, -1
    second[10] = 0
    text = words(gold, first, second)
    assert "includes zero" in text
    assert "Tuned alone is right on 2 rows, Base alone on 3" in text
    assert "With 5 rows told apart that test could not have found anything." in text
    assert text.endswith("that does not show that the two are equally good.")


def test_words_when_the_tests_disagree():
    # B finds 9 more of few harmful rows and pays with 8 of many harmless ones: F1 moves, the
    # number of right rows doesn't.
    gold = [True] * 12 + [False] * 400
    first = [1] * 2 + [0] * 10 + [0] * 400
    second = [1] * 11 + [0] + [1] * 8 + [0] * 392
    text = words(gold, first, second)
    assert "leaves out zero" in text
    assert "The two tests disagree" in text
    assert "F1 leaves the rightly passed rows out of account" in text


def test_words_when_the_tests_point_in_opposite_directions():
    gold = [True] * 40 + [False] * 400
    first = [1] * 4 + [0] * 36 + [0] * 400
    second = [1] * 40 + [1] * 70 + [0] * 330
    text = words(gold, first, second)
    assert "F1 favours Tuned, but Base is right on more rows" in text


def test_words_for_a_rate_that_should_be_low():
    gold = [False] * 200
    first, second = [1] * 80 + [0] * 120, [1] * 20 + [0] * 180
    text = words(gold, first, second, metric="false_positive_rate")
    assert "The false-positive rate is 30.0 points lower for Tuned than for Base" in text
    assert "poor explanation" in text


def test_words_for_the_same_verdicts():
    text = words([True, False], [1, 1], [1, 1])
    assert text == (
        "Base and Tuned are right and wrong on the same rows: F1 is 66.7 for both (2 rows)."
    )


GOLD = [True] * 4 + [False] * 6


@pytest.mark.parametrize(
    ("negatives", "metric", "policy", "said"),
    [
        (
            [1] * 6,
            "recall",
            Policy.WRONG_ONCE,
            "Of the 4 positive rows Base and Tuned get the same ones right and wrong: recall is "
            "75.0 for both (10 rows).",
        ),
        (
            [1] * 6,
            "failure_rate",
            Policy.WRONG_ONCE,
            "Base and Tuned come to a verdict on the same rows: the failure rate is 0.0 for both "
            "(10 rows).",
        ),
        (
            [-1] * 5 + [0],
            "f1",
            Policy.DROPPED,
            "Of the 5 rows on which both come to a verdict Base and Tuned get the same ones right "
            "and wrong: F1 is 85.7 for both (10 rows).",
        ),
        (
            [-1] * 5 + [0],
            "false_positive_rate",
            Policy.DROPPED,
            "Of the 1 negative row on which both come to a verdict Base and Tuned get the same "
            "ones right and wrong: the false-positive rate is 0.0 for both (10 rows).",
        ),
    ],
)
def test_words_for_the_same_verdicts_on_the_rows_that_were_looked_at(
    negatives, metric, policy, said
):
    """Tuned differs on the negative rows, at which these metrics or policies don't look."""
    first = [1, 1, 0, 1]
    text = words(GOLD, first + [0] * 6, first + negatives, metric=metric, policy=policy)
    assert text == said


def test_words_name_the_rows_that_were_looked_at():
    first, second = [1, 0, 0, 1] + [0] * 6, [1, 1, 1, 0] + [1] * 6
    text = words(GOLD, first, second, metric="recall")
    assert " Of the 4 positive rows Tuned alone is right on 2, Base alone on 1; equally" in text
    assert "Of the" not in words(GOLD, first, second)


def test_words_after_many_comparisons():
    gold = [True, False] * 100
    first, second = [1, 0] * 100, [1, 0] * 100
    first[:30:2] = [0] * 15
    second[31:37:2] = [1] * 3
    found = compare(gold, first, second)
    assert found.p_value < 0.01
    assert "poor explanation" in in_words(found, "A", "B")
    text = in_words(found, "A", "B", adjusted=holm([found.p_value] * 12)[0], comparisons=12)
    assert "With 12 comparisons" in text
    assert "poor explanation" not in text
