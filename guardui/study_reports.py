"""A study's records and the report on them, computed once for each state of the records."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from db.session import Database
from pipelines.jobs.study_votes import read_study
from pipelines.preferences.report import report
from pipelines.preferences.results import StudyReport
from pipelines.studies.records import StudyRecords

KEPT = 8
REST, LONGEST = 5.0, 15.0
"""A page that follows a study waits so many times as long as its last report took to make, and at
most so many seconds."""


@dataclass(frozen=True, slots=True)
class _Made:
    report: StudyReport
    of: str  # hash of the records
    at: float  # monotonic seconds
    took: float


_kept: OrderedDict[tuple[str, int], _Made] = OrderedDict()
_lock = Lock()


def records_of(database: Database, study_id: int) -> StudyRecords:
    """The study as it is now. Raises NotFoundError where there is none."""
    with database.read() as session:
        return read_study(session, study_id)


def report_of(records: StudyRecords, *, following: bool = False) -> StudyReport:
    """The report. Who is `following` a study that is rated may get one that is a few seconds old,
    for each takes seconds of work."""
    facts, votes = records.facts, records.votes
    people = {one.code: one.state for one in records.people}
    told = repr((facts.arm_names, facts.design, people, votes))
    key, of = (facts.created_at.isoformat(), facts.id), hashlib.sha256(told.encode()).hexdigest()
    with _lock:
        last = _kept.get(key)
    if last is not None:
        recent = time.monotonic() - last.at < min(LONGEST, REST * last.took)
        rests = following and facts.state == "open" and recent and last.report.stored > 0
        if last.of == of or rests:
            return last.report
    start = time.monotonic()
    made = report(votes, facts.arm_names, facts.design, people)
    end = time.monotonic()
    with _lock:
        _kept[key] = _Made(made, of, end, end - start)
        _kept.move_to_end(key)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return made
