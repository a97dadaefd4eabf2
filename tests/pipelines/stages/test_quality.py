"""Reasoning-quality DPO: scripted answers, real scoring, real training of the tiny model."""

import json

import pytest

from pipelines import base_models
from pipelines.classify import Moderator
from pipelines.datasets import read_dataset
from pipelines.engines import pacing
from pipelines.learnt import learnt_by
from pipelines.pair_sets import describe_pair_set, read_pairs, read_samples
from pipelines.schema import EndpointError, InputError, StopRequested
from pipelines.stages import quality
from pipelines.stages.base import build_config
from pipelines.template import GuardTemplate
from tests.chat_server import Reply, chat_server
from tests.tiny_runs import INSTRUCTION, Recorder, ScriptedEngine, answer, rows, write_rows

TRACE = "# Task 1\n\n## Reasoning Step 1\n{}\n\n## Reasoning Step 2\n{}\n\n---\n\n"
GOOD, VAGUE = "Somebody asks about {} at breakfast, a cosy habit.", "Analyze the request."


def text_of(prompt):
    return next(word for word in ("tea", "rain", "kite", "chess", "bread") if word in prompt)


def script(prompt, number):
    """tea, rain (right: harmful, unharmful): good, vague, wrong, a loop; a kite: equal answers;
    chess: never right; the rest says nothing of use."""
    if "tea" in prompt or "rain" in prompt:
        label, other = ("harmful", "unharmful") if "tea" in prompt else ("unharmful", "harmful")
        good = TRACE.format(GOOD.format(text_of(prompt)), f"The request is {label}.")
        vague = TRACE.format(VAGUE, f"The request is {label}.")
        wrong = TRACE.format(VAGUE, f"The request is {other}.")
        return (vague + answer(label), good + answer(label), wrong + answer(other), "Hm. " * 30)[
            number
        ]
    if "a kite" in prompt:
        return answer("harmful")
    if "chess" in prompt:
        return ("Pawns. " * number) + answer("harmful")
    return "I would rather not say."


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "rows.jsonl")


@pytest.fixture
def engine(monkeypatch, tiny_base):
    """A moderator of scripted answers wherever the stage opens one."""
    engine = ScriptedEngine(script)
    tokenizer = base_models.load_tokenizer(tiny_base)

    def open_scripted(ref, _settings, *, device, progress):
        return Moderator(str(ref), engine, GuardTemplate(instruction=INSTRUCTION), tokenizer)

    monkeypatch.setattr(quality, "open_moderator", open_scripted)
    return engine


@pytest.fixture
def values(tiny_adapter, data):
    return {
        "adapter": str(tiny_adapter),
        "dataset": str(data),
        "answers_at_once": 2,
        "batch_size": 1,
        "epochs": 2,
        "save_steps": 1,
        "learning_rate": 5e-3,
        "beta": 0.1,
        "precision": "fp32",
        "device": "cpu",
    }


def tune(values, context):
    quality.run(build_config(quality.STAGE, None, values), context)
    return context


def test_pairs_by_score_then_an_adapter(engine, values, tmp_path, home):
    context = tune(values, Recorder(tmp_path))
    (kind, folder, name, details), (second, adapter, called, about) = context.made
    assert (kind, second) == ("pair_set", "adapter")
    assert name == "2 pairs by reasoning quality"
    assert called.startswith("Reasoning-quality DPO of ")
    assert about["pairs"] == 2
    pairs = {row["prompt"]: row for row in read_pairs(str(folder))}
    tea = pairs["Tell me of tea 0"]
    assert tea["chosen"].startswith("# Task 1\n\n## Reasoning Step 1\nSomebody asks about tea")
    assert tea["rejected"] == "Hm. " * 30
    assert (tea["weight"], tea["k_correct"], tea["k_incorrect"]) == (1.0, 2, 1)
    assert tea["sampling"]["scorer"] == "computed"
    assert tea["sampling"]["scores"][1] == max(tea["sampling"]["scores"])
    assert details["pairs_sha256"] == describe_pair_set(str(folder))["sha256"]
    assert (details["rows"], details["pairs"], details["answers"]) == (8, 2, 32)
    info = json.loads((adapter / "training_info.json").read_text())
    assert (info["stage"], info["parent"]["stage"]) == ("quality", "rsft")
    assert info["dataset"]["sha256"] == details["pairs_sha256"]
    assert info["dataset"]["rows"] == 2
    assert info["dataset"]["rows_sha256"] == read_dataset(values["dataset"]).sha256
    learnt = learnt_by(str(adapter))
    assert (learnt.unread_pairs, len(learnt.preferred)) == ([], 8)
    assert GuardTemplate.load(adapter) == GuardTemplate(instruction=INSTRUCTION)
    margins = [values["reward_margin"] for _, values in context.rows if "reward_margin" in values]
    assert margins[-1] > margins[0] == pytest.approx(0, abs=1e-4)


