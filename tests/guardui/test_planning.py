"""Plans of runs whose adapter or base model a job has yet to make."""

import pytest

from db import jobs, lifecycle
from db.session import open_database
from guardui.planning import plan_of
from pipelines.schema import InputError
from pipelines.stages import get_stage
from pipelines.stages.base import build_config
from tests.tiny_runs import RSFT, make_adapter, make_pairs, write_rows


@pytest.fixture
def database(home):
    database = open_database(home.database_url)
    yield database
    database.dispose()


@pytest.fixture
def data(tmp_path):
    return str(write_rows(tmp_path / "rows.jsonl"))


def add(database, stage, values, **columns):
    """A job that waits, as if it had been checked and queued."""
    config = build_config(get_stage(stage), None, values).model_dump(mode="json")
    with database.write() as session:
        return f"job:{jobs.add_job(session, stage=stage, config=config, **columns).id}"


def planned(database, stage, **values):
    return plan_of(database, get_stage(stage), build_config(get_stage(stage), None, values))


def test_mining_and_hsdpo_reckon_with_what_the_waiting_job_will_make(
    database, tiny_base, data, tmp_path
):
    values = RSFT | {"base_model": str(tiny_base), "dataset": data}
    values |= {"lora_targets": ["q_proj", "v_proj"]}
    waiting = add(database, "rsft", values)
    made = str(make_adapter(tiny_base, tmp_path / "adapter"))  # of the same shape
    pairs = str(make_pairs(tmp_path / "pairs"))
    for stage, more in (("mine", {"dataset": data}), ("hsdpo", {"pairs": pairs, "device": "cpu"})):
        to_come = planned(database, stage, adapter=waiting, **more)
        there = planned(database, stage, adapter=made, **more)
        assert to_come.work.base == str(tiny_base)
        assert to_come.needed is not None
        assert to_come.needed == there.needed
        assert to_come.work.longest == there.work.longest


def test_a_chain_of_waiting_jobs_is_followed_to_its_base(database, tiny_base, data, tmp_path):
    first = add(database, "rsft", RSFT | {"base_model": str(tiny_base), "dataset": data})
    second = add(database, "hsdpo", {"adapter": first, "pairs": str(make_pairs(tmp_path / "p"))})
    plan = planned(database, "mine", adapter=second, dataset=data)
    assert plan.work.base == str(tiny_base)


@pytest.mark.parametrize("exported", [False, True])
def test_whole_weights_to_come_need_more_than_an_adapter(
    database, tiny_base, data, tmp_path, exported
):
    values = RSFT | {"base_model": str(tiny_base), "dataset": data}
    pairs = {"pairs": str(make_pairs(tmp_path / "pairs")), "device": "cpu"}
    lora = add(database, "rsft", values)
    whole = (
        add(database, "export", {"adapter": lora})
        if exported
        else add(database, "rsft", values | {"method": "full"})
    )
    full, small = (
        planned(database, "hsdpo", adapter=one, **pairs).estimate.parts for one in (whole, lora)
    )
    assert full["optimizer"] > small["optimizer"]


def test_a_base_to_come_has_the_size_of_what_it_is_made_of(database, tiny_base, data, tmp_path):
    adapter = make_adapter(tiny_base, tmp_path / "adapter")
    waiting = add(database, "export", {"adapter": str(adapter)})
    values = RSFT | {"dataset": data}
    there = planned(database, "rsft", **values | {"base_model": str(tiny_base)})
    assert planned(database, "rsft", **values | {"base_model": waiting}).needed == there.needed


def test_what_is_not_known_of_a_job_is_not_invented(database, data):
    """A job of a stage that there no longer is: no figure, and no failure either."""
    with database.write() as session:
        number = jobs.add_job(session, stage="gone", config={}).id
    plan = planned(database, "mine", adapter=f"job:{number}", dataset=data)
    assert (plan.verdict, plan.needed) == ("unknown", None)


def test_a_job_that_failed_makes_nothing(database, data):
    ref = add(database, "rsft", RSFT | {"dataset": data})
    with database.write() as session:
        lifecycle.request_stop(session, int(ref[4:]))
    with pytest.raises(InputError, match=f"adapter={ref}: job 1 .rsft. is stopped"):
        planned(database, "mine", adapter=ref, dataset=data)
