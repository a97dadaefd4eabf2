"""The worker in this process; `test_supervisor` has it in processes of its own."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from db import jobs, leases, lifecycle, samples
from db.models import Job
from db.session import Database
from pipelines.jobs import queue, worker
from pipelines.jobs.launchers import own_identity
from pipelines.jobs.outcome import read_outcome
from pipelines.jobs.queue import job_dir, submit, submit_recipe
from pipelines.jobs.worker import main, run_job
from pipelines.schema import InputError, NotFoundError
from pipelines.settings import get_settings


def folder(job_id: int) -> Path:
    return job_dir(get_settings(), job_id)


def artifacts(database: Database, job_id: int) -> list[str]:
    with database.read() as session:
        return [row.name for row in jobs.artifacts(session, job_id=job_id)]


def begin(database: Database, values: Mapping[str, Any], stage: str = "rsft") -> int:
    return submit(database, stage, values, launcher="foreground")


def run(database: Database, values: Mapping[str, Any], stage: str = "rsft") -> Job:
    return run_job(database, begin(database, values, stage))


def test_a_job_that_succeeds(database: Database, idle: list[int]) -> None:
    row = run(database, {"steps": 3})
    assert (row.state, row.reason, row.failure) == ("succeeded", None, None)
    assert (row.attempt, row.step, row.total_steps, row.activity) == (1, 3, 3, "")
    assert row.pid == os.getpid()
    assert row.started_at is not None
    assert row.finished_at is not None
    assert row.finished_at >= row.started_at >= row.created_at
    (made,) = row.artifacts
    assert (made.kind, made.name, made.bytes) == ("adapter", "counted", 3)
    assert made.path == str(folder(row.id) / "adapter")
    assert made.details == {"steps": 3, "nan": None}
    with database.read() as session:
        assert [event.step for event in jobs.metrics(session, row.id)] == [1, 2, 3]
        states = [event.data["state"] for event in jobs.events(session, row.id, kind="state")]
    assert states == ["queued", "running", "succeeded"]


def test_the_folder_tells_what_was_run(files: Database) -> None:
    row = run(files, {"steps": 1, "seconds": 0.01})
    assert json.loads((folder(row.id) / "config.json").read_text()) == row.resolved
    assert (folder(row.id) / "command.txt").read_text() == (
        "guardui run rsft --set steps=1 --set seconds=0.01\n"
    )
    outcome = read_outcome(folder(row.id), 1)
    assert outcome is not None
    assert outcome.state == "succeeded"


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("error", "error", "ValueError: no such thing"),
        ("oom", "out_of_memory", "no more"),
        ("disk", "disk_full", "No space left on device"),
        ("data", "data", "data.jsonl: 60 faults"),
        ("exit", "error", "SystemExit: 4"),
        ("nul", "error", "ValueError: a \ufffd in it"),
    ],
)
def test_a_job_that_fails_leaves_nothing_half_made(
    database: Database, idle: list[int], fault: str, code: str, said: str
) -> None:
    row = run(database, {"fail_at": 2, "fault": fault})
    assert row.state == "failed"
    assert row.failure is not None
    assert row.failure["code"] == code
    assert said in row.failure["message"]
    assert row.reason == row.failure["message"]
    assert "Traceback" in row.failure["traceback"]
    assert len(row.failure.get("faults", [])) == (50 if fault == "data" else 0)
    assert row.artifacts == []
    outcome = read_outcome(folder(row.id), 1)
    assert outcome is not None
    assert outcome.artifacts == []


def test_hard_samples_of_a_failed_job_go(database: Database, idle: list[int]) -> None:
    good = run(database, {}, "mine")
    bad = run(database, {"fail": True}, "mine")
    assert bad.failure is not None
    assert bad.failure["advice"] == "Dig deeper."
    with database.read() as session:
        assert samples.list_samples(session, job_id=good.id)[1] == 2
        assert samples.list_samples(session, job_id=bad.id)[1] == 0


def test_a_resumed_job_goes_on_from_its_checkpoint(database: Database, idle: list[int]) -> None:
    first = run(database, {"steps": 4, "fail_at": 3})
    assert first.step == 2
    queue.resume(database, first.id, launcher="foreground")
    second = run_job(database, first.id)
    assert second.state == "failed"  # the fault is in its config still
    assert second.attempt == 2
    with database.read() as session:
        assert [event.step for event in jobs.metrics(session, first.id)] == [1, 2]


def test_a_chain_hands_artifacts_on(database: Database, idle: list[int]) -> None:
    first, second, third = submit_recipe(database, "demo", {})
    for one in (first, second, third):
        assert run_job(database, one).state == "succeeded"
    given = json.loads((folder(third) / "inputs.json").read_text())
    assert given["adapter"] == str(folder(first) / "adapter")
    assert given["pairs"] == str(folder(second) / "pairs.jsonl")


def test_the_next_job_is_launched_at_the_end(database: Database, idle: list[int]) -> None:
    first, second, third = submit_recipe(database, "demo", {})
    run_job(database, first)
    assert idle == [first, second]
    run_job(database, second)
    assert idle == [first, second, third]


def test_an_artifact_that_is_gone_fails_the_job_by_name(files: Database, idle: list[int]) -> None:
    first, second, _ = submit_recipe(files, "demo", {})
    run_job(files, first)
    (folder(first) / "adapter" / "weights").unlink()
    (folder(first) / "adapter").rmdir()
    row = run_job(files, second)
    assert row.failure is not None
    assert row.failure["code"] == "not_found"
    assert "does not exist any more" in row.failure["message"]


def test_a_job_is_done_once(database: Database, idle: list[int]) -> None:
    row = run(database, {})
    with pytest.raises(InputError, match=f"job={row.id}: is succeeded and may not start here"):
        run_job(database, row.id)
    with pytest.raises(NotFoundError, match="job=404"):
        run_job(database, 404)
    assert artifacts(database, row.id) == ["counted"]


def test_a_job_does_not_start_while_its_device_is_taken(
    database: Database, idle: list[int]
) -> None:
    holder = submit(database, "rsft", {})
    other = begin(database, {})
    with pytest.raises(InputError, match="its device free"):
        run_job(database, other)
    with database.read() as session:
        row = jobs.holder(session, "cpu")
    assert row is not None
    assert row.id == holder


def test_two_workers_of_one_job(database: Database, idle: list[int]) -> None:
    """Six processes claim it at once; one gets it."""
    job_id = submit(database, "rsft", {})
    start = threading.Barrier(6)
    got: list[int] = []

    def claim(number: int) -> None:
        start.wait()
        with database.write() as session:
            if leases.claim(session, job_id, pid=number, pid_created=0.0, boot_id="x"):
                got.append(number)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    with database.read() as session:
        row = jobs.get_job(session, job_id)
    assert row is not None
    assert (row.attempt, row.pid) == (1, got[0])


def test_a_job_stopped_before_it_began(database: Database, idle: list[int]) -> None:
    job_id = submit(database, "rsft", {})
    with database.write() as session:
        lifecycle.request_stop(session, job_id)
        row = jobs.get_job(session, job_id)
        assert row is not None
        row.pid = os.getpid()
    row = run_job(database, job_id)
    assert (row.state, row.reason, row.attempt) == ("stopped", "stopped before it began", 0)


def run_and_signal(database: Database, number: signal.Signals, *steps: int) -> Job:
    """Runs a job that takes long, and sends itself the signal at these steps."""

    def send(kind: str, data: Mapping[str, Any]) -> None:
        if kind == "metrics" and data["step"] in steps:
            os.kill(os.getpid(), number)

    deaf = "ask" if len(steps) > 1 or number != signal.SIGINT else "no"
    values = {"steps": 1000, "seconds": 0.02, "deaf": deaf}
    return run_job(database, begin(database, values), on_event=send)


def test_sigint_asks_for_a_checkpoint(files: Database) -> None:
    row = run_and_signal(files, signal.SIGINT, 5)
    assert (row.state, row.reason) == ("stopped", "stopped after 5 of 1000")
    assert row.stop_requested_at is not None
    assert (folder(row.id) / "checkpoint").read_text() == "5"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_sigint_interrupts(files: Database) -> None:
    row = run_and_signal(files, signal.SIGINT, 5, 8)
    assert (row.state, row.reason) == ("interrupted", "interrupted from the keyboard")
    assert row.step == 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_ends_as_stopped(files: Database, number: signal.Signals) -> None:
    row = run_and_signal(files, number, 5)
    assert (row.state, row.step, row.artifacts) == ("stopped", 5, [])
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_job_may_be_run_beside_the_main_thread(files: Database) -> None:
    job_id = begin(files, {})
    thread = threading.Thread(target=run_job, args=(files, job_id))
    thread.start()
    thread.join()
    with files.read() as session:
        row = jobs.get_job(session, job_id)
    assert row is not None
    assert row.state == "succeeded"


def test_in_the_foreground_the_log_goes_to_the_file_too(files: Database) -> None:
    told: list[str] = []
    job_id = begin(files, {"fail_at": 2})
    run_job(files, job_id, foreground=True, on_event=lambda kind, _data: told.append(kind))
    log = (folder(job_id) / "log.txt").read_text()
    assert "counting" in log
    assert "Traceback" in log
    assert "ValueError: no such thing" in log
    assert told == ["activity", "progress", "metrics", "artifact"]
    assert logging.getLogger().level == logging.WARNING


def test_a_folder_that_cannot_be_made_fails_by_name(files: Database) -> None:
    get_settings().jobs_dir.write_text("in the way")
    row = run(files, {})
    assert row.state == "failed"
    assert row.failure is not None
    assert "FileExistsError" in row.failure["message"] or "NotADirectory" in row.failure["message"]


def test_an_outcome_that_cannot_be_written_is_recorded_still(
    files: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker.Outcome, "save", full)
    assert run(files, {}).state == "succeeded"


def test_main_tells_by_its_exit_code(
    files: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in worker.WORKER_ENV:
        monkeypatch.setenv(name, "as it was")
    assert main([str(begin(files, {}))]) == 0
    assert main([str(begin(files, {"fail_at": 1}))]) == 1
    assert main(["404"]) == 2
    assert "job=404: there is no such job" in caplog.text
    assert main(["one"]) == 2
    assert "usage: python -m pipelines.jobs.worker JOB" in caplog.text


def test_importing_the_worker_loads_nothing_heavy() -> None:
    code = (
        "import sys, pipelines.jobs.worker, pipelines.jobs.foreground;"
        "heavy = {'torch', 'transformers', 'trl', 'peft', 'datasets', 'gradio'};"
        "sys.exit(', '.join(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stderr.strip() == ""


def test_own_identity_is_stable() -> None:
    assert own_identity() == own_identity()
