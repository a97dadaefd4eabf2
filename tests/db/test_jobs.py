from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from db import jobs, leases, lifecycle, samples
from db.models import GenerationRow, HardSampleRow, Job, now
from db.session import Database

ME = {"pid": 7, "pid_created": 1.5, "boot_id": "here"}


def add(database: Database, *, parents: tuple[int, ...] = (), **values: object) -> int:
    with database.write() as session:
        return jobs.add_job(session, stage="rsft", config={}, parents=parents, **values).id  # type: ignore[arg-type]


def job(database: Database, job_id: int) -> Job:
    with database.read() as session:
        found = jobs.get_job(session, job_id)
    assert found is not None
    return found


def claim(database: Database, job_id: int) -> Job | None:
    with database.write() as session:
        return leases.claim(session, job_id, **ME)  # type: ignore[arg-type]


def finish(database: Database, job_id: int, state: str = "succeeded", **more: object) -> bool:
    with database.write() as session:
        return lifecycle.finish(session, job_id, state, **more)  # type: ignore[arg-type]


def test_a_job_outlives_its_session_with_all_that_belongs_to_it(database: Database) -> None:
    parent = add(database)
    child = add(database, parents=(parent,), title="t" * 300, preset="demo", device="cuda:0")
    with database.write() as session:
        jobs.add_artifact(
            session, job_id=parent, kind="adapter", name="a", path="/a", sha256="0" * 64, size=2**40
        )
    row = job(database, parent)
    assert [one.id for one in row.children] == [child]
    assert [one.bytes for one in row.artifacts] == [2**40]
    assert len(job(database, child).title) == 200
    assert row.created_at <= now()
    assert row.created_at.tzinfo is not None


def test_list_jobs_newest_first(database: Database) -> None:
    ids = [add(database) for _ in range(3)]
    claim(database, ids[0])
    with database.read() as session:
        assert [row.id for row in jobs.list_jobs(session)] == ids[::-1]
        assert [row.id for row in jobs.list_jobs(session, states=("running",))] == [ids[0]]
        assert [row.id for row in jobs.list_jobs(session, limit=2)] == ids[:0:-1]
        assert [row.id for row in jobs.queue(session)] == ids[1:]
        assert jobs.get_job(session, 404) is None


def test_a_state_that_is_none_is_refused(database: Database) -> None:
    def store() -> None:
        with database.write() as session:
            session.add(Job(stage="rsft", config={}, state="sleeping"))

    with pytest.raises(IntegrityError):
        store()


def test_events_by_kind_and_after_an_id(database: Database) -> None:
    job_id, other = add(database), add(database)
    with database.write() as session:
        for step in range(3):
            jobs.add_event(session, job_id, "metrics", step, {"loss": step / 2})
        jobs.add_event(session, job_id, "log", data={"text": "hello"})
        jobs.add_event(session, other, "metrics", 9, {})
    with database.read() as session:
        rows = jobs.metrics(session, job_id)
        assert [(row.step, row.data["loss"]) for row in rows] == [(0, 0.0), (1, 0.5), (2, 1.0)]
        assert [row.step for row in jobs.metrics(session, job_id, rows[0].id)] == [1, 2]
        assert [row.kind for row in jobs.events(session, job_id, limit=2)] == ["state", "metrics"]
        assert jobs.events(session, job_id, kind="log")[0].data == {"text": "hello"}


def test_drop_metrics(database: Database) -> None:
    job_id = add(database)
    with database.write() as session:
        for step in range(4):
            jobs.add_event(session, job_id, "metrics", step, {})
        jobs.drop_metrics(session, job_id, from_step=2)
    with database.read() as session:
        assert [row.step for row in jobs.metrics(session, job_id)] == [0, 1]


def test_artifacts_newest_first(database: Database) -> None:
    first, second = add(database), add(database)
    with database.write() as session:
        for job_id, kind in ((first, "adapter"), (first, "pair_set"), (second, "adapter")):
            jobs.add_artifact(
                session, job_id=job_id, kind=kind, name=kind, path="/", sha256="0" * 64, size=1
            )
    with database.read() as session:
        found = jobs.artifacts(session, "adapter")
        assert [row.job_id for row in found] == [second, first]
        assert found[0].job is not None
        assert [row.kind for row in jobs.artifacts(session, job_id=first)] == [
            "pair_set",
            "adapter",
        ]
        assert jobs.get_artifact(session, found[0].id) is found[0]
        assert jobs.get_artifact(session, 404) is None


# Leases


def test_claim_names_the_process_and_counts_attempts(database: Database) -> None:
    job_id = add(database)
    row = claim(database, job_id)
    assert row is not None
    assert (row.state, row.attempt, row.pid, row.pid_created) == ("running", 1, 7, 1.5)
    assert row.heartbeat_at == row.started_at
    assert claim(database, job_id) is None
    finish(database, job_id, "failed", failure={"code": "error"})
    with database.write() as session:
        lifecycle.requeue(session, job_id)
    row = claim(database, job_id)
    assert row is not None
    assert (row.attempt, row.failure) == (2, None)


def test_a_child_starts_after_its_parents(database: Database) -> None:
    first, second = add(database), add(database, exclusive=False)
    child = add(database, parents=(first, second))
    claim(database, first)
    finish(database, first)
    assert claim(database, child) is None
    claim(database, second)
    finish(database, second)
    assert claim(database, child) is not None


