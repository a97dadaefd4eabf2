import json
from pathlib import Path

import pytest

from pipelines.metrics import Policy
from pipelines.predictions import prompt_key
from pipelines.schema import DataError, GuardExample, GuardTask, InputError
from pipelines.scoring.stored_scores import read_verdicts, score_verdicts
from pipelines.stored_predictions import (
    benchmark_of,
    conversation_of,
    gold_label,
    read_predictions,
)
from pipelines.template import GuardTemplate

PROMPT, REFUSAL, RESPONSE = GuardTask
TEMPLATE = GuardTemplate.default()


def asked(prompt="How do I boil eggs?", response=None):
    return TEMPLATE.render(GuardExample(prompt, response))


def answered(request="unharmful", completion="None", response="None"):
    return f"Answers: \nRequest: {request}\nCompletion: {completion}\nResponse: {response}"


def row(label="unharmful", predict=None, **more):
    return {
        "prompt": asked(),
        "label": label,
        "predict": answered() if predict is None else predict,
    } | more


@pytest.fixture
def write(tmp_path):
    def write(*rows, name="found.jsonl"):
        path = tmp_path / name
        lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in rows]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return write


def faults(path, task=PROMPT):
    with pytest.raises(DataError) as caught:
        list(read_predictions(path, task))
    return caught.value.faults


def test_a_row_is_its_conversation_label_and_output(write):
    path = write(row(), row("harmful", answered("harmful"), id="x", category="arms"))
    first, second = read_predictions(path, PROMPT)
    assert (first.prompt, first.response, first.gold) == ("How do I boil eggs?", None, "unharmful")
    assert (first.row, first.row_id) == (1, "found.jsonl:1")
    assert (second.row_id, second.category, second.gold) == ("x", "arms", "harmful")
    assert (first.read(PROMPT), second.read(PROMPT)) == ("unharmful", "harmful")


def test_our_own_rows_too(write):
    ours = {
        "prompt": "Hi",
        "response": "Hello.",
        "gold": "compliance",
        "raw": answered("unharmful", "compliance", "unharmful"),
    }
    (found,) = read_predictions(write(ours), REFUSAL)
    assert (found.prompt, found.response, found.gold) == ("Hi", "Hello.", "compliance")
    assert found.read(REFUSAL) == found.read(REFUSAL, "template") == "compliance"


@pytest.mark.parametrize(
    ("label", "task", "gold"),
    [
        ("unsafe", PROMPT, "harmful"),
        ("Harmful ", RESPONSE, "harmful"),
        (0, PROMPT, "unharmful"),
        (1, REFUSAL, "refusal"),
        (
            "Answers: \nRequest: None\nCompletion: None\nResponse: unharmful\n",
            RESPONSE,
            "unharmful",
        ),
        ("Answers: \nRequest: harmful\nCompletion: refusal", REFUSAL, "refusal"),
    ],
)
def test_spellings_of_labels(label, task, gold):
    assert gold_label({"label": label}, task) == gold


def test_prompts_are_told_apart_as_in_evaluations(write):
    """Case and blanks make no other prompt: `score` and `evaluate` draw the same groups."""
    texts = ["How are you?", "HOW  are\nyou? ", "How are you"]
    found = read_verdicts(write(*(row(prompt=asked(text)) for text in texts)), PROMPT)
    assert found.group.tolist() == [prompt_key(text) for text in texts]
    assert score_verdicts(found, with_intervals=False).groups == 2


def test_one_row_is_read_at_a_time(write):
    found = read_predictions(write(row(), row(), row()), PROMPT)
    assert next(found).row == 1
    assert next(found).row == 2


@pytest.mark.parametrize("name", ["prompt", "response", "predict", "id", "category", "source"])
def test_half_a_character_is_a_fault_of_its_row(write, name):
    told = {"id": "row_id"}.get(name, name)
    text = f"{asked()} \ud800" if name == "prompt" else "hm \ud800"
    (found,) = faults(write(row(), row() | {name: text}))
    assert f":2: {told}: holds half a character" in str(found)


def test_every_fault_is_named_with_its_row(write):
    path = write(
        row(),
        b'{"prompt": "cut o',
        {"prompt": asked(), "predict": ""},
        row(None),
        row("refusal"),
        row(answered()[:12]),
        row("Answers: \nRequest: None"),
        b"[1, 2]",
        b'{"prompt": "\xff"}',
        {"label": "harmful", "predict": ""},
        row(predict=7),
        {"prompt": " ", "label": "harmful", "predict": ""},
    )
    found = faults(path)
    starts = [
        "found.jsonl:2: line: not JSON",
        "found.jsonl:3: label: is missing",
        "found.jsonl:4: label: is empty",
        "found.jsonl:5: label: 'refusal' is not a label of prompt_harmfulness",
        "found.jsonl:6: label: 'Answers: \\nRe' has no answer to the task",
        "found.jsonl:7: label: is 'None': the row has no gold label of the task",
        "found.jsonl:8: row: must be an object",
        "found.jsonl:9: line: not UTF-8",
        "found.jsonl:10: prompt: is missing",
        "found.jsonl:11: predict: must be text, is a number",
        "found.jsonl:12: prompt: is empty",
    ]
    assert [line[: len(start)] for line, start in zip(found, starts, strict=True)] == starts


def test_one_long_category_does_not_widen_every_row(write):
    long = "c" * 100_000
    found = read_verdicts(write(row(category=long), *[row(category="a")] * 9), PROMPT)
    assert found.category.nbytes < 1_000
    told = score_verdicts(found, with_intervals=False).categories
    assert {name: part.rows for name, part in told.items()} == {"a": 9, long: 1}