def test_the_inspector_gets_the_samples(engine, values, tmp_path, home):
    context = tune(values | {"max_steps": 1}, Recorder(tmp_path))
    assert {one.example.prompt for one in context.found} == {
        "Tell me of tea 0", "Tell me of rain 1"
    }  # fmt: skip
    assert all((one.chosen, one.rejected) == (1, 3) for one in context.found)
    assert read_samples(str(context.made[0][1])) == context.found
    ((text, counts),) = context.remarks
    assert text.startswith("2 pairs from 8 conversations; mean score ")
    assert counts["not_judged"] == 0
    assert context.rows[0] == (0, counts)


def test_the_scores_are_kept_with_their_evidence(engine, values, tmp_path, home):
    tune(values | {"max_steps": 1}, Recorder(tmp_path))
    lines = (tmp_path / "scores.jsonl").read_text("utf-8").rstrip("\n").split("\n")
    assert len(lines) == 8
    checks = json.loads(lines[0])["answers"][0]["checks"]
    assert ["specificity", "concrete"] in [check[:2] for check in checks]


def test_without_a_pair_it_is_an_error_with_advice(engine, values, tmp_path, home):
    engine.script = lambda prompt, number: script(prompt, number % 3)  # no loops
    with pytest.raises(InputError, match="none of the 8 conversations has a right answer") as no:
        tune(values | {"min_gap": 0.95}, Recorder(tmp_path))
    assert "lower min_gap" in no.value.advice


def test_weights_by_gap_are_stored_and_trained_with(engine, values, tmp_path, home):
    engine.script = lambda prompt, number: (
        script(prompt, number) if number < 3 or "tea" in prompt else script(prompt, 0)
    )
    context = tune(values | {"pair_weights": "gap", "gamma": 0.5, "rho": 0.0}, Recorder(tmp_path))
    weights = {row["prompt"]: row["weight"] for row in read_pairs(str(context.made[0][1]))}
    assert weights == {"Tell me of tea 0": 1.5, "Tell me of rain 1": 0.5}
    # At the reference each pair adds weight x log 2; a batch is one pair.
    first = [row["loss"] for step, row in context.rows if step == 1]
    assert first[0] == pytest.approx(1.5 * 0.6931, abs=1e-3) or first[0] == pytest.approx(
        0.5 * 0.6931, abs=1e-3
    )


def test_a_run_stopped_while_answering_draws_nothing_twice(engine, values, tmp_path, home):
    values = values | {"max_steps": 1}
    whole = tune(values, Recorder(tmp_path / "whole"))
    engine.prompts.clear()
    with pytest.raises(StopRequested, match="4 of 8 conversations are answered"):
        tune(values, Recorder(tmp_path / "job", stop_at=4))
    engine.prompts.clear()
    again = tune(values, Recorder(tmp_path / "job"))
    assert len(engine.prompts) == 4
    assert read_pairs(str(again.made[0][1])) == read_pairs(str(whole.made[0][1]))


def test_a_run_stopped_in_training_goes_on_without_answering(engine, values, tmp_path, home):
    whole = tune(values, Recorder(tmp_path / "whole"))

    class StopInTraining(Recorder):
        def should_stop(self):
            return any("loss" in row for _, row in self.rows)

    first = StopInTraining(tmp_path / "job")
    with pytest.raises(StopRequested, match=r"stopped at step 2 of \d"):
        tune(values, first)
    engine.prompts.clear()
    second = tune(values, Recorder(tmp_path / "job"))
    assert engine.prompts == []
    assert [kind for kind, *_ in second.made] == ["pair_set", "adapter"]
    assert second.made[0][1] == first.made[0][1]
    losses = [row["loss"] for one in (first, second) for _, row in one.rows if "loss" in row]
    expected = [row["loss"] for _, row in whole.rows if "loss" in row]
    assert losses == pytest.approx(expected, abs=1e-4)


# With a judge


def judge_values(values, server):
    return values | {
        "scorer": "judge", "judge_url": server.url, "judge_model": "judge-1", "max_steps": 1
    }  # fmt: skip


