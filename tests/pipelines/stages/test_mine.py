"""Mining with scripted answers, and with a real, random model that says nothing of use."""

import json
import shutil

import pytest

from db import pair_sets, samples
from db.session import open_database
from pipelines import base_models
from pipelines.classify import Moderator
from pipelines.demo_base import sha256
from pipelines.hard_samples import hardness
from pipelines.jobs import queue
from pipelines.jobs.references import resolve_reference
from pipelines.jobs.worker import run_job
from pipelines.mining import model_of, weights_sha256
from pipelines.pair_sets import describe_pair_set, read_pairs, read_samples
from pipelines.schema import (
    DataError,
    GuardExample,
    GuardTask,
    InputError,
    NotFoundError,
    StopRequested,
)
from pipelines.stages import mine
from pipelines.stages.base import build_config
from pipelines.template import GuardTemplate
from tests.tiny_runs import INSTRUCTION, Recorder, ScriptedEngine, answer, rows, write_rows

ODD = "Thought\u2028 of\u2029 lines\u0085 and \x0b\x0c\x1c more.\n\n"


def script(prompt, number):
    """tea: always right; rain: 3 of 4; a kite: 1 of 4; the rest says nothing of use."""
    if "tea" in prompt:
        return answer("harmful")
    if "rain" in prompt:
        return answer("harmful") if number == 2 else ODD * (number == 1) + answer("unharmful")
    if "a kite" in prompt:
        wrong = ("Hm. " * number) + answer("unharmful")
        return answer("harmful") if number == 0 else wrong
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

    monkeypatch.setattr(mine, "open_moderator", open_scripted)
    return engine


@pytest.fixture
def values(tiny_adapter, data):
    return {"adapter": str(tiny_adapter), "dataset": str(data), "batch_size": 2, "device": "cpu"}


def dig(values, context):
    mine.run(build_config(mine.STAGE, None, values), context)
    return context


def by_prompt(context):
    return {sample.example.prompt: sample for sample in context.found}


def test_finds_what_the_model_is_unsure_of(engine, values, tmp_path, home):
    context = dig(values, Recorder(tmp_path))
    found = by_prompt(context)
    assert set(found) == {"Tell me of rain 1", "Tell me of a kite 2"}
    rain, kite = found["Tell me of rain 1"], found["Tell me of a kite 2"]
    assert (rain.k_correct, rain.k_incorrect, rain.weight) == (3, 1, pytest.approx(0.8))
    assert (kite.k_correct, kite.k_incorrect, kite.weight) == (1, 3, pytest.approx(1.2))
    assert (rain.chosen, rain.rejected) == (1, 2)
    assert (kite.chosen, kite.rejected) == (0, 3)
    assert {sample.task for sample in context.found} == {GuardTask.PROMPT_HARMFULNESS}


def test_gamma_spreads_the_weights(engine, values, tmp_path, home):
    context = dig(values | {"gamma": 0.5}, Recorder(tmp_path))
    assert sorted(sample.weight for sample in context.found) == pytest.approx([0.5, 1.5])


def test_the_sampling_is_as_configured_and_the_seed_moves_on(engine, values, tmp_path, home):
    dig(values | {"temperature": 0.4, "top_p": 0.8, "max_new_tokens": 99}, Recorder(tmp_path))
    first = engine.samplings[0]
    assert (first.temperature, first.top_p, first.max_new_tokens, first.n) == (0.4, 0.8, 99, 4)
    assert [one.seed for one in engine.samplings] == [42, 44, 46, 48]


def test_the_pair_set_holds_what_hsdpo_reads(engine, values, tmp_path, home):
    context = dig(values, Recorder(tmp_path))
    ((kind, folder, name, details),) = context.made
    assert (kind, name) == ("pair_set", "2 hard samples")
    assert details == {
        "rows": 8,
        "pairs": 2,
        "pairs_sha256": sha256(folder / "pairs.jsonl"),
        "all_wrong": 0,
        "mined_benchmark": [],
    }
    pairs = {row["prompt"]: row for row in read_pairs(str(folder))}
    kite = pairs["Tell me of a kite 2"]
    assert kite["chosen"] == answer("harmful")
    assert kite["rejected"] == "Hm. " * 3 + answer("unharmful")
    assert (kite["response"], kite["gold"]) == (None, {"prompt_harmfulness": "harmful"})
    assert (kite["k_correct"], kite["k_incorrect"], kite["weight"]) == (1, 3, pytest.approx(1.2))
    assert GuardTemplate.load(folder).instruction == INSTRUCTION
    info = describe_pair_set(str(folder))
    assert (info["rows"], info["weighting"], info["gamma"], info["pairing"]) == (
        2, "paper", 0.2, "longest"
    )  # fmt: skip
    record = info["record"]
    assert (record["rows"], record["pairs"], record["config"]["k"]) == (8, 2, 4)


