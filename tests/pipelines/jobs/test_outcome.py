from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from db import jobs
from db.session import Database
from pipelines.jobs.outcome import (
    FILE,
    NewArtifact,
    Outcome,
    explain_failure,
    insist,
    read_outcome,
    storable,
)
from pipelines.jobs.queue import submit
from pipelines.schema import ConfigError, DataError, HubError


class OutOfMemoryError(RuntimeError):
    """Stands for torch's, which must be known by name."""


OutOfMemoryError.__module__ = "torch"


def wrapped(inner: BaseException) -> Exception:
    outer = RuntimeError("writing failed")
    outer.__context__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HubError("401 for meta/llama"), "hub"),
        (MemoryError(), "out_of_memory"),
        (OutOfMemoryError("CUDA error"), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (wrapped(OSError(errno.ENOSPC, "No space left on device")), "disk_full"),
        (Exception("I/O error: No space left on device (os error 28)"), "disk_full"),
        (OSError(errno.EACCES, "Permission denied"), "error"),
        (KeyError("loss"), "error"),
        (SystemExit(4), "error"),
    ],
)
def test_failures_are_named(error: BaseException, code: str) -> None:
    failure = explain_failure(error)
    assert failure["code"] == code
    assert "Traceback" not in failure["message"]
    assert type(error).__name__ in failure["traceback"]


def test_failures_say_what_to_change() -> None:
    memory = explain_failure(MemoryError("no more"))
    assert "batch_size" in memory["advice"]
    assert "GiB of main memory" in memory["message"]
    assert "resume" in explain_failure(OSError(errno.ENOSPC, "full"))["advice"]
    assert explain_failure(HubError("no", advice="Log in."))["advice"] == "Log in."


def test_unknown_errors_tell_their_type() -> None:
    assert explain_failure(ValueError("no such row"))["message"] == "ValueError: no such row"


def test_texts_become_storable() -> None:
    failure = explain_failure(DataError("a \0 and a \ud800", ["row \ud800"]))
    assert failure["message"] == "a \ufffd and a ?"
    assert failure["faults"] == ["row ?"]
    json.dumps(failure, ensure_ascii=False).encode()


def test_faults_are_kept_but_not_all() -> None:
    failure = explain_failure(DataError("60 faults", [f"row {n}" for n in range(60)]))
    assert failure["faults"] == [f"row {n}" for n in range(50)]
    assert failure["fault_count"] == 60
    assert explain_failure(ConfigError(["a: wrong"]))["faults"] == ["a: wrong"]


def test_outcome_is_read_back(tmp_path: Path) -> None:
    artifact = NewArtifact("adapter", "x", "/x", "0" * 64, 3, {"rows": 1})
    Outcome(2, "succeeded", artifacts=[artifact]).save(tmp_path)
    assert read_outcome(tmp_path, 2) == Outcome(2, "succeeded", artifacts=[artifact])
    assert [file.name for file in tmp_path.glob("*outcome*")] == [FILE]


def test_outcome_of_another_attempt_or_half_written_is_none(tmp_path: Path) -> None:
    assert read_outcome(tmp_path, 1) is None
    Outcome(1, "succeeded").save(tmp_path)
    assert read_outcome(tmp_path, 2) is None
    (tmp_path / FILE).write_text('{"attempt": 1, "sta')
    assert read_outcome(tmp_path, 1) is None


def test_record_is_all_or_nothing_and_only_once(database: Database, idle: list[int]) -> None:
    job_id = submit(database, "rsft", {})
    artifact = NewArtifact("adapter", "x", "/x", "0" * 64, 3, {})
    late = Outcome(7, "succeeded", artifacts=[artifact])
    assert not late.record(database, job_id)
    outcome = Outcome(0, "succeeded", artifacts=[artifact])
    assert outcome.record(database, job_id)
    assert not outcome.record(database, job_id)
    with database.read() as session:
        assert len(jobs.artifacts(session, job_id=job_id)) == 1


def test_insist_waits_for_a_locked_database() -> None:
    calls = []

    def locked_twice() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise OperationalError("UPDATE", {}, Exception("database is locked"))
        return "done"

    assert insist(locked_twice) == "done"
    assert len(calls) == 3


def test_insist_gives_up_in_time_and_at_once_on_a_full_disk() -> None:
    calls = []

    def fails(why: str) -> None:
        calls.append(why)
        raise OperationalError("UPDATE", {}, Exception(why))

    with pytest.raises(OperationalError):
        insist(lambda: fails("database is locked"), seconds=0.3)
    assert 2 <= len(calls) <= 4
    with pytest.raises(OperationalError):
        insist(lambda: fails("database or disk is full"))
    assert calls.count("database or disk is full") == 1


def test_storable() -> None:
    assert storable("a\0b") == "a\ufffdb"
    assert storable("a\ud800b") == "a?b"
    assert storable("Grüße 🛡") == "Grüße 🛡"
