"""A sweep on a tiny model: each value is trained, and the group is then comparable.

Its jobs are done one by one in this process; `test_chain` has workers.
"""

from __future__ import annotations

from pipelines.comparison import columns_of, to_csv
from pipelines.comparison_png import to_png
from pipelines.jobs import queue
from pipelines.jobs.comparison import read_comparison
from pipelines.jobs.worker import run_job
from tests.test_chain import database, launched, tail, values, wait

__all__ = ["database", "launched", "values"]


def test_each_value_is_trained_and_the_group_compared(database, launched, values):
    shared = {
        name.removeprefix("rsft."): value
        for name, value in values.items()
        if not name.startswith("hsdpo.")
    }
    del shared["epochs"]
    held = {"accumulation": 1, "holdout": 0.25, "eval_steps": 1, "values": "1, 2"}
    ids = queue.submit_sweep(database, "epochs", shared | held)
    while launched:
        run_job(database, launched.pop(0))
    for job in wait(database, *ids):
        assert job.state == "succeeded", f"{job.group_key}: {job.reason}\n{tail(job.id)}"
    found = read_comparison(database, job.group_id)
    assert [(one.job, one.label) for one in found.entries] == [(ids[0], "1"), (ids[1], "2")]
    assert found.axes("loss") == ["rows", "steps", "epochs", "tokens"]
    for entry, epochs in zip(found.entries, (1, 2), strict=True):
        assert entry.points("loss", "epochs")[-1][0] == epochs
        # Six rows of eight are trained on, four at most a step.
        assert entry.points("loss", "rows")[-1][0] == 6 * epochs
        assert entry.facts["steps"] == len(entry.points("eval_loss", "rows")) == 2 * epochs
        assert entry.facts["peak_memory"] > 100e6
        assert entry.made.startswith("artifact:")
    short, long = (entry.points("loss", "tokens") for entry in found.entries)
    # The same seed, the same rows in the same order: the first step is the same.
    assert short[0] == long[0]
    assert {"eval_loss", "tokens", "seconds"} <= {column.name for column in columns_of(found)}
    assert to_csv(found).count("\n") > 8
    assert to_png(found).startswith(b"\x89PNG")
