"""What a report gathers of evaluations."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.reports.figures import figures
from tests.evaluation_runs import PROMPT, evaluation

AEGIS, SIMPLE = ("AegisSafetyTest", PROMPT), ("SimpleSafetyTests", PROMPT)


def test_shifts_of_samples_are_of_whole_benchmarks(tmp_path: Path) -> None:
    whole = {AEGIS[0]: 900, SIMPLE[0]: 100}
    a = evaluation(tmp_path / "a", "a", {AEGIS: "TTmm", SIMPLE: "TTTT"}, of_rows=whole)
    b = evaluation(tmp_path / "b", "b", {AEGIS: "TTTT", SIMPLE: "TTmm"}, of_rows=whole)
    found = figures([a, b])
    assert [one.subject for one in found.shifts] == ["b", "b"]
    for one in found.shifts:
        assert one.average.value == pytest.approx(0.8 / 3)
