"""The memory of a synthesis on disk: whole lines count, a torn one doesn't."""

from __future__ import annotations

import json

import pytest

from pipelines.attempts import Attempt, AttemptLog, read_attempts

KEPT = Attempt("a", "long\u2028text", "out", prompt_tokens=10, completion_tokens=4)
WRONG = Attempt("b", "text", reason="wrong_verdict", prompt_tokens=8, completion_tokens=2)
REFUSED = Attempt("c", reason="refused", final=True)


def test_what_was_added_is_read_again(tmp_path):
    log = AttemptLog.open(tmp_path / "log.jsonl")
    for attempt in (WRONG, KEPT, WRONG, REFUSED):
        log.add(attempt)
    again = AttemptLog.open(tmp_path / "log.jsonl")
    assert again == log
    assert list(read_attempts(log.path)) == [WRONG, KEPT, WRONG, REFUSED]
    assert (log.count, log.outputs, log.tried["b"]) == (4, {"a": "out"}, 2)
    assert log.reasons == {"wrong_verdict": 2, "refused": 1}
    assert log.cost(price_in=1e6, price_out=2e6) == pytest.approx(26 + 2 * 8)


def test_a_row_is_settled_when_kept_refused_or_tried_often_enough(tmp_path):
    log = AttemptLog.open(tmp_path / "log.jsonl")
    for attempt in (WRONG, KEPT, REFUSED):
        log.add(attempt)
    assert [log.settled(row, 2) for row in "abcd"] == [True, False, True, False]
    log.add(WRONG)
    assert log.settled("b", 2)


@pytest.mark.parametrize("torn", [1, 20, -1])
def test_a_torn_line_is_cut_off_and_the_next_one_is_whole(tmp_path, torn):
    path = tmp_path / "log.jsonl"
    AttemptLog.open(path).add(KEPT)
    whole = path.read_bytes()
    line = json.dumps({"row_id": "b", "text": "x"}).encode() + b"\n"
    path.write_bytes(whole + line[:torn])
    log = AttemptLog.open(path)
    assert log.outputs == {"a": "out"}
    assert path.read_bytes() == whole
    log.add(WRONG)
    assert list(read_attempts(path)) == [KEPT, WRONG]


def test_no_file_is_no_attempt(tmp_path):
    assert AttemptLog.open(tmp_path / "log.jsonl").count == 0
