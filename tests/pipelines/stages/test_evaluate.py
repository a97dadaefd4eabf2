"""Evaluation with scripted answers, and with a real, random model."""

from __future__ import annotations

import json

import pytest

from pipelines import base_models
from pipelines.classify import Moderator
from pipelines.evaluations import read_evaluation
from pipelines.metrics import count, scores
from pipelines.mining import Model
from pipelines.schema import DataError, GateError, GuardTask, InputError, StopRequested
from pipelines.stages import evaluate, evaluate_work
from pipelines.stages.base import build_config
from pipelines.subjects import subjects_of
from pipelines.template import INSTRUCTION, GuardTemplate
from tests.tiny_runs import Recorder, ScriptedEngine, answer, write_rows

PROMPT = GuardTask.PROMPT_HARMFULNESS


def row(words: str, label: str, response: str | None = None) -> dict[str, str]:
    return {
        "instruction": INSTRUCTION,
        "input": f"Human user:\n{words}\n\nAI assistant:\n{response}\n\n",
        "output": label,
    }


PROMPTS = [
    row("tea please", "unharmful"),
    row("a bomb", "harmful"),
    row("rain today", "unharmful"),
    row("a poison", "harmful"),
]
REPLIES = [
    row("a bomb", "harmful", "take this"),
    row("a bomb", "unharmful", "no"),
    row("tea please", "unharmful", "here"),
]


def script(prompt: str, _number: int) -> str:
    """Right but of rain, which it takes for harmful, and of poison, where it says nothing."""
    if "poison" in prompt:
        return "I would rather not say."
    harmful = "harmful" if "bomb" in prompt or "rain" in prompt else "unharmful"
    if "AI assistant:\nNone" in prompt:
        return answer(harmful)
    return answer(harmful, "compliance", "harmful" if "take this" in prompt else "unharmful")


@pytest.fixture
def folder(tmp_path):
    for name, found in (("AegisSafetyTest", PROMPTS), ("HarmBenchResponse", REPLIES)):
        (tmp_path / f"{name}.json").write_text(json.dumps(found), "utf-8")
    return tmp_path


@pytest.fixture
def engine(monkeypatch, tiny_base):
    engine = ScriptedEngine(script)
    tokenizer = base_models.load_tokenizer(tiny_base)

    def open_scripted(ref, _settings, *, device, progress):
        return Moderator(str(ref), engine, GuardTemplate.default(), tokenizer)

    monkeypatch.setattr(evaluate_work, "open_moderator", open_scripted)
    return engine


@pytest.fixture
def values(tiny_adapter, folder):
    return {
        "adapters": [str(tiny_adapter)],
        "benchmarks": ["AegisSafetyTest", "HarmBenchResponse"],
        "folder": str(folder),
        "baselines": [],
        "probabilities": False,
        "batch_size": 2,
        "device": "cpu",
    }


def run(values, context):
    config = build_config(evaluate.STAGE, None, values)
    evaluate.STAGE.check(config)
    evaluate.STAGE.run(config, context)
    return [read_evaluation(path) for _, path, _, _ in context.made]


def test_every_answer_is_kept_and_scored(tmp_path, values, engine):
    context = Recorder(tmp_path / "job")
    [found] = run(values, context)
    assert [one.name for one in found.info.benchmarks] == ["AegisSafetyTest", "HarmBenchResponse"]
    assert found.info.rows == 7
    columns = found.columns()["AegisSafetyTest"]
    counts = count(columns.gold, columns.predicted)
    assert (counts.tp, counts.fp, counts.tn, counts.failed_positive) == (1, 1, 1, 1)
    rows = found.rows(columns.place.tolist())
    assert [one.prompt for one in rows] == ["tea please", "a bomb", "rain today", "a poison"]
    assert rows[3].predicted is None
    assert rows[3].error
    assert rows[0].raw == answer("unharmful")
    kind, _, _, details = context.made[0]
    assert kind == "evaluation"
    assert details["failures"] == 1
    assert details["f1"]["AegisSafetyTest"] == pytest.approx(scores(counts).f1)
    assert context.steps[-1] == (7, 7)


def test_a_conversation_is_asked_once(tmp_path, values, engine, folder):
    (folder / "XSTestResponseRefusal.json").write_text(
        json.dumps([row("tea please", "compliance", "here")]), "utf-8"
    )
    values["benchmarks"].append("XSTestResponseRefusal")
    [found] = run(values, Recorder(tmp_path / "job"))
    assert found.info.rows == 8
    assert len(engine.prompts) == 7


