"""A group as HTML: lines told apart by more than colour, a table, and jobs before a launch."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

from guardui.render_curves import Line, Panel, curves
from guardui.render_group import (
    group_choice,
    group_files,
    group_head,
    group_picture,
    group_table,
    planned_jobs,
    rows_said,
    together,
)
from pipelines.comparison import Comparison, Entry
from pipelines.jobs.planning import Planned
from pipelines.schema import InputError
from pipelines.stages import get_stage
from pipelines.stages.base import build_config
from tests.pipelines.test_comparison import ONE, TWO, group

NASTY = "<script>window.xss=1</script>"


def test_each_line_has_its_own_colour_dash_marker_and_name() -> None:
    lines = [Line(f"value {n}", n, [(0.0, n), (5.0, n + 1.0)]) for n in range(8)]
    drawn = curves([Panel("Loss", lines)], "steps")
    looks = re.findall(r'<path class="curve (c-.)" d="[^"]*"( stroke-dasharray="[^"]*")?', drawn)
    looks = looks[: len(lines)]
    assert len(set(looks)) == len(looks) == 8
    names = re.findall(r'<text class="name"[^>]*>([^<]*)<', drawn)
    assert sorted(names) == [f"value {n}" for n in range(8)]


def test_names_that_would_lie_on_each_other_are_spread() -> None:
    lines = [Line(str(n), n, [(0.0, 2.0), (5.0, 1.0)]) for n in range(4)]
    drawn = curves([Panel("Loss", lines)], "steps")
    heights = sorted(float(y) for y in re.findall(r'class="name" x="[^"]*" y="([^"]*)"', drawn))
    assert all(below - above >= 16 for above, below in pairwise(heights))


def test_one_value_that_never_changes_is_drawn() -> None:
    assert "<path" in curves([Panel("Loss", [Line("a", 0, [(3.0, 1.0)])])], "steps")


def test_training_and_held_out_stand_beside_each_other_and_are_told_in_words() -> None:
    drawn = group_picture(group(ONE, TWO), "loss", "rows")
    assert re.findall(r"<h3>([^<]*)</h3>", drawn) == ["Training loss", "Held-out loss"]
    assert "2: from 2 to 0.3 at 16 rows seen." in drawn
    assert group_picture(group(), "loss", "rows").count("No curves") == 1


def test_the_table_has_a_row_a_job_and_marks_the_lowest_held_out_loss() -> None:
    table = group_table(group(ONE, TWO))
    assert re.findall(r'<button[^>]*data-pick="(\d+)"', table) == ["1", "2"]
    assert "artifact:2" in table
    assert table.count(">lowest<") == 1
    assert ">lowest<" not in group_table(group(ONE, TWO, caveat="Other texts."))
    assert "Other texts." in group_head(group(ONE, TWO, caveat="Other texts."))


def test_foreign_text_is_inert() -> None:
    entry = Entry(1, NASTY, NASTY, "failed", reason=NASTY, records=ONE.records)
    found: Comparison = replace(group(entry, TWO), title=NASTY, field=NASTY, caveat=NASTY)
    for part in (
        group_head(found),
        group_table(found),
        group_picture(found, "loss", "rows"),
        group_files(found, NASTY, "rows"),
    ):
        assert "<script" not in part


def test_a_group_in_a_list() -> None:
    assert group_choice(group(ONE, TWO)).startswith("#7 Epochs (2 runs), 2 Jan")
    assert "(1 run)" in group_choice(group(ONE))


def test_jobs_before_a_launch_tell_why_they_are_refused() -> None:
    stage = get_stage("rsft")
    config = build_config(stage, "smollm2-demo")
    fine = Planned(stage, "smollm2-demo", config, "Epochs: 3", key="3", rows={"Aegis": 4, "x": 2})
    refused = replace(fine, title="Epochs: 5", key="5", refusal=InputError(f"no {NASTY}"))
    drawn = planned_jobs([fine, refused])
    assert "Aegis 4, x 2" in drawn
    assert drawn.count("✕ refused") == 1
    assert "<script" not in drawn
    assert "Aegis" not in planned_jobs([fine], sources=False)
    assert rows_said({"Aegis": 4, "x": 2}) == "6 rows: Aegis 4, x 2"
    assert rows_said({"": 4}) == "4 rows"


def test_a_time_that_is_not_known_is_not_made_up() -> None:
    assert (
        together([None, None]) == "how long they take isn't known: nothing like them has run here"
    )