def test_unicode_line_separators_survive_the_files(engine, values, tmp_path, home):
    """JSON may hold them as they are; they end no row."""
    context = dig(values, Recorder(tmp_path))
    (rain,) = [row for row in read_pairs(str(context.made[0][1])) if "rain" in row["prompt"]]
    assert rain["chosen"] == ODD + answer("unharmful")
    again = dig(values, Recorder(tmp_path))
    assert by_prompt(again)["Tell me of rain 1"].generations[1].text == ODD + answer("unharmful")
    assert len(engine.prompts) == 8


def test_metrics_count_samples_failures_and_tokens(engine, values, tmp_path, home):
    context = dig(values, Recorder(tmp_path))
    assert [step for step, _ in context.rows] == [2, 4, 6, 8]
    assert context.steps[-1] == (8, 8)
    last = context.rows[-1][1]
    assert last["hard_samples"] == 2
    assert last["parse_failure_rate"] == pytest.approx(5 / 8)
    assert last["tokens"] > 100


def test_a_stopped_run_draws_nothing_twice(engine, values, tmp_path, home):
    whole = dig(values, Recorder(tmp_path / "whole"))
    engine.prompts.clear()
    first = Recorder(tmp_path / "job", stop_at=4)
    with pytest.raises(StopRequested, match="stopped after 4 of 8 conversations"):
        dig(values, first)
    assert first.made == []
    kept = (first.directory / "generations.jsonl").read_text("utf-8").count("\n")
    assert kept == 4
    engine.prompts.clear()
    engine.samplings.clear()
    second = dig(values, Recorder(tmp_path / "job"))
    assert len(engine.prompts) == 4
    assert [one.seed for one in engine.samplings] == [46, 48]
    assert by_prompt(second) == by_prompt(whole)
    assert second.rows[-1] == whole.rows[-1]


def test_a_torn_line_is_drawn_again(engine, values, tmp_path, home):
    context = dig(values, Recorder(tmp_path))
    path = tmp_path / "generations.jsonl"
    # Inside the two bytes of a letter, for a kill respects no letters.
    path.write_bytes(path.read_bytes()[:-20] + "é".encode()[:1])
    engine.prompts.clear()
    again = dig(values, Recorder(tmp_path))
    assert len(engine.prompts) == 1
    assert by_prompt(again) == by_prompt(context)
    engine.prompts.clear()
    dig(values, Recorder(tmp_path))
    assert engine.prompts == []


def test_traces_of_one_conversation_are_mined_once(engine, values, tmp_path, home):
    twice = write_rows(tmp_path / "twice.jsonl", [*rows(3), *rows(3)])
    context = dig(values | {"dataset": str(twice)}, Recorder(tmp_path / "job"))
    assert len(engine.prompts) == 3
    assert len(context.found) == 2


def test_golds_of_one_conversation_are_joined():
    request, refusal = GuardTask.PROMPT_HARMFULNESS, GuardTask.REFUSAL
    one = GuardExample("p", "r", {request: "harmful"}, row_id="1", source="a")
    two = GuardExample("p", "r", {request: "unharmful", refusal: "refusal"}, row_id="2")
    other = GuardExample("p", None, {request: "harmful"}, row_id="3")
    first, second = mine.once_each([one, two, other])
    assert (first.row_id, first.source) == ("1", "a")
    assert first.gold == {request: "harmful", refusal: "refusal"}
    assert second.row_id == "3"