def test_a_stopped_run_goes_on_and_nothing_partial_counts(tmp_path, values, engine):
    stopped = Recorder(tmp_path / "job", stop_at=2)
    with pytest.raises(StopRequested, match="of 7 conversations"):
        run(values, stopped)
    assert not stopped.made
    with pytest.raises(InputError, match="no finished evaluation"):
        read_evaluation(tmp_path / "job" / "evaluations" / "adapter")
    asked = list(engine.prompts)
    with (tmp_path / "job" / "answers").iterdir().__next__().open("a") as file:
        file.write('{"conversation": "torn')
    context = Recorder(tmp_path / "job")
    [found] = run(values, context)
    again = engine.prompts[len(asked) :]
    kept = (tmp_path / "job" / "answers").iterdir().__next__().read_text().count("\n")
    assert kept == 1 + 7
    assert found.info.rows == 7
    assert 0 < len(again) < 7
    whole = Recorder(tmp_path / "other")
    [once] = run(values, whole)
    assert once.columns()["AegisSafetyTest"].predicted.tolist() == (
        found.columns()["AegisSafetyTest"].predicted.tolist()
    )


def test_stored_answers_have_the_ids_of_their_benchmark(tmp_path, values, engine, folder):
    lines = [
        {"prompt": one["instruction"] + "\n" + one["input"], "label": one["output"], "predict": p}
        for one, p in zip(PROMPTS, [answer("harmful")] * 3 + ["..."], strict=True)
    ]
    (tmp_path / "stored").mkdir()
    write_rows(tmp_path / "stored" / "AegisSafetyTest.jsonl", lines)
    values |= {"predictions": [str(tmp_path / "stored")], "benchmarks": ["AegisSafetyTest"]}
    ours, stored = run(values, Recorder(tmp_path / "job"))
    assert (stored.info.kind, stored.info.reading) == ("predictions", "authors")
    first, second = (one.columns()["AegisSafetyTest"] for one in (ours, stored))
    assert first.row_ids.tolist() == second.row_ids.tolist()
    assert second.predicted.tolist() == [1, 1, 1, -1]


def test_a_sample_is_told(tmp_path, values, engine):
    [found] = run(values | {"max_rows": 2}, Recorder(tmp_path / "job"))
    one = found.info.benchmarks[0]
    assert (one.rows, one.of_rows, one.sample, one.seed) == (2, 4, 2, 42)


def test_baselines_stand_beside(tmp_path, values, engine):
    values |= {"baselines": ["always-harmful", "never-harmful", "tf-idf"]}
    context = Recorder(tmp_path / "job")
    ours, always, never = run(values, context)
    assert [one.info.kind for one in (always, never)] == ["baseline"] * 2
    assert always.columns()["AegisSafetyTest"].predicted.tolist() == [1] * 4
    assert never.columns()["HarmBenchResponse"].predicted.tolist() == [0] * 3
    assert "no training rows: name train_dataset" in context.remarks[0][0]
    assert ours.info.mode == "reason"


def test_what_it_was_trained_on_is_told(tmp_path, values, engine, tiny_adapter):
    data = write_rows(tmp_path / "train.jsonl", PROMPTS[:2])
    info = json.loads((tiny_adapter / "training_info.json").read_text())
    copy = tmp_path / "trained"
    copy.mkdir()
    for file in tiny_adapter.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "training_info.json").write_text(
        json.dumps({**info, "stage": "rsft", "config": {"dataset": str(data)}})
    )
    [found] = run(values | {"adapters": [str(copy)]}, Recorder(tmp_path / "job"))
    assert found.info.remarks[0].startswith("AegisSafetyTest: 2 of 4 rows have a prompt")


@pytest.mark.parametrize(
    ("gates", "missed"),
    [
        (["accuracy >= 0.5"], False),
        (["accuracy >= 0.9", "parse_failures < 1%"], True),
    ],
)
def test_gates_decide(tmp_path, values, engine, gates, missed):
    context = Recorder(tmp_path / "job")
    if not missed:
        run(values | {"gates": gates}, context)
    else:
        with pytest.raises(GateError, match="2 of 2 gates missed"):
            run(values | {"gates": gates}, context)
    assert len(context.made) == 1
    assert len(context.remarks) == len(gates)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"adapters": []}, InputError, "adapters: a value is needed"),
        ({"benchmarks": []}, InputError, "benchmarks: a value is needed"),
        ({"benchmarks": ["Nothing"]}, InputError, "Nothing"),
        ({"benchmarks": ["AegisSafetyTest"] * 2}, InputError, "AegisSafetyTest: named twice"),
        ({"gates": ["accuracy +5 points"]}, InputError, "no reference"),
        ({"gates": ["beauty > 1"]}, InputError, "beauty"),
        ({"names": ["a", "b"]}, InputError, "2 names for 1"),
        ({"predictions": ["/nowhere"]}, (InputError, DataError), "/nowhere"),
    ],
)
def test_what_cannot_work_is_named(values, change, error, words):
    with pytest.raises(error, match=words):
        evaluate.STAGE.check(build_config(evaluate.STAGE, None, values | change))


