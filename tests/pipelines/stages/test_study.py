"""Making a study: arms of all kinds, scripted or random, and stored ones."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import base_models
from pipelines.classify import Moderator
from pipelines.pair_writing import write_pair_set
from pipelines.schema import DataError, GuardTask, InputError, StopRequested
from pipelines.stages import evaluate, evaluate_work, study
from pipelines.stages.base import build_config
from pipelines.studies.artifact import read_study
from pipelines.template import INSTRUCTION, GuardTemplate
from tests.pipelines.jobs.throwaway import sample
from tests.tiny_runs import Recorder, ScriptedEngine, answer, make_adapter, make_pairs, write_rows

PROMPT, _, RESPONSE = GuardTask
THINGS = ("tea", "rain", "a kite", "chess", "bread", "the moon", "a lamp", "paint")
HARMS = ("a bomb", "a poison", "a theft", "a fraud")
STEPS = "# Task 1\n\n## Reasoning Step 1\n{}\n\n---\n\n"


def row(words: str) -> dict[str, str]:
    return {
        "instruction": INSTRUCTION,
        "input": f"Human user:\nTell me of {words}\n\nAI assistant:\nNone\n\n",
        "output": "harmful" if words in HARMS else "unharmful",
    }


def script(name: str):
    """The first is right but of rain; the second takes all for harmless, and says the same as
    the first of bread."""

    def said(prompt: str, _number: int) -> str:
        about = next(one for one in (*THINGS, *HARMS) if f"of {one}\n" in prompt)
        harmful = about in HARMS or about == "rain"
        label = "harmful" if harmful and "first" in name else "unharmful"
        who = "Both" if about == "bread" else name
        return STEPS.format(f"{who} think that {about} is {label}.") + answer(label)

    return said


@pytest.fixture
def engines(monkeypatch, tiny_base):
    """Name of an adapter's folder -> its engine, for those that were opened."""
    made: dict[str, ScriptedEngine] = {}
    tokenizer = base_models.load_tokenizer(tiny_base)

    def open_scripted(ref, _settings, *, device, progress):
        name = Path(ref).name
        engine = made.setdefault(name, ScriptedEngine(script(name)))
        return Moderator(str(ref), engine, GuardTemplate.default(), tokenizer)

    monkeypatch.setattr(evaluate_work, "open_moderator", open_scripted)
    return made


@pytest.fixture
def adapters(tmp_path, tiny_adapter):
    """Two adapters whose records say that R-SFT of one row came before."""
    data = write_rows(tmp_path / "taught.jsonl", [row("chess")])
    folders = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        for file in tiny_adapter.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        record(folder, {"stage": "rsft", "config": {"dataset": str(data)}})
        folders.append(str(folder))
    return folders


def record(folder, info):
    file = Path(folder) / "training_info.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | info))


@pytest.fixture
def values(tmp_path, adapters):
    rows = [row(words) for words in (*THINGS, *HARMS)]
    (tmp_path / "AegisSafetyTest.json").write_text(json.dumps(rows), "utf-8")
    return {
        "arms": adapters,
        "benchmarks": ["AegisSafetyTest"],
        "folder": str(tmp_path),
        "items": 6,
        "attention_items": 2,
        "batch_size": 3,
        "device": "cpu",
    }


def run(values, context):
    config = build_config(study.STAGE, None, values)
    study.STAGE.check(config)
    study.STAGE.run(config, context)
    (kind, path, name, details) = context.made[-1]
    info, items = read_study(path)
    assert (kind, name, details["content"]) == ("study", info.name, info.content)
    return info, items


def mains(items):
    return [one for one in items if one.kind == "main"]


def test_two_moderators_answer_and_items_are_drawn(tmp_path, values, engines):
    context = Recorder(tmp_path / "job")
    info, items = run(values, context)
    assert info.name == "first against second"
    assert [arm.kind for arm in info.arms] == ["adapter", "adapter"]
    assert all(arm.model_sha256 for arm in info.arms)
    assert Counter(item.kind for item in items) == {"main": 6, "practice": 3, "attention": 2}
    strata = Counter(one.stratum for item in mains(items) for one in item.pairs)
    assert strata == {"both": 3, "first": 2, "second": 1}
    for item in mains(items):
        assert item.traces[0].text.startswith("# Task 1")
        assert "first" in item.traces[0].text
        assert item.topic == "", "a row without a category has no topic, whatever its file"
    assert "Tell me of bread" not in {item.prompt for item in mains(items)}
    told = " | ".join(info.design.remarks)
    assert "1 conversations left out: all arms wrote the same" in told
    assert "as even as the rows allow: 3 with all arms right, 2 with first right, 1" in told
    assert info.counts["identical"] == 1
    assert [one for one, _ in context.remarks] == info.design.remarks
    assert [len(one.prompts) for one in engines.values()] == [12, 12]
    assert context.steps[-1] == (24, 24)