def test_a_device_is_leased_to_one(database: Database) -> None:
    holder, waiting = add(database), add(database)
    elsewhere, shared = add(database, device="cuda:0"), add(database, exclusive=False)
    assert claim(database, holder)
    with database.read() as session:
        row = jobs.holder(session, "cpu")
        assert row is not None
        assert row.id == holder
        assert jobs.holder(session, "cuda:0") is None
    assert claim(database, waiting) is None
    assert claim(database, elsewhere)
    assert claim(database, shared)
    with database.write() as session:
        lifecycle.request_stop(session, holder)
    assert claim(database, waiting) is None, "a stopping job holds its device still"
    finish(database, holder)
    assert claim(database, waiting)


def test_the_database_itself_holds_the_lease(database: Database) -> None:
    add(database)
    add(database)

    def start_both() -> None:
        with database.write() as session:
            for row in jobs.list_jobs(session):
                row.state = "running"

    with pytest.raises(IntegrityError):
        start_both()


def test_reserve_next_takes_the_first_that_may_start(database: Database) -> None:
    first, second = add(database), add(database)
    child = add(database, parents=(first,), device="cuda:0")
    order = []
    for _ in range(3):
        with database.write() as session:
            row = leases.reserve_next(session)
            order.append(row.id if row else None)
    assert order == [first, None, None]
    finish(database, first)
    with database.read() as session:
        assert [row.id for row in leases.startable(session)] == [second, child]


def test_a_process_is_noted_once(database: Database) -> None:
    job_id = add(database)
    with database.write() as session:
        leases.reserve(session, job_id)
        leases.set_process(session, job_id, pid=1, pid_created=2.0, boot_id="x")
        leases.set_process(session, job_id, pid=3, pid_created=4.0, boot_id="x")
    assert (job(database, job_id).pid, job(database, job_id).pid_created) == (1, 2.0)


# Lifecycle


def test_heartbeat_tells_of_a_stop(database: Database) -> None:
    job_id = add(database)
    claim(database, job_id)
    with database.write() as session:
        assert not lifecycle.heartbeat(session, job_id)
        assert lifecycle.request_stop(session, job_id) == "stopping"
        assert lifecycle.heartbeat(session, job_id)
    row = job(database, job_id)
    assert row.heartbeat_at is not None
    assert row.started_at is not None
    assert row.heartbeat_at > row.started_at


def test_set_progress_changes_what_is_given(database: Database) -> None:
    job_id = add(database)
    with database.write() as session:
        lifecycle.set_progress(session, job_id, step=1, total=9, activity="a" * 300)
        lifecycle.set_progress(session, job_id, step=2)
        lifecycle.set_progress(session, job_id)
    row = job(database, job_id)
    assert (row.step, row.total_steps, len(row.activity)) == (2, 9, 200)


def test_finish_ends_once_and_the_right_attempt(database: Database) -> None:
    job_id = add(database)
    assert not finish(database, job_id), "a queued job has nothing to end"
    claim(database, job_id)
    assert not finish(database, job_id, "interrupted", attempt=2)
    assert finish(database, job_id, "failed", reason="no", failure={"code": "x"}, attempt=1)
    assert not finish(database, job_id)
    row = job(database, job_id)
    assert (row.state, row.reason, row.failure) == ("failed", "no", {"code": "x"})
    assert row.finished_at is not None


def test_request_stop(database: Database) -> None:
    waiting, running = add(database), add(database)
    claim(database, running)
    with database.write() as session:
        assert lifecycle.request_stop(session, waiting) == "stopped"
        assert lifecycle.request_stop(session, waiting) is None
        assert lifecycle.request_stop(session, running) == "stopping"
        first = session.get_one(Job, running).stop_requested_at
        assert lifecycle.request_stop(session, running) == "stopping"
        assert session.get_one(Job, running).stop_requested_at == first


def test_blocking_reaches_grandchildren_and_is_undone(database: Database) -> None:
    top = add(database)
    middle = add(database, parents=(top,))
    low = add(database, parents=(middle,))
    claim(database, top)
    finish(database, top, "stopped")
    reason = f"needs job {top} (rsft), which was stopped"
    assert [job(database, one).state for one in (middle, low)] == ["blocked", "blocked"]
    assert [job(database, one).reason for one in (middle, low)] == [reason, reason]
    with database.write() as session:
        lifecycle.requeue(session, top)
    assert [job(database, one).state for one in (middle, low)] == ["queued", "queued"]
    assert job(database, low).reason is None


def test_move_clamps_and_refuses_what_is_not_queued(database: Database) -> None:
    a, b, c = (add(database) for _ in range(3))
    with database.write() as session:
        assert lifecycle.move(session, a, 99)
        assert lifecycle.move(session, c, -5)
        assert [row.id for row in jobs.queue(session)] == [c, b, a]
        late = jobs.add_job(session, stage="rsft", config={})
        assert [row.id for row in jobs.queue(session)] == [c, b, a, late.id]
    claim(database, c)
    with database.write() as session:
        assert not lifecycle.move(session, c, 0)


def test_hard_samples_go_with_a_job_that_did_not_succeed(database: Database) -> None:
    job_id = add(database)
    claim(database, job_id)
    with database.write() as session:
        row = HardSampleRow(
            row_id="1", task="refusal", prompt="p", gold={}, k_correct=1, k_incorrect=1,
            chosen=0, rejected=1, weight=1.0, generations=[GenerationRow(position=0, text="t")],
        )  # fmt: skip
        samples.replace_samples(session, job_id, [row])
    finish(database, job_id, "interrupted")
    with database.read() as session:
        assert samples.list_samples(session)[1] == 0
        assert session.query(GenerationRow).count() == 0