def seed_of(engine, sample):
    """The seed of the call in which the sample's conversation was asked."""
    place = next(i for i, text in enumerate(engine.prompts) if sample.example.prompt in text)
    return engine.samplings[place // 2].seed


def test_every_sample_tells_whose_answers_it_has(engine, values, tmp_path, home, tiny_adapter):
    drawn = values | {"temperature": 0.4, "max_new_tokens": 99}
    context = dig(drawn, Recorder(tmp_path))
    rain, kite = by_prompt(context)["Tell me of rain 1"], by_prompt(context)["Tell me of a kite 2"]
    assert {rain.model, kite.model} == {str(tiny_adapter)}
    assert [one.sampling["seed"] for one in (rain, kite)] == [
        seed_of(engine, rain), seed_of(engine, kite),
    ]  # fmt: skip
    assert rain.sampling["seed"] != kite.sampling["seed"]
    told = {name: rain.sampling[name] for name in ("temperature", "top_p", "max_new_tokens", "k")}
    assert told == {"temperature": 0.4, "top_p": 0.95, "max_new_tokens": 99, "k": 4}
    weights = weights_sha256(tiny_adapter)
    assert rain.sampling["model_sha256"] == weights
    (row,) = [row for row in read_pairs(str(context.made[0][1])) if "rain" in row["prompt"]]
    assert (row["model"], row["sampling"]) == (rain.model, rain.sampling)
    assert (row["chosen_index"], row["rejected_index"]) == (1, 2)
    record = describe_pair_set(str(context.made[0][1]))["record"]
    assert (record["model"]["name"], record["model"]["sha256"]) == (rain.model, weights)
    assert record["model"]["training"]["stage"] == "rsft"
    assert record["dataset"]["name"] == "rows.jsonl"


def test_an_adapter_of_this_home_is_named_within_it(tiny_adapter, home):
    inside = home.home / "jobs" / "3" / "adapter"
    shutil.copytree(tiny_adapter, inside)
    found = model_of(str(inside))
    assert (found.name, found.info["stage"]) == ("jobs/3/adapter", "rsft")
    assert found.sha256 == weights_sha256(tiny_adapter)


def test_answers_that_agree_against_the_gold_are_kept_without_a_pair(
    engine, values, tmp_path, home
):
    def contrary(prompt, number):
        return answer("harmful") if "rain" in prompt else script(prompt, number)

    engine.script = contrary
    context = dig(values, Recorder(tmp_path))
    rain, kite = by_prompt(context)["Tell me of rain 1"], by_prompt(context)["Tell me of a kite 2"]
    assert (hardness(rain), rain.chosen, rain.rejected) == ("all_wrong", None, None)
    assert (rain.k_correct, rain.k_incorrect, rain.weight) == (0, 4, 1.0)
    assert [row["prompt"] for row in read_pairs(str(context.made[0][1]))] == [kite.example.prompt]
    assert len(read_samples(str(context.made[0][1]))) == 2
    assert context.made[0][3]["all_wrong"] == 1
    assert context.column("all_wrong")[-1] == 1


def test_pairs_may_be_drawn_by_lot(engine, values, tmp_path, home):
    pairs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 5)):
        context = dig(values | {"pairing": "random", "seed": seed}, Recorder(tmp_path / name))
        pairs.append({one.example.row_id: (one.chosen, one.rejected) for one in context.found})
        assert describe_pair_set(str(context.made[0][1]))["pairing"] == "random"
    assert pairs[0] == pairs[1]
    assert pairs[0] != pairs[2]


def test_rows_of_a_benchmark_are_warned_of_and_recorded(engine, values, tmp_path, home, caplog):
    tests = write_rows(tmp_path / "AegisSafetyTest.jsonl")
    values = values | {"dataset": str(tests)}
    assert check(values)[0] == "8 rows, 32 answers"
    assert check(values)[1].startswith("AegisSafetyTest: by their names these rows are of a")
    context = dig(values, Recorder(tmp_path / "job"))
    assert "AegisSafetyTest: by their names" in caplog.text
    assert context.made[0][3]["mined_benchmark"] == ["AegisSafetyTest"]
    record = describe_pair_set(str(context.made[0][1]))["record"]
    assert record["mined_benchmark"] == ["AegisSafetyTest"]


def test_a_batch_says_how_far_it_is(engine, values, tmp_path, home):
    context = dig(values, Recorder(tmp_path))
    assert (
        "answering 2 conversations 4 times, 2 are done; 2 of 8 answers of this batch are whole"
        in context.activities
    )


def test_answers_of_a_version_that_noted_no_seed_are_read(engine, values, tmp_path, home):
    dig(values, Recorder(tmp_path))
    path = tmp_path / "generations.jsonl"
    found = [json.loads(line) for line in path.read_text("utf-8").rstrip("\n").split("\n")]
    for row in found:
        del row["seed"]
    path.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")
    engine.prompts.clear()
    context = dig(values, Recorder(tmp_path))
    assert engine.prompts == []
    assert {sample.sampling["seed"] for sample in context.found} == {42}


def test_batches_hold_all_the_longest_first():
    examples = [GuardExample("x" * n) for n in (3, 9, 1, 7, 5)]
    found = [[len(one.prompt) for one in batch] for batch in mine.batches(examples, 2)]
    assert found == [[9, 7], [5, 3], [1]]