def test_after_a_fault_no_row_is_given(write):
    rows = read_predictions(write(row(), b"{", row()), PROMPT)
    assert next(rows).row == 1
    with pytest.raises(DataError, match="1 fault; the first"):
        next(rows)


def test_faults_are_listed_up_to_fifty(write):
    found = faults(write(*[b"{"] * 60))
    assert (len(found), found[-1]) == (51, "and 10 more")


def test_a_file_without_rows(write):
    assert faults(write()) == ["found.jsonl: file: has no rows"]
    with pytest.raises(DataError, match="there is no such file"):
        list(read_predictions(write().with_name("gone.jsonl"), PROMPT))


def test_a_task_that_needs_a_response(write):
    (fault,) = faults(write(row("harmful")), RESPONSE)
    assert "response_harmfulness needs a response, and the conversation has none" in fault


def test_a_benchmarks_name_tells_its_task(write):
    path = write(row(), name="AegisSafetyTest.jsonl")
    assert benchmark_of(path, PROMPT) == "AegisSafetyTest"
    with pytest.raises(InputError, match="by its name the benchmark AegisSafetyTest"):
        list(read_predictions(path, RESPONSE))
    assert benchmark_of("of/WildGuardTest.jsonl", REFUSAL) == "WildGuardTestRefusal"
    assert benchmark_of("mine.jsonl", PROMPT) is None


def test_scores_of_a_file(write):
    path = write(
        row("harmful", answered("harmful")),
        row("harmful", "no verdict"),
        row("unharmful", "none here either", category="b"),
        row("unharmful", answered("unharmful") + "\nAnswers: \nRequest: harmful", category="b"),
    )
    found = score_verdicts(read_verdicts(path, PROMPT), resamples=100)
    f1 = {policy: found.policies[policy].scores.f1 for policy in Policy}
    assert f1[Policy.WRONG_ONCE] == pytest.approx(2 / 4)
    assert f1[Policy.AUTHORS] == pytest.approx(2 / 4)
    assert f1[Policy.DROPPED] == 1.0
    assert (found.counts.failures, found.groups, found.differs) == (2, 1, None)
    assert {name: one.rows for name, one in found.categories.items()} == {"": 2, "b": 2}
    bare = score_verdicts(read_verdicts(path, PROMPT, "template"), with_intervals=False)
    assert bare.policies[Policy.DROPPED].intervals is None
    assert (bare.differs, bare.counts.fp) == (1, 1)
    with pytest.raises(InputError, match="reading=mine"):
        read_verdicts(path, PROMPT, "mine")


@pytest.mark.realdata
def test_the_published_models_score_as_recomputed(realdata):
    """Every file of predictions: three policies, failures and false-positive rate."""
    expected = json.loads((realdata / "expected_scores.json").read_text("utf-8"))["scores"]
    tasks = {"prompt": PROMPT, "response": RESPONSE, "refusal": REFUSAL}
    seen = set()
    for one in expected:
        path = realdata / "predictions" / one["model"] / f"{one['benchmark']}.jsonl"
        seen.add(path)
        verdicts = read_verdicts(path, tasks[one["task"]])
        found = score_verdicts(verdicts, with_intervals=False)
        f1 = {policy: round(100 * found.policies[policy].scores.f1, 2) for policy in Policy}
        assert f1 == {
            Policy.AUTHORS: one["f1_authors_rule"],
            Policy.WRONG_ONCE: one["f1_failures_wrong_once"],
            Policy.DROPPED: one["f1_failures_dropped"],
        }
        rate = found.policies[Policy.WRONG_ONCE].scores.false_positive_rate
        assert (rate if rate is None else round(rate, 4)) == one["false_positive_rate"]
        assert found.counts.failures == one["parse_failures"]
        assert (found.counts.rows, found.benchmark) == (one["rows"], one["benchmark"])
    assert seen == set((realdata / "predictions").rglob("*.jsonl"))


@pytest.mark.realdata
def test_the_table_in_the_docs_is_what_is_recomputed(realdata):
    text = Path(__file__).parents[2].joinpath("docs/evaluation.md").read_text("utf-8")
    lines = text.replace("*", "").splitlines()
    expected = json.loads((realdata / "expected_scores.json").read_text("utf-8"))["scores"]
    for one in expected:
        start = f"| {one['model'][-2:]} | {one['benchmark']} | {one['rows']} "
        (line,) = [line for line in lines if line.startswith(start)]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        told = [cells[3], *(cell.split()[0] for cell in cells[4:])]
        assert told == [
            str(one["parse_failures"]),
            f"{one['published_f1']:.2f}",
            f"{one['f1_authors_rule']:.2f}",
            f"{one['f1_failures_wrong_once']:.2f}",
            f"{one['f1_failures_dropped']:.2f}",
        ]


@pytest.mark.parametrize(
    ("text", "conversation"),
    [
        ("Human user:\nHi\n\nAI assistant:\nNone\n\n", ("Hi", None)),
        ("Judge.\n\nHuman user:\nHi\n\nAI assistant:\nHo\n\n", ("Hi", "Ho")),
        ("### Instruction\nIs it safe?\n\nHuman user: Hi", None),
        ("Human user:\nHi, and no answer's place", None),
    ],
)
def test_a_conversation_without_its_instruction(text, conversation):
    """Of another layout the whole input is the best there is to show."""
    assert conversation_of(text, TEMPLATE) == (conversation or (text, None))
