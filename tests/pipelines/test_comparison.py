"""Jobs of a group side by side: curves along an axis, smoothing, columns, CSV and PNG."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from pipelines.comparison import (
    FEW,
    Comparison,
    Entry,
    Record,
    columns_of,
    comparison_json,
    panels_of,
    smoothed,
    to_csv,
)
from pipelines.comparison_png import COLOURS, to_png
from pipelines.schema import InputError

NAN = float("nan")


def entry(job: int, label: str, losses: list[float], **facts: float) -> Entry:
    """A job of two rows a step, four steps an epoch, with a held-out loss each second step."""
    records = []
    for step, loss in enumerate(losses, 1):
        values = {"loss": loss, "epoch": step / 4, "tokens": 100.0 * step}
        records.append(Record(step, values, 2.0 * step, step / 4, 100.0 * step))
        if step % 2 == 0:
            held = {"eval_loss": loss + 0.1}
            records.append(Record(step, held, 2.0 * step, step / 4, 100.0 * step))
    return Entry(
        job, label, "rsft", "succeeded", made=f"artifact:{job}", records=records, facts=facts
    )


def group(*entries: Entry, caveat: str = "") -> Comparison:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    return Comparison(7, "sweep", "epochs", "Epochs", "epochs", when, entries, caveat)


ONE = entry(1, "1", [2.0, 1.5, 1.0, 0.8], seconds=8.0)
TWO = entry(2, "2", [2.0, 1.4, 1.0, 0.7, 0.6, 0.5, 0.4, 0.3], seconds=16.0, peak_memory=2.0**30)


def test_runs_of_other_lengths_share_an_axis() -> None:
    assert ONE.points("loss", "rows") == [(2.0, 2.0), (4.0, 1.5), (6.0, 1.0), (8.0, 0.8)]
    assert ONE.points("loss", "epochs")[-1] == (1.0, 0.8)
    assert TWO.points("loss", "epochs")[-1] == (2.0, 0.3)
    assert TWO.points("eval_loss", "tokens")[0] == (200.0, 1.5)
    assert group(ONE, TWO).axes("loss") == ["rows", "steps", "epochs", "tokens"]


def test_an_axis_that_a_job_does_not_know_is_not_offered() -> None:
    bare = Entry(3, "3", "mine", "succeeded", records=[Record(4, {"hard_samples": 1.0})])
    assert group(bare).axes("hard_samples") == ["steps"]
    # A job that never recorded the metric takes nothing away from the others.
    assert "tokens" in group(ONE, bare).axes("loss")


def test_what_is_not_finite_is_not_drawn() -> None:
    broken = entry(1, "1", [2.0, NAN, 1.0])
    assert [y for _, y in broken.points("loss", "steps")] == [2.0, 1.0]
    assert Entry(1, "1", "rsft", "queued").last("loss") is None


def test_few_records_are_drawn_as_they_are_and_many_as_the_mean_around_each() -> None:
    few = [(float(x), float(x % 2)) for x in range(FEW)]
    assert smoothed(few) == few
    falling = [(float(x), 100.0 - x) for x in range(100)]
    drawn = smoothed(falling)
    # Centred: a straight line stays where it is, but at its ends.
    assert drawn[50] == (50.0, 50.0)
    assert [x for x, _ in drawn] == [x for x, _ in falling]
    noisy = [(float(x), float(x % 2)) for x in range(100)]
    assert max(abs(y - 0.5) for _, y in smoothed(noisy)[5:95]) < 0.2


def test_the_final_loss_is_where_the_curve_ends() -> None:
    (_, lines), (_, held) = panels_of(group(ONE, TWO), "loss", "rows")
    (loss,) = [column for column in columns_of(group(ONE, TWO)) if column.name == "loss"]
    assert [loss.of(ONE), loss.of(TWO)] == [line[2][-1][1] for line in lines] == [0.8, 0.3]
    assert [name for _, name, _ in held] == ["1", "2"]


def test_counts_and_held_out_losses_are_told_as_recorded() -> None:
    records = [Record(step, {"hard_samples": 2.0 * step}) for step in range(1, 4 * FEW)]
    assert Entry(1, "1", "mine", "succeeded", records=records).last("hard_samples") == 8.0 * FEW - 2
    long = entry(2, "2", [1.0 / step for step in range(1, 8 * FEW + 1)])
    assert long.last("eval_loss") == 1.0 / (8 * FEW) + 0.1


def test_columns_that_no_job_has_are_left_out() -> None:
    names = [column.name for column in columns_of(group(ONE, TWO))]
    assert names == ["loss", "eval_loss", "seconds", "peak_memory"]
    assert [column.name for column in columns_of(group())] == ["loss", "seconds"]


def test_metrics_begin_with_the_loss_and_leave_the_held_out_to_it() -> None:
    more = Entry(3, "3", "hsdpo", "running", records=[Record(1, {"reward_margin": 1.0, "a": 0.0})])
    assert group(ONE, more).metrics == ["loss", "reward_margin", "a"]


def test_json_has_each_column_for_each_job() -> None:
    whole = comparison_json(group(ONE, TWO, caveat="Mind."))
    assert (whole["id"], whole["field"], whole["caveat"]) == (7, "epochs", "Mind.")
    first, second = whole["jobs"]
    assert (first["value"], first["loss"], first["peak_memory"]) == ("1", 0.8, None)
    assert (second["made"], second["seconds"]) == ("artifact:2", 16.0)


def test_csv_has_a_row_for_each_record() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(group(ONE, TWO)))))
    assert len(rows) == 6 + 12
    # The swept field is called as an axis is.
    assert rows[0] == {
        "job": "1",
        "value_of_epochs": "1",
        "rows": "2",
        "steps": "1",
        "epochs": "0.25",
        "tokens": "100",
        "loss": "2",
        "eval_loss": "",
    }
    assert rows[2]["eval_loss"] == "1.6"


def test_the_picture_is_a_png_and_its_colours_are_those_of_the_page() -> None:
    from guardui.theme import TOKENS

    assert to_png(group(ONE, TWO)).startswith(b"\x89PNG")
    assert to_png(group(ONE, TWO), "loss", "epochs") != to_png(group(ONE, TWO), "loss", "rows")
    assert [TOKENS[f"curve-{letter}"][0] for letter in "abcdef"] == list(COLOURS)


def test_what_was_not_recorded_is_named() -> None:
    with pytest.raises(InputError, match=r"metric=margin: no job of group 7 .*: loss"):
        to_png(group(ONE), "margin")
