"""Gates: what an evaluation came to, against a line or against another evaluation."""

import re

import pytest

from pipelines.gates import check_gates, is_hard, judge, parse_gates, require, state_of
from pipelines.schema import GateError, GuardTask, InputError
from tests.evaluation_runs import evaluated, evaluation

PROMPT, REFUSAL, RESPONSE = GuardTask
# 20 rows: 8 of 10 positives found, 1 of 10 negatives flagged, one without a verdict.
GOLD = "1" * 10 + "0" * 10
SAID = "1" * 8 + "0-" + "1" + "0" * 9


@pytest.fixture
def ours(tmp_path):
    return evaluated(
        tmp_path / "ours",
        {
            "Aegis": ("prompt", GOLD, SAID),
            "Simple": ("prompt", "1111", "1110"),
            "XSTest": ("refusal", "1100" * 5, "1100" * 5),
            "hard_samples": ("prompt", "1010" * 3, "1011" * 3),
        },
    )


@pytest.fixture
def before(tmp_path):
    return evaluated(
        tmp_path / "before",
        {
            "Aegis": ("prompt", GOLD, "1" * 10 + "0" * 10),
            "Simple": ("prompt", "1111", "1000"),
            "hard_samples": ("prompt", "1010" * 3, "0011" * 3),
        },
        name="before",
    )


def one(line, *evaluations):
    (result,) = judge(parse_gates(line), *evaluations)
    return result


@pytest.mark.parametrize(
    ("line", "value"),
    [
        # 17 of 20, 3 of 4 and 20 of 20; the hard samples count nowhere else.
        ("accuracy >= 0.8", 40 / 44),
        ("accuracy[Aegis] >= 0.8", 17 / 20),
        ("prompt.accuracy >= 0.8", 20 / 24),
        ("parse_failures < 5%", 1 / 44),
        ("parse_failures[Aegis] <= 5%", 1 / 20),
        ("fpr < 20%", 1 / 20),
        ("prompt.fpr < 20%", 1 / 10),
        ("recall > .7", 21 / 24),
        ("f1[Aegis] >= 0.8", 16 / 19),
        ("hard_samples.accuracy >= 0.75", 3 / 4),
        ("hard_samples.f1 >= 0.75", 4 / 5),
        ("prompt.f1 >= 0.8", (20 * 16 / 19 + 4 * 6 / 7) / 24),
        ("overall >= 0.8", ((20 * 16 / 19 + 4 * 6 / 7) / 24 + 1) / 2),
        ("f1 >= 0.8", ((20 * 16 / 19 + 4 * 6 / 7) / 24 + 1) / 2),
    ],
)
def test_each_figure_is_of_its_rows(ours, line, value):
    result = one(line, ours)
    assert result.value == pytest.approx(value)
    assert result.passed
    assert result.interval[0] <= result.value <= result.interval[1]
    assert (result.subject, result.reference, result.why) == ("ours", "", "")


def test_differences_are_of_the_same_rows(ours, before):
    gain = one("hard_samples.accuracy +20 points", ours, before)
    assert (gain.value, gain.target, gain.reference) == (pytest.approx(0.25), 0.2, "before")
    assert gain.state == "pass_by_chance"
    assert re.fullmatch(
        r"passes, but not beyond chance: \+25\.0 \[[+-]\d+\.0, \+\d+\.\d\] "
        r">= \+20\.0 points against before",
        gain.words,
    )
    drop = one("accuracy[Aegis] within 2 points", ours, before)
    assert drop.value == pytest.approx(-3 / 20)
    assert not drop.passed
    # Better than the reference is within any distance of it.
    assert one("f1[Simple] within 0 points", ours, before).passed
    average = one("prompt.f1 within 10 points", ours, before)
    assert average.value == pytest.approx((20 * (16 / 19 - 1) + 4 * (6 / 7 - 2 / 5)) / 24)
    failures = one("prompt.parse_failures within 5 points", ours, before)
    assert failures.value == pytest.approx(1 / 24)
    assert failures.passed


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("overall within 2 points", "before was not asked XSTest"),
        ("f1[Other] >= 0.5", "Other is not among the benchmarks (Aegis, Simple, XSTest, hard_"),
        ("response.f1 >= 0.5", "there is no benchmark of the task response_harmfulness (Aegis"),
        ("fpr[Simple] < 0.5", "no row is of the negative class"),
        ("fpr[Simple] within 5 points", "no row is of the negative class"),
    ],
)
def test_what_can_not_be_judged_is_missed(ours, before, line, why):
    result = one(line, ours, before)
    assert (result.state, result.passed, result.value) == ("unknown", False, None)
    assert why in result.words
    assert result.words.startswith("can't be judged: ")


def test_without_a_reference_nothing_is_compared(ours):
    assert one("f1 +1 points", ours).words == "can't be judged: there is no reference evaluation"


