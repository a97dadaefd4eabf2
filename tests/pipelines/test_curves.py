"""Curves as a table and as a picture: the values and the size are read back."""

import csv
import io
import math

import pytest

from pipelines.curves import Run, smoothed, table, to_csv, to_png
from pipelines.schema import InputError


def training(job=1, steps=80):
    points = [
        (step, {"loss": 2 / step + 0.1 * (step % 3), "learning_rate": 5e-5 * (1 - step / steps)})
        for step in range(1, steps + 1)
    ]
    points += [(step, {"eval_loss": 2.2 / step}) for step in range(20, steps + 1, 20)]
    return Run(job, f"#{job} R-SFT", points)


def pixels(png):
    """(height, width, 4) values from 0 to 1."""
    from matplotlib.image import imread

    return imread(io.BytesIO(png), format="png")


def test_a_step_is_one_row_and_the_later_number_counts():
    points = [(2, {"loss": 1}), (1, {"loss": 3.0}), (2, {"eval_loss": 0.5, "loss": 2, "note": "x"})]
    assert table(points) == [{"step": 1, "loss": 3}, {"step": 2, "loss": 2, "eval_loss": 0.5}]


def test_csv_holds_every_number_exactly():
    run = training()
    rows = list(csv.DictReader(io.StringIO(to_csv([run]))))
    assert list(rows[0]) == ["job", "step", "loss", "learning_rate", "eval_loss"]
    assert [int(row["step"]) for row in rows] == list(range(1, 81))
    assert [float(row["loss"]) for row in rows] == [
        values["loss"] for _, values in run.points if "loss" in values
    ]
    assert {int(row["step"]): float(row["eval_loss"]) for row in rows if row["eval_loss"]} == {
        step: 2.2 / step for step in (20, 40, 60, 80)
    }


def test_csv_of_several_jobs_has_a_line_a_job_and_step():
    mined = Run(7, "#7 Mine", [(8, {"hard_samples": 3})], "conversations")
    rows = list(csv.DictReader(io.StringIO(to_csv([training(5, 2), mined]))))
    assert [(row["job"], row["step"]) for row in rows] == [("5", "1"), ("5", "2"), ("7", "8")]
    assert (rows[2]["hard_samples"], rows[2]["loss"]) == ("3.0", "")


@pytest.mark.parametrize(
    ("runs", "inches"),
    [
        ([training()], 2.8 + 1.7 + 0.8),
        ([training(1), training(2)], 2.8 + 1.7 + 0.8),
        ([Run(3, "#3 Mine", [(8, {"hard_samples": 3}), (16, {"hard_samples": 5})])], 2.8 + 0.8),
    ],
)
def test_the_picture_has_a_panel_for_each_kind_of_number(runs, inches):
    image = pixels(to_png(runs))
    assert image.shape[:2] == (pytest.approx(150 * inches, abs=2), 1200)
    assert image[2, -2, :3].tolist() == [1, 1, 1]  # on white, in a dark page too
    share = (image[..., :3] < 0.9).any(axis=2).mean()
    assert 0.005 < share < 0.3, "nothing, or too much, is drawn"


def test_each_job_of_several_has_a_colour_of_its_own():
    def share_of(png, colour):
        wanted = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        return float((abs(pixels(png)[..., :3] - wanted) < 0.02).all(axis=2).mean())

    one, both = to_png([training(1)]), to_png([training(1), training(2)])
    assert share_of(both, "#2f5d8a") > 0
    assert share_of(both, "#b3361e") > 0
    assert share_of(one, "#9db2c9") > 0  # the loss as it was, beneath the smoothed one


def test_a_nan_leaves_a_gap_and_no_trouble():
    run = Run(1, "#1", [(1, {"loss": 1.0}), (2, {"loss": None}), (3, {"loss": math.nan})])
    assert pixels(to_png([run])).shape[1] == 1200
    assert to_csv([run]).splitlines()[2] == "1,2,"


def test_without_numbers_the_job_is_named():
    with pytest.raises(InputError, match="job=4: no numbers recorded yet"):
        to_csv([Run(4, "#4", [])])
    with pytest.raises(InputError, match="none of the recorded numbers has a curve"):
        to_png([Run(4, "#4", [(1, {"epoch": 1})])])


def test_smoothing_begins_and_ends_with_the_curve_and_does_not_lag():
    assert smoothed([4.0, 1.0, 1.0, 7.0]) == pytest.approx([4, 2, 3, 7])
    falling = [100.0 - step for step in range(100)]
    assert smoothed(falling) == pytest.approx(falling)
