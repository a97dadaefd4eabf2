"""The grammar of gates: what a line means, and what is said of one that means nothing."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.gate_lines import FIGURES, HARD, LOWER_IS_BETTER, TASKS, parse_gate, parse_gates
from pipelines.schema import GuardTask, InputError

PROMPT = GuardTask.PROMPT_HARMFULNESS


@pytest.mark.parametrize(
    ("line", "metric", "kind", "operator", "value"),
    [
        ("accuracy >= 0.60", "accuracy", "value", ">=", 0.6),
        ("accuracy≥60%", "accuracy", "value", ">=", 0.6),
        ("Accuracy > .6", "accuracy", "value", ">", 0.6),
        ("parse_failures < 1%", "failure_rate", "value", "<", 0.01),
        ("fpr<=12.5 %", "false_positive_rate", "value", "<=", 0.125),
        ("accuracy +5 points", "accuracy", "gain", ">=", 0.05),
        ("accuracy + 1 point", "accuracy", "gain", ">=", 0.01),
        ("fpr -5 points", "false_positive_rate", "gain", "<=", -0.05),
        ("fpr \u22125pp", "false_positive_rate", "gain", "<=", -0.05),
        ("overall within 2 points", "f1", "within", ">=", -0.02),
        ("overall within 2 points of the reference", "f1", "within", ">=", -0.02),
        ("parse_failures within .5 points", "failure_rate", "within", "<=", 0.005),
    ],
)
def test_a_line_is_data(line, metric, kind, operator, value):
    gate = parse_gate(line)
    found = (gate.metric, gate.kind, gate.operator, gate.value)
    assert found == (metric, kind, operator, pytest.approx(value))
    assert (gate.task, gate.benchmark, gate.hard) == (None, None, False)
    assert gate.compares == (kind != "value")
    assert gate.lower_is_better == (metric in LOWER_IS_BETTER)


@pytest.mark.parametrize(
    ("line", "task", "benchmark", "hard"),
    [
        ("prompt.f1 >= 0.7", PROMPT, None, False),
        ("refusal.recall >= 0.7", GuardTask.REFUSAL, None, False),
        ("hard_samples.accuracy +5 points", None, None, True),
        ("f1[OpenAIModeration] >= 0.45", None, "OpenAIModeration", False),
        ("f1 [ my file: 2 ]>=0.45", None, "my file: 2", False),
    ],
)
def test_a_line_names_its_rows(line, task, benchmark, hard):
    gate = parse_gate(line)
    assert (gate.task, gate.benchmark, gate.hard) == (task, benchmark, hard)
    assert gate.text == " ".join(line.split())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("accuracy", "gate=accuracy: must be FIGURE >= 0.60 (also >, <=, <, and 60%)"),
        ("accuracy = 0.6", "gate=accuracy = 0.6: must be FIGURE"),
        ("good >= 0.6", "good is no figure (allowed: overall, accuracy, balanced_accuracy, f1"),
        ("prompts.f1 >= 0.6", "prompts. is no part (allowed: prompt, response, refusal, hard_"),
        ("overall.f1 >= 0.6", "overall. is no part"),
        ("accuracy >= 60", "60 must be a number from 0 to 1, or from 0% to 100%"),
        ("accuracy >= 101%", "101% must be a number from 0 to 1"),
        ("accuracy >= nan", "nan must be a number"),
        ("accuracy >= 1e-3", "1e-3 must be a number"),
        ("f1 within two points", "two must be a number of points from 0 to 100"),
        ("f1 +101 points", "101 must be a number of points"),
        ("fpr +5 points", "fpr is better when lower: must be -N points, or within N points"),
        ("f1 -5 points", "f1 is better when higher: must be +N points"),
        ("prompt.f1[Aegis] >= 0.6", "a benchmark has one task: must be f1[Aegis]"),
        ("f1[ ] >= 0.6", "names no benchmark between [ and ]"),
        ("f1 >= 0." + "6" * 400, "must have at most 300 letters"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(line, said):
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        parse_gate(line)
    assert str(caught.value).startswith("gate=")


def test_many_lines():
    text = "accuracy >= 0.6\n\n  f1   >= 0.5 \n"
    assert [gate.text for gate in parse_gates(text)] == ["accuracy >= 0.6", "f1 >= 0.5"]
    assert parse_gates(text.splitlines()) == parse_gates(text)
    assert parse_gates("") == []
    with pytest.raises(InputError, match=r"gate=f1 >= 0\.5: is there twice"):
        parse_gates("f1 >= 0.5\nf1  >= 0.5")


SCOPES = st.sampled_from(["", *(f"{name}." for name in (*TASKS, HARD))])
BENCHMARK = st.text(st.characters(exclude_characters="[]", categories=["L", "N", "P"]), min_size=1)


@given(
    scope=SCOPES,
    name=st.sampled_from([*FIGURES]),
    operator=st.sampled_from([">=", ">", "<=", "<"]),
    thousandths=st.integers(0, 1000),
    gap=st.sampled_from(["", " ", "  "]),
)
def test_every_value_line_says_the_same_as_a_fraction_and_in_percent(
    scope, name, operator, thousandths, gap
):
    left = f"{scope}{name}{gap}{operator}{gap}"
    fraction = parse_gate(f"{left}{thousandths / 1000}")
    percent = parse_gate(f"{left}{thousandths / 10}%")
    assert (fraction.metric, fraction.task, fraction.hard) == (
        FIGURES[name],
        TASKS.get(scope.rstrip(".")),
        scope == f"{HARD}.",
    )
    assert fraction.operator == percent.operator == operator
    assert fraction.value == pytest.approx(percent.value)
    assert fraction.value == pytest.approx(thousandths / 1000)


@given(name=st.sampled_from([*FIGURES]), tenths=st.integers(0, 1000), benchmark=BENCHMARK)
def test_a_comparison_never_asks_to_become_worse(name, tenths, benchmark):
    lower = FIGURES[name] in LOWER_IS_BETTER
    gain = parse_gate(f"{name}[{benchmark}] {'-' if lower else '+'}{tenths / 10} points")
    slack = parse_gate(f"{name}[{benchmark}] within {tenths / 10} points")
    assert gain.benchmark == slack.benchmark == benchmark
    assert gain.operator == slack.operator == ("<=" if lower else ">=")
    assert gain.value == -slack.value == pytest.approx((-1 if lower else 1) * tenths / 1000)
    with pytest.raises(InputError, match="is better when"):
        parse_gate(f"{name}[{benchmark}] {'+' if lower else '-'}{tenths / 10} points")


@given(st.text(max_size=80))
def test_any_text_is_a_gate_or_a_named_error(text):
    with suppress(InputError):
        gate = parse_gate(text)
        assert parse_gate(gate.text) == gate