def test_averages_of_samples_weigh_as_the_whole_benchmarks(tmp_path):
    def asked(name, aegis, simple):
        said = {("Aegis", PROMPT): aegis, ("Simple", PROMPT): simple}
        return evaluation(tmp_path / name, name, said, of_rows={"Aegis": 900, "Simple": 100})

    after, before = asked("after", "TTTT", "TTmm"), asked("before", "TTmm", "TTTT")
    low, high = 2 / 3, 1
    assert one("f1 >= 0.5", after).value == pytest.approx(0.9 * high + 0.1 * low)
    gain = one("overall +1 points", after, before)
    assert gain.value == pytest.approx(0.8 * (high - low))


def test_rows_in_one_of_both_are_left_out_and_told(tmp_path, ours):
    fewer = evaluated(tmp_path / "few", {"Aegis": ("prompt", GOLD[:12], SAID[:12])}, name="few")
    result = one("accuracy[Aegis] within 1 points", ours, fewer)
    assert (result.rows, result.value) == (12, 0)
    assert result.words.endswith("points against few (12 of 20 rows are in both)")
    other = evaluated(tmp_path / "other", {"Aegis": ("prompt", "0" * 20, SAID)})
    assert "different gold labels" in one("f1[Aegis] within 1 points", ours, other).why


def test_the_point_decides_and_chance_is_told():
    (least,) = parse_gates("f1 >= 0.5")
    (most,) = parse_gates("fpr < 0.5")
    assert state_of(least, 0.6, (0.55, 0.65)) == "pass"
    assert state_of(least, 0.6, (0.45, 0.65)) == "pass_by_chance"
    assert state_of(least, 0.5, (0.5, 0.6)) == "pass"
    # Without an interval nothing rules chance out.
    assert state_of(least, 0.5, None) == "pass_by_chance"
    assert state_of(least, 0.4, None) == "fail_by_chance"
    assert state_of(least, 0.4, (0.35, 0.45)) == "fail"
    assert state_of(least, 0.4, (0.35, 0.55)) == "fail_by_chance"
    assert state_of(least, None, None) == "unknown"
    assert state_of(most, 0.5, (0.5, 0.6)) == "fail"
    assert state_of(most, 0.4, (0.3, 0.5)) == "pass_by_chance"


def test_a_share_is_not_missed_for_rounding():
    (gate,) = parse_gates("f1 +30 points")
    assert state_of(gate, 0.9 - 0.6, (0.9 - 0.6, 0.5)) == "pass"


@pytest.mark.parametrize(
    "line",
    ["overall >= 0.99", "f1 >= 0.99", "accuracy +5 points", "f1[A] +5 points", "f1 +5 points"],
)
def test_a_few_rows_all_alike_are_not_beyond_chance(tmp_path, line):
    """Resamples of rows that came out alike don't vary; that is no certainty."""

    def saying(said, name):
        asked = dict.fromkeys("AB", ("prompt", "11", said * 2))
        return evaluated(tmp_path / name, asked, name=name)

    after, before = saying("1", "after"), saying("0", "before")
    result = one(line, after, before)
    assert (result.state, result.value) == ("pass_by_chance", 1)
    assert result.interval[0] < result.interval[1]
    same = one("accuracy within 2 points", after, saying("1", "again"))
    assert (same.state, same.value) == ("pass_by_chance", 0)
    assert same.interval[0] == pytest.approx(-same.interval[1])
    assert same.interval[1] > 0.5


def test_many_rows_all_alike_are_beyond_chance(tmp_path):
    asked = [{"A": ("prompt", "1" * 400, said * 400)} for said in "01"]
    before, after = (evaluated(tmp_path / str(n), one) for n, one in enumerate(asked))
    for line in ("accuracy +90 points", "f1 +90 points"):
        assert one(line, after, before).state == "pass"
    assert one("accuracy within 2 points", after, after).state == "pass"


def test_gates_are_checked_before_the_run():
    asked = {"Aegis": PROMPT, "XSTest": REFUSAL}
    good = parse_gates("f1 >= 0.5\nf1[Aegis] >= 0.5\nrefusal.f1 >= 0.5")
    check_gates(good, asked, reference=False)
    for line, said in {
        "f1 +1 points": "gate=f1 +1 points: compares, and there is no reference",
        "f1[Beaver] > 0.5": "Beaver is not among the benchmarks (Aegis, XSTest)",
        "response.f1 > 0.5": "there is no benchmark of the task response_harmfulness",
        "hard_samples.f1 > 0.5": "there are no hard samples among the benchmarks",
    }.items():
        with pytest.raises(InputError, match=re.escape(said)):
            check_gates(parse_gates(line), asked, reference=False)
    check_gates(parse_gates("hard_samples.f1 +1 points"), {"Hard samples": PROMPT}, reference=True)


def test_hard_samples_are_told_by_name():
    assert is_hard("hard_samples")
    assert is_hard("Hard samples, prompt")
    assert not is_hard("OpenAIModeration")


def test_a_missed_gate_is_an_error_that_names_it(ours):
    results = judge(parse_gates("accuracy >= 0.1\naccuracy >= 0.99"), ours)
    require(results[:1])
    with pytest.raises(GateError, match=r"^1 of 2 gates missed\. accuracy >= 0.99: fails: 90\.9"):
        require(results)
    require([])