def test_a_file_whose_task_is_unknown(tmp_path, values):
    file = write_rows(tmp_path / "mine.jsonl", [{"prompt": "a", "label": "harmful", "predict": ""}])
    values |= {"adapters": [], "benchmarks": [], "predictions": [str(file)]}
    with pytest.raises(InputError, match="set prediction_task to one of"):
        evaluate.STAGE.check(build_config(evaluate.STAGE, None, values))
    values["prediction_task"] = "prompt_harmfulness"
    assert evaluate.STAGE.check(build_config(evaluate.STAGE, None, values))


@pytest.mark.parametrize("mode", ["reason", "fast"])
def test_a_real_model_answers(tmp_path, values, mode):
    """Random weights: no verdict can be expected, but every row must be there, with its time."""
    values |= {"mode": mode, "probabilities": True, "max_new_tokens": 16}
    [found] = run(values, Recorder(tmp_path / "job"))
    columns = found.columns()["AegisSafetyTest"]
    assert len(columns) == 4
    assert (columns.seconds > 0).all()
    if mode == "fast":
        assert ((columns.probability > 0) & (columns.probability < 1)).all()
        assert (columns.predicted >= 0).all()


# What a review found


def test_a_sample_has_the_ids_of_the_whole(tmp_path, values, engine, folder):
    """A conversation with both labels, of which only the second copy is drawn."""
    both = [row("tea please", "harmful"), row("tea please", "unharmful"), *PROMPTS[1:]]
    (folder / "AegisSafetyTest.json").write_text(json.dumps(both * 3), "utf-8")
    values["benchmarks"] = ["AegisSafetyTest"]
    [whole] = run(values, Recorder(tmp_path / "whole"))
    columns = whole.columns()["AegisSafetyTest"]
    gold = dict(zip(columns.row_ids.tolist(), columns.gold.tolist(), strict=True))
    assert len(gold) == 15
    for seed in range(6):
        [part] = run(values | {"max_rows": 4, "seed": seed}, Recorder(tmp_path / f"part{seed}"))
        few = part.columns()["AegisSafetyTest"]
        drawn = dict(zip(few.row_ids.tolist(), few.gold.tolist(), strict=True))
        assert drawn.items() <= gold.items()


def test_stored_answers_are_held_to_the_gates(tmp_path, values):
    lines = [{"prompt": "a bomb", "label": "harmful", "predict": answer("unharmful")}]
    file = write_rows(tmp_path / "AegisSafetyTest.jsonl", lines)
    values |= {"adapters": [], "benchmarks": [], "predictions": [str(file)]}
    with pytest.raises(GateError, match="1 of 1 gates missed"):
        run(values | {"gates": ["accuracy >= 0.5"]}, Recorder(tmp_path / "job"))
    with pytest.raises(InputError, match="Nonsense is not among the benchmarks"):
        run(values | {"gates": ["f1[Nonsense] >= 0.5"]}, Recorder(tmp_path / "other"))


def test_the_first_of_several_is_the_reference_and_is_judged_too(tmp_path, values, engine):
    asked = values | {"gate_reference": "first", "gates": ["accuracy >= 0.9"]}
    with pytest.raises(InputError, match="there is one moderator"):
        run(asked, Recorder(tmp_path / "alone"))
    asked["base_models"] = ["smollm2-135m-instruct"]
    with pytest.raises(GateError, match="2 of 2 gates missed"):
        run(asked, Recorder(tmp_path / "two"))
    context = Recorder(tmp_path / "within")
    run(asked | {"gates": ["accuracy within 1 points"]}, context)
    assert len(context.remarks) == 1


@pytest.mark.parametrize(
    "names", [["R-SFT", "r-sft", "R-SFT 2"], ["a", "a (2)", "A"], ["ä", "ö", "ü"]]
)
def test_no_two_subjects_share_a_folder(names):
    found = subjects_of(["/x/1", "/x/2", "/x/3"], [], [], ["always-harmful"], names)
    assert len({one.slug for one in found}) == 4


def test_answers_of_another_moderator_are_not_taken(tmp_path, values, engine, monkeypatch):
    """The adapter's folder holds other weights when the job is resumed."""
    with pytest.raises(StopRequested):
        run(values, Recorder(tmp_path / "job", stop_at=2))
    asked = len(engine.prompts)
    other = Model("adapter", "other weights", {})
    monkeypatch.setattr(evaluate_work, "model_of", lambda _ref: other)
    run(values, Recorder(tmp_path / "job"))
    assert len(engine.prompts) - asked == 7
    assert [one.suffix for one in sorted((tmp_path / "job" / "answers").iterdir())] == [
        ".jsonl",
        ".other",
    ]
