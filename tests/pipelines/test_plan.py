"""The plan of a run: steps, tokens, verdict, suggestions, refusal, and time from measured jobs."""

from dataclasses import replace

import pytest

from pipelines.machine import Device
from pipelines.memory import GIB, Estimate
from pipelines.model_sizes import CONFIGS, of_config
from pipelines.plan import TIGHT, Workload, make_plan, refuse
from pipelines.plan_time import Measured, training_cost
from pipelines.schema import InputError, TooLargeError

GPU = Device("cuda", "NVIDIA H200", 139 * GIB)
CPU = Device("cpu", "2 CPU cores", 20 * GIB)
SIZE = of_config(CONFIGS["meta-llama/llama-3.2-1b"])


def needs(changes, _device):
    """2 GiB a row, of which checkpointing takes half, and 2 GiB whatever is done."""
    rows = changes.get("batch_size", 8)
    each = GIB if changes.get("gradient_checkpointing") else 2 * GIB
    return Estimate({"weights": 2 * GIB, "activations": rows * each})


WORK = Workload(
    kind="training",
    base="some/base",
    size=SIZE,
    device="cpu",
    estimate=needs,
    options=lambda _device: [
        {"gradient_checkpointing": True},
        {"batch_size": 4, "accumulation": 2},
        {"batch_size": 1, "accumulation": 8},
        {"base_model": "small"},
    ],
    rows=100,
    rows_a_batch=8,
    accumulation=1,
    epochs=3,
    epoch_tokens=50_000,
    cost=1e9,
)


def device(gibibytes):
    return replace(CPU, memory=round(gibibytes * GIB))


def test_steps_and_tokens_are_those_of_the_trainer():
    plan = make_plan(WORK, device=CPU)
    assert plan.steps == 39  # 13 batches an epoch, the last one short
    assert plan.total_tokens == 150_000
    assert plan.global_batch == "8 = 8 rows x 1 accumulated"
    accumulated = make_plan(replace(WORK, rows_a_batch=2, accumulation=4), device=CPU)
    assert accumulated.steps == 39


def test_ranks_share_the_rows_and_make_the_batch_larger():
    plan = make_plan(replace(WORK, rows_a_batch=6, accumulation=16, rows=1000), device=GPU, ranks=4)
    assert plan.global_batch == "384 = 6 rows x 16 accumulated x 4 ranks"
    assert plan.steps == 9


def test_max_steps_ends_it_early():
    plan = make_plan(replace(WORK, max_steps=5), device=CPU)
    assert (plan.steps, plan.total_tokens) == (5, 20_000)


@pytest.mark.parametrize(
    ("has", "verdict"),
    [(40, "fits"), (19, "tight"), (16.5, "tight"), (15, "too_large"), (4, "too_large")],
)
def test_the_verdict_allows_for_an_estimate_that_is_off(has, verdict):
    assert make_plan(WORK, device=device(has)).verdict == verdict


def test_each_suggestion_fits_by_the_same_estimate():
    plan = make_plan(WORK, device=device(13))
    assert [dict(one.changes) for one in plan.suggestions] == [
        {"gradient_checkpointing": True},
        {"batch_size": 4, "accumulation": 2},
    ]
    for one in plan.suggestions:
        assert one.needed == needs(one.changes, CPU).total <= TIGHT * 13 * GIB


def test_changes_go_together_where_none_does_alone():
    (one,) = make_plan(WORK, device=device(3.5)).suggestions
    wanted = {"gradient_checkpointing": True, "batch_size": 1, "accumulation": 8}
    assert dict(one.changes) == wanted
    assert one.needed == 3 * GIB


def test_a_refusal_names_what_to_change():
    with pytest.raises(TooLargeError, match=r"some/base would need about 18.0 GiB, and 13.0 GiB"):
        refuse(make_plan(WORK, device=device(13)))
    with pytest.raises(TooLargeError) as caught:
        refuse(make_plan(WORK, device=device(13)))
    assert "batch_size=4 accumulation=2 would need about 10.0 GiB." in caught.value.advice
    assert "ignore_memory=true" in caught.value.advice


def test_ignore_memory_lets_it_run_and_says_so():
    plan = make_plan(replace(WORK, ignore_memory=True), device=device(13))
    refuse(plan)
    assert any("ignore_memory=true" in remark for remark in plan.remarks)


def test_where_nothing_helps_it_says_how_much_is_needed():
    with pytest.raises(TooLargeError) as caught:
        refuse(make_plan(WORK, device=device(1)))
    assert "18.0 GiB" in caught.value.advice


def test_a_missing_gpu_is_named_and_not_a_lack_of_memory():
    plan = make_plan(replace(WORK, device="cuda:1"), device=Device("cuda", "no GPU here", 0))
    with pytest.raises(TooLargeError, match="device=cuda:1: there is no GPU here"):
        refuse(plan)