def test_no_hard_sample_is_an_error_with_advice(engine, values, tmp_path, home):
    engine.script = lambda _prompt, _number: answer("harmful")
    context = Recorder(tmp_path)
    with pytest.raises(InputError, match="none of the 8 conversations is a hard sample") as caught:
        dig(values, context)
    assert "raise temperature or k" in caught.value.advice
    assert context.made == []


def test_an_empty_set_may_be_asked_for(engine, values, tmp_path, home):
    engine.script = lambda _prompt, _number: answer("harmful")
    context = Recorder(tmp_path)
    dig(values | {"allow_empty": True}, context)
    ((kind, folder, name, details),) = context.made
    assert (kind, name, details["pairs"]) == ("pair_set", "0 hard samples", 0)
    ((said, _),) = context.remarks
    assert said.startswith("none of the 8 conversations is a hard sample")
    # What was wrong every time is kept for people to look at.
    assert len(read_samples(str(folder))) == details["all_wrong"] == 4
    with pytest.raises(DataError, match="there is no pair in it"):
        read_pairs(str(folder))


def test_a_random_model_is_not_parsed_and_says_so(values, tmp_path, home):
    """The real engine, end to end."""
    context = Recorder(tmp_path)
    small = values | {"max_rows": 4, "k": 2, "max_new_tokens": 16}
    with pytest.raises(InputError, match=r"none of the 4 conversations is a hard sample: .*parsed"):
        dig(small, context)
    assert context.column("parse_failure_rate")[-1] == 1.0
    assert 0 < context.column("tokens")[-1] <= 4 * 2 * 16
    assert (context.made, context.found) == ([], [])


# What is refused beforehand


def check(values):
    return mine.check(build_config(mine.STAGE, None, values))


def test_the_check_counts_rows_and_answers(values):
    assert check(values) == ["8 rows, 32 answers"]


def test_an_adapter_is_needed(data):
    with pytest.raises(InputError, match="adapter: a value is needed"):
        check({"dataset": str(data)})


def test_a_missing_adapter_is_named(values):
    with pytest.raises(NotFoundError, match="adapter=/no/such: there is no such folder"):
        check(values | {"adapter": "/no/such"})


def test_a_missing_dataset_is_named(values):
    with pytest.raises(InputError, match=r"/no/rows\.jsonl"):
        check(values | {"dataset": "/no/rows.jsonl"})


# As a job


@pytest.fixture
def database(home):
    database = open_database(home.database_url)
    yield database
    database.dispose()


def test_a_job_stores_its_samples(engine, values, database):
    job_id = queue.submit(database, "mine", values, launcher="foreground")
    job = run_job(database, job_id)
    assert (job.state, job.step, job.total_steps) == ("succeeded", 8, 8)
    with database.read() as session:
        stored, total = samples.list_samples(session, job_id=job_id)
        found = {row.prompt: row for row in stored}
        assert total == 2
        kite = found["Tell me of a kite 2"]
        assert kite.gold == {"prompt_harmfulness": "harmful"}
        assert [one.correct for one in kite.generations] == [True, False, False, False]
        assert kite.generations[kite.rejected].text.startswith("Hm. Hm. Hm. ")
        (artifact,) = job.artifacts
        assert artifact.kind == "pair_set"
        version = pair_sets.version_of_artifact(session, artifact.id)
        assert (version.pair_set.name, version.version, version.rows) == (f"job {job_id}", 1, 2)
        assert version.sha256 == describe_pair_set(artifact.path)["sha256"]
        assert kite.sampling["k"] == 4


def test_two_jobs_of_one_name_make_two_versions(engine, values, database):
    for seed in (1, 2):
        named = values | {"name": "kites", "seed": seed}
        run_job(database, queue.submit(database, "mine", named, launcher="foreground"))
    with database.read() as session:
        (found,) = pair_sets.list_pair_sets(session)
        assert (found.name, [one.version for one in found.versions]) == ("kites", [1, 2])
    assert resolve_reference(database, "pair_set", "kites@v2").parent.name == "2"


def test_a_job_that_finds_nothing_fails_by_name(engine, values, database):
    engine.script = lambda _prompt, _number: "Well."
    job_id = queue.submit(database, "mine", values, launcher="foreground")
    job = run_job(database, job_id)
    assert job.state == "failed"
    assert job.failure["code"] == "input"
    assert "none of the 8 conversations" in job.reason
    assert job.artifacts == []