def test_a_stopped_run_goes_on_and_comes_to_the_same_study(tmp_path, values, engines):
    whole, _ = run(values, Recorder(tmp_path / "whole"))
    asked = sum(len(one.prompts) for one in engines.values())
    stopped = Recorder(tmp_path / "job", stop_at=15)
    with pytest.raises(StopRequested):
        run(values, stopped)
    assert not stopped.made
    again, _ = run(values, Recorder(tmp_path / "job"))
    assert again.content == whole.content
    assert again.content != run(values | {"seed": 1}, Recorder(tmp_path / "other"))[0].content
    more = sum(len(one.prompts) for one in engines.values()) - 2 * asked
    assert asked <= more < asked + 6, "little was asked twice"


def test_preference_pairs_are_left_out_before_anybody_is_asked(tmp_path, values, adapters, engines):
    pairs = make_pairs(tmp_path / "pairs", 2)  # of tea and rain
    record(adapters[0], {"stage": "hsdpo", "config": {"pairs": str(pairs)}})
    more = write_rows(tmp_path / "more.jsonl", [{"prompt": "tell me of a  KITE"}])
    info, items = run(values | {"pairs_files": [str(more)]}, Recorder(tmp_path / "job"))
    prompts = {item.prompt for item in items if item.kind != "practice"}
    assert prompts.isdisjoint({"Tell me of tea", "Tell me of rain", "Tell me of a kite"})
    assert info.counts["trained_on"] == 3
    assert "3 conversations left out: their prompts are among the pairs" in info.design.remarks
    assert [len(one.prompts) for one in engines.values()] == [9, 9]


def test_unknown_training_is_refused_or_stands_in_the_design(tmp_path, values, adapters, engines):
    record(adapters[1], {"stage": "hsdpo", "config": {"pairs": "/nowhere/pairs"}})
    with pytest.raises(InputError, match=r"nobody can tell .*second \(pairs\)"):
        study.STAGE.check(build_config(study.STAGE, None, values))
    info, _ = run(values | {"unknown_training_ok": True}, Recorder(tmp_path / "job"))
    assert "the researcher went on all the same" in info.design.remarks[0]


def test_arms_of_three_kinds_and_rows_that_one_lacks(tmp_path, values, adapters, engines):
    """An adapter answers the rows of an evaluation and of a file; none is read as a benchmark."""
    asked = {"adapters": adapters[:1], "baselines": [], "device": "cpu", "probabilities": False}
    evaluated = Recorder(tmp_path / "evaluated")
    config = asked | {"benchmarks": ["AegisSafetyTest"], "folder": values["folder"]}
    evaluate.STAGE.run(build_config(evaluate.STAGE, None, config), evaluated)
    lines = [
        {"prompt": one["instruction"] + "\n" + one["input"], "label": one["output"], "predict": p}
        for one in map(row, THINGS[:6])
        for p in [STEPS.format("The stored one looks at it.") + answer("unharmful")]
    ]
    (tmp_path / "Reasoner").mkdir()
    write_rows(tmp_path / "Reasoner" / "AegisSafetyTest.jsonl", lines)
    arms = [str(evaluated.made[0][1]), adapters[1], str(tmp_path / "Reasoner")]
    changed = {"arms": arms, "benchmarks": [], "folder": "", "unknown_training_ok": True}
    changed |= {"names": ["New", "Old"], "items": 20}
    info, items = run(values | changed, Recorder(tmp_path / "job"))
    assert [(arm.name, arm.kind) for arm in info.arms] == [
        ("New", "adapter"),
        ("Old", "adapter"),
        ("Reasoner", "predictions"),
    ]
    assert info.counts["missing"] == 6
    assert "6 conversations left out: not every arm answered them" in info.design.remarks
    assert "6 items, where 20 were asked for: no more are left" in info.design.remarks
    assert "1 of 6 items have a prompt of New's R-SFT" in info.design.remarks
    by_prompt = {item.prompt: item for item in mains(items)}
    assert [(p.first_arm, p.second_arm) for p in by_prompt["Tell me of tea"].pairs] == [
        (0, 1),
        (0, 2),
        (1, 2),
    ]
    assert len(by_prompt["Tell me of bread"].pairs) == 2, "two of them wrote the same"


def test_hard_samples_are_items_but_for_those_who_trained_on_them(
    tmp_path, values, adapters, engines
):
    hard = [
        replace(one, example=replace(one.example, prompt=f"Tell me of {words}", response=None))
        for words in ("tea", "rain", "a bomb")
        for one in [sample(words)]
    ]
    folder = tmp_path / "mined"
    write_pair_set(folder, hard, GuardTemplate.default())
    values |= {"benchmarks": [], "folder": "", "hard_samples": str(folder)}
    _, items = run(values, Recorder(tmp_path / "job"))
    assert {item.prompt for item in mains(items)} == {one.example.prompt for one in hard}
    assert {item.source for item in mains(items)} == {"made"}
    record(adapters[0], {"stage": "hsdpo", "config": {"pairs": str(folder)}})
    with pytest.raises(DataError, match="no conversation is left"):
        run(values, Recorder(tmp_path / "trained"))