def grades(body, _number):
    """The judge likes vague reasoning best, and can't be brought to grade loops."""
    case = body["messages"][1]["content"]
    if "Hm. Hm." in case:
        return "I won't."
    grade = 1.0 if VAGUE in case else 0.0
    return json.dumps({"coherence": grade, "relevance": grade, "specificity": grade, "why": "so"})


def test_a_judge_decides_instead(engine, values, tmp_path, home):
    with chat_server(grades) as server:
        context = tune(judge_values(values, server), Recorder(tmp_path))
        asked = len(server.requests)
        pairs = {row["prompt"]: row for row in read_pairs(str(context.made[0][1]))}
        tea = pairs["Tell me of tea 0"]
        assert tea["chosen"].startswith(TRACE.split("{}")[0] + VAGUE)
        assert "Somebody asks" in tea["rejected"]
        assert tea["sampling"]["scorer"] == "judge-1"
        assert tea["sampling"]["scores"] == [1.0, 0.3, 0.7, None]
        assert context.made[0][3]["not_judged"] == 2
        tune(judge_values(values, server), Recorder(tmp_path))
        assert len(server.requests) == asked


def test_a_judge_that_goes_away_is_asked_on_after_a_resume(
    engine, values, tmp_path, home, monkeypatch
):
    monkeypatch.setattr(pacing, "FIRST_PAUSE_SECONDS", 0.01)
    with chat_server(lambda body, n: Reply(status=401) if n >= 18 else grades(body, n)) as server:
        with pytest.raises(EndpointError):
            tune(judge_values(values, server) | {"judge_parallel": 1}, Recorder(tmp_path))
        kept = (tmp_path / "scores.jsonl").read_text("utf-8").count("\n")
        assert 0 < kept < 8
        before = len(server.requests)
    engine.prompts.clear()
    with chat_server(grades) as server:
        context = tune(judge_values(values, server), Recorder(tmp_path))
        assert len(context.made) == 2
        assert engine.prompts == []
        assert 0 < len(server.requests) < 40 - before


# What is refused, and what is told, beforehand


def check(values):
    return quality.check(build_config(quality.STAGE, None, values))


def test_the_check_tells_what_is_planned(values):
    assert check(values) == ["8 conversations, 32 answers, 8 pairs at most"]
    judge = {"scorer": "judge", "judge_url": "http://127.0.0.1:9/v1", "judge_model": "j"}
    assert check(values | judge)[1] == "up to 32 requests to j, retries apart"


def test_conversations_are_counted_once(values, tmp_path):
    twice = write_rows(tmp_path / "twice.jsonl", [*rows(3), *rows(3)])
    assert check(values | {"dataset": str(twice)})[0].startswith("3 conversations, 12 answers")


@pytest.mark.parametrize("name", ["judge_url", "judge_model"])
def test_a_judge_must_be_named(values, name):
    judge = {"scorer": "judge", "judge_url": "http://127.0.0.1:9/v1", "judge_model": "j"}
    with pytest.raises(InputError, match=f"{name}: a value is needed where scorer=judge"):
        check(values | judge | {name: ""})


def test_an_adapter_is_needed(data):
    with pytest.raises(InputError, match="adapter: a value is needed"):
        check({"dataset": str(data)})


@pytest.mark.parametrize(("name", "value"), [("judge_url", "ftp://x"), ("judge_key_env", "sk-9")])
def test_faulty_addresses_and_keys_are_named_and_not_repeated(values, name, value):
    with pytest.raises(InputError, match=f"^{name}: must be ") as caught:
        build_config(quality.STAGE, None, values | {name: value})
    assert value not in str(caught.value)


@pytest.mark.parametrize(("preset", "conversations"), [("toy", 1_000), ("full", 10_000)])
def test_presets_take_as_many_as_specified(preset, conversations):
    config = build_config(quality.STAGE, preset)
    assert (config.max_rows, config.k) == (conversations, 4)


def test_fields_that_both_phases_have_stand_once():
    assert build_config(quality.STAGE, None, {"seed": 3, "adapter": "x"}).seed == 3


def test_the_check_awaits_rows_that_are_to_come(values):
    assert check(values | {"dataset": "job:7"})[0] == "4 answers to each row that job:7 will make"


def test_the_workload_is_that_of_pairs(values):
    work = quality.STAGE.workload(build_config(quality.STAGE, None, values))
    assert (work.kind, work.row_name, work.rows) == ("training", "pairs", 8)
    assert 0 < work.longest <= 2048