def test_what_needs_a_gpu_is_refused_without_one_by_name():
    work = replace(WORK, needs_gpu="quantization=nf4", without_gpu={"quantization": "none"})
    refuse(make_plan(work, device=GPU))
    assert make_plan(work, device=device(40)).verdict == "no_gpu"
    told = r"^quantization=nf4: needs a GPU, and there is none here; quantization=none "
    with pytest.raises(InputError, match=told + r"would need about 18\.0 GiB$") as caught:
        refuse(make_plan(work, device=device(40)))
    assert "ignore_memory=true" in caught.value.advice
    # Where the plain run is too large for the machine, what else is to be changed is named too.
    more = r"gradient_checkpointing=true would need about 10\.0 GiB$"
    with pytest.raises(InputError, match=told + more):
        refuse(make_plan(work, device=device(13)))
    with pytest.raises(InputError, match=r"none here; nothing that was tried fits here$"):
        refuse(make_plan(work, device=device(1)))
    with pytest.raises(InputError, match=r"none here; set quantization=none$"):
        refuse(make_plan(replace(work, size=None, estimate=None), device=CPU))
    willing = make_plan(replace(work, ignore_memory=True), device=device(40))
    assert willing.verdict == "fits"
    refuse(willing)


def test_batches_that_are_halved_as_it_runs_are_not_refused_on_a_gpu():
    work = replace(WORK, smallest_batch=1)
    small = replace(GPU, memory=5 * GIB)
    assert make_plan(work, device=small).verdict == "splits"
    refuse(make_plan(work, device=small))
    assert make_plan(work, device=device(5)).verdict == "too_large"
    assert make_plan(work, device=replace(GPU, memory=3 * GIB)).verdict == "too_large"


def test_rows_that_have_yet_to_be_made_are_not_taken_for_the_longest():
    def by_length(changes, _device):
        return Estimate({"activations": changes.get("max_length", 2048) * GIB // 128})

    work = replace(WORK, rows=0, estimate=by_length)
    plan = make_plan(work, device=device(8))
    assert (plan.verdict, plan.needed) == ("tight", 16 * GIB)
    refuse(plan)
    assert "up to 16.0 GiB needed, by how long the rows are" in plan.remarks[-1]
    assert make_plan(work, device=device(3)).verdict == "too_large"
    assert make_plan(replace(work, rows=9), device=device(8)).verdict == "too_large"


def test_an_unknown_base_is_not_judged():
    plan = make_plan(replace(WORK, size=None, estimate=None), device=CPU)
    assert (plan.verdict, plan.needed) == ("unknown", None)
    refuse(plan)
    assert any("isn't known" in remark for remark in plan.remarks)


# Time


def job(number, *, base="some/base", speed=1000.0, cost=1e9, kind="training", on="cpu", each=0.0):
    return Measured(number, "rsft", kind, on, base, speed, cost, each)


def test_no_time_is_invented():
    plan = make_plan(WORK, device=CPU, measured=[job(1, on="cuda"), job(2, kind="generation")])
    assert plan.seconds is None
    said = "nothing like it was measured on this processor: a run with max_steps=2 would tell"
    assert plan.time_note == said
    tiny = [job(3, base="tiny", cost=1e9 / 30), job(4, base="huge", cost=30e9)]
    assert make_plan(WORK, device=CPU, measured=tiny).seconds is None


def test_the_time_is_that_of_the_likest_job():
    plan = make_plan(WORK, device=CPU, measured=[job(7, base="other"), job(5), job(4, speed=1)])
    assert plan.seconds == pytest.approx(150)
    assert plan.time_note.startswith("by job 5 (rsft of some/base, 1,000 tokens/s)")
    assert "scaled" not in plan.time_note


def test_another_model_is_scaled_by_its_arithmetic_and_said_to_be():
    plan = make_plan(WORK, device=CPU, measured=[job(5, base="other", cost=0.5e9)])
    assert plan.seconds == pytest.approx(300)
    assert "scaled by 0.5" in plan.time_note


def test_generation_takes_tokens_an_answer_from_the_job():
    work = replace(WORK, kind="generation", answers=400)
    plan = make_plan(work, device=CPU, measured=[job(3, kind="generation", each=50)])
    assert (plan.total_tokens, plan.seconds) == (20_000, pytest.approx(20))


def test_the_cost_of_a_token():
    full = training_cost(SIZE, SIZE.parameters, checkpointing=False)
    assert full == 6 * SIZE.parameters
    assert training_cost(SIZE, 0, checkpointing=True, reference=True) == 8 * SIZE.parameters