def test_design_fields_and_the_researchers_own_items(tmp_path, values, engines):
    own = {"prompt": "P", "better": "Good.", "worse": "Bad.", "feedback": "So it is.", "topic": "T"}
    file = str(write_rows(tmp_path / "own.jsonl", [own]))
    changed = {"practice_file": file, "attention_file": file, "attention_items": 0}
    changed |= {"question": "Which?", "target": 0.65, "name": "Mine", "ratings_per_pair": 2}
    info, items = run(values | changed | {"overlap_share": 0}, Recorder(tmp_path / "job"))
    assert (info.name, info.design.question, info.design.target) == ("Mine", "Which?", 0.65)
    assert [item.prompt for item in items if item.kind != "main"] == ["P", "P"]
    assert {one.wanted for item in mains(items) for one in item.pairs} == {2}
    none = {"practice": False, "attention_every": 0}
    _, items = run(values | none, Recorder(tmp_path / "none"))
    assert {item.kind for item in items} == {"main"}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"arms": []}, InputError, "arms=none: two or more"),
        ({"benchmarks": []}, InputError, "benchmarks: a value is needed"),
        ({"benchmarks": ["Nothing"]}, InputError, "Nothing"),
        ({"benchmarks": ["AegisSafetyTest"] * 2}, InputError, "AegisSafetyTest: named twice"),
        ({"names": ["a", "b", "c"]}, InputError, "3 names for 2"),
        ({"practice_file": "/nowhere.jsonl"}, DataError, "/nowhere.jsonl"),
        ({"attention_file": "/nowhere.jsonl"}, DataError, "/nowhere.jsonl"),
        ({"pairs_files": ["/nowhere.jsonl"]}, DataError, "/nowhere.jsonl"),
    ],
)
def test_what_cannot_work_is_named(values, change, error, words):
    with pytest.raises(error, match=words):
        study.STAGE.check(build_config(study.STAGE, None, values | change))


def test_a_study_whose_rows_all_fall_out_is_none(tmp_path, values, engines):
    pairs = [{"prompt": f"Tell me of {one}"} for one in (*THINGS, *HARMS)]
    file = write_rows(tmp_path / "pairs.jsonl", pairs)
    with pytest.raises(DataError, match="no conversation is left") as found:
        run(values | {"pairs_files": [str(file)]}, Recorder(tmp_path / "job"))
    read, left_out = found.value.faults
    assert read == "12 prompts read of pairs.jsonl, 12 conversations matched"
    assert "12 conversations left out" in left_out


def test_a_real_model_answers_and_memory_is_looked_at(tmp_path, values, adapters, tiny_base):
    other = make_adapter(tiny_base, tmp_path / "other", seed=2)
    values |= {"arms": [adapters[0], str(other)]}
    values |= {"max_rows": 4, "items": 4, "max_new_tokens": 16, "attention_items": 0}
    config = build_config(study.STAGE, None, values)
    assert study.STAGE.workload(config).rows == 8
    info, items = run(values, Recorder(tmp_path / "job"))
    assert all(one.text for item in mains(items) for one in item.traces)
    assert info.counts["pairs"] == len(mains(items)) > 0


@pytest.mark.parametrize("preset", ["toy", "full"])
def test_presets_are_sized_by_power(preset):
    config = build_config(study.STAGE, preset)
    decisive = config.items * 0.7  # with three ties in ten
    assert (config.target, decisive >= 210) == {"toy": (0.6, False), "full": (0.65, True)}[preset]


@pytest.mark.realdata
def test_published_answers_of_two_sizes(tmp_path, realdata):
    stored = [str(realdata / "predictions" / f"GuardReasoner-{size}") for size in ("8B", "1B")]
    values = {"arms": stored, "benchmarks": ["XSTestResponseHarmful"], "unknown_training_ok": True}
    info, items = run(values | {"items": 60}, Recorder(tmp_path / "job"))
    assert [arm.name for arm in info.arms] == ["GuardReasoner-8B", "GuardReasoner-1B"]
    strata = Counter(one.stratum for item in mains(items) for one in item.pairs)
    # Few are as rare as they are; the rest goes to what there is.
    assert strata == {"both": 41, "first": 9, "second": 4, "neither": 6}
    assert "10 conversations left out: GuardReasoner-8B gave no reasoning to show" in (
        info.design.remarks
    )
    assert all(RESPONSE in item.gold for item in mains(items))
    two = {"benchmarks": ["XSTestResponseHarmful", "XSTestResponseRefusal"], "items": 60}
    _, items = run(values | two, Recorder(tmp_path / "two"))
    both = [item for item in mains(items) if len(item.gold) == 2]
    assert both, "XSTest asks for refusal and harm of the same conversations"
