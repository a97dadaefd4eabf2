"""Scores along what runs were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.comparing.training_trends import axes, measures, trends
from pipelines.evaluations import Evaluation
from tests.evaluation_runs import PROMPT, RESPONSE, evaluation

AEGIS, HARM = ("AegisSafetyTest", PROMPT), ("HarmBenchResponse", RESPONSE)


def run(folder: Path, name: str, said: str, **training: Any) -> Evaluation:
    return evaluation(folder / name, name, {AEGIS: said, HARM: "Tt"}, training=training)


def test_what_differs_can_be_drawn_along(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, "a", "Tmt", epochs=1, rows=500, lora_r=8, base_model="x", full=True),
        run(tmp_path, "b", "TTt", epochs=3, rows=500, lora_r=16, base_model="y", full=False),
        run(tmp_path, "c", "TTt"),
    ]
    assert axes(runs) == {"epochs": "epochs", "lora_r": "lora r"}
    assert measures(runs) == ["", PROMPT, RESPONSE, AEGIS[0], HARM[0]]


def test_runs_that_differ_in_one_thing_make_a_line(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, "three", "TTmt", epochs=3, rows=500, seconds=30.0),
        run(tmp_path, "one", "Tmmt", epochs=1, rows=500, seconds=10.0),
        run(tmp_path, "big", "TTTt", epochs=1, rows=4000, seconds=90.0),
        run(tmp_path, "bigger", "TTTt", epochs=3, rows=4000, seconds=270.0),
        run(tmp_path, "untold", "TTTt"),
    ]
    small, large = trends(runs, "epochs", AEGIS[0])
    assert (small.name, large.name) == ("rows 500", "rows 4,000")
    assert [(point.name, point.x) for point in small.points] == [("one", 1), ("three", 3)]
    assert [point.value for point in small.points] == [0.5, 0.8]
    assert small.points[1].interval is not None
    # Along a cost every run stands for itself.
    assert [trend.name for trend in trends(runs, "seconds")] == ["three", "one", "big", "bigger"]
    assert trends(runs, "warmup") == []


def test_each_measure_has_its_score(tmp_path: Path) -> None:
    runs = [run(tmp_path, "a", "Tmt", epochs=1)]

    def value(measure: str) -> float:
        return trends(runs, "epochs", measure)[0].points[0].value

    assert value(AEGIS[0]) == value(PROMPT.value)
    assert value("") == (value(PROMPT.value) + value(RESPONSE.value)) / 2
    assert trends(runs, "epochs", "Nothing") == []
