"""The paper's tables of our own models: rows, columns, what is marked and what is said beside."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.comparing.model_tables import Cell, Row, Table, model_tables, unique_names
from pipelines.published import AVERAGES, SCORES
from pipelines.schema import GuardTask, InputError
from pipelines.scoring.cells import Policy
from tests.evaluation_runs import PROMPT, REFUSAL, RESPONSE, evaluation

AEGIS, SIMPLE = ("AegisSafetyTest", PROMPT), ("SimpleSafetyTests", PROMPT)
HARMBENCH, REFUSED = ("HarmBenchResponse", RESPONSE), ("XSTestResponseRefusal", REFUSAL)
GOOD = {AEGIS: "TTTTTTtttt", SIMPLE: "TTTTT", HARMBENCH: "TTTttt"}
POOR = {AEGIS: "TTTmm?tff!", SIMPLE: "TTTTm", HARMBENCH: "TmmttT"[:5] + "f"}


def row(table: Table, name: str, kind: str = "run") -> Row:
    return next(one for one in table.rows if (one.name, one.kind) == (name, kind))


def values(table: Table, name: str, kind: str = "run") -> list[float | None]:
    found = row(table, name, kind)
    return [
        None if one.value is None else round(one.value, 4) for one in (*found.cells, found.average)
    ]


def test_a_table_for_each_task_in_the_papers_order(tmp_path: Path) -> None:
    runs = [
        evaluation(tmp_path / "a", "good", GOOD),
        evaluation(tmp_path / "b", "poor", POOR),
    ]
    found = model_tables(runs)
    prompt, response = found.tables
    assert (prompt.task, response.task) == (PROMPT, RESPONSE)
    assert [one.title for one in prompt.columns] == ["AegisSafetyTest", "SimpleSafetyTests"]
    assert [one.title for one in response.columns] == ["HarmBench"]
    kinds = [one.kind for one in prompt.rows]
    assert kinds == ["published"] * len(SCORES) + ["baseline"] * 2 + ["run"] * 2
    # 10 and 5 rows: 2 * 3 / (2 * 3 + 3 + 3) and 8 / 9.
    assert values(prompt, "good") == [1, 1, 1]
    assert values(prompt, "poor") == [0.5, 0.8889, round((10 * 0.5 + 5 * 8 / 9) / 15, 4)]
    cell = row(prompt, "poor").cells[0]
    assert (cell.rows, cell.failure_rate, cell.false_positive_rate) == (10, 0.2, 0.75)
    assert cell.interval is not None
    assert cell.interval[0] < 0.5 < cell.interval[1]


def test_the_table_of_averages_takes_the_mean_of_the_tasks(tmp_path: Path) -> None:
    runs = [evaluation(tmp_path / "a", "good", GOOD), evaluation(tmp_path / "b", "poor", POOR)]
    found = model_tables(runs)
    assert found.overall is not None
    assert [one.name for one in found.overall.columns] == [PROMPT, RESPONSE]
    whole = row(found.overall, "poor")
    means = [one.value or 0.0 for one in whole.cells]
    assert whole.average.value == pytest.approx(sum(means) / 2)
    assert whole.average.covers == ("AegisSafetyTest", "SimpleSafetyTests", "HarmBenchResponse")
    assert whole.average.interval is not None
    one_task = [evaluation(tmp_path / "c", "small", {AEGIS: "Ttm"})]
    assert model_tables(one_task).overall is None


def test_published_rows_are_averaged_over_the_columns_that_are_there(tmp_path: Path) -> None:
    runs = [evaluation(tmp_path / "a", "good", GOOD, published={"AegisSafetyTest": 359})]
    prompt = model_tables(runs).tables[0]
    model = "GuardReasoner-8B"
    aegis, simple = SCORES[model]["AegisSafetyTest"], SCORES[model]["SimpleSafetyTests"]
    told = row(prompt, model, "published")
    assert [one.value for one in told.cells] == [aegis / 100, simple / 100]
    assert told.average.value == pytest.approx((359 * aegis + 5 * simple) / 364 / 100)
    assert not any(one.same_rows or one.best for one in told.cells)


def test_the_paper_has_no_average_over_benchmarks_that_it_lacks(tmp_path: Path) -> None:
    """Its one score would stand as an average beside ours of two benchmarks."""
    said = {AEGIS: "Ttm", ("mine", PROMPT): "Ttf", REFUSED: "Ttm"}
    ours = evaluation(tmp_path / "a", "ours", said)
    found = model_tables([ours])
    told = row(found.tables[0], "GuardReasoner-1B", "published")
    assert told.cells[0].value is not None
    assert (told.average.value, told.average.covers) == (None, ())
    assert told.average.note == "not published: mine"
    assert found.overall
    assert row(found.overall, "GuardReasoner-1B", "published").average.value is None


def test_published_models_without_any_average_have_no_row_of_dashes(tmp_path: Path) -> None:
    said = {("mine", PROMPT): "Ttf", ("yours", REFUSAL): "Ttm"}
    found = model_tables([evaluation(tmp_path / "a", "ours", said)])
    assert found.overall
    assert {one.kind for one in found.overall.rows} == {"baseline", "run"}


def test_a_whole_task_has_the_papers_own_average(tmp_path: Path) -> None:
    names = [name for name in SCORES["GuardReasoner-1B"] if name.endswith("Refusal")]
    runs = [evaluation(tmp_path / "a", "all", {(name, REFUSAL): "TTmtf" for name in names})]
    refusal = model_tables(runs).tables[0]
    average = row(refusal, "GuardReasoner-1B", "published").average
    assert average.value == AVERAGES["GuardReasoner-1B"][REFUSAL] / 100


def test_constants_stand_beside_every_run_and_a_real_one_takes_their_place(tmp_path: Path) -> None:
    run = evaluation(tmp_path / "a", "good", GOOD)
    prompt = model_tables([run]).tables[0]
    assert values(prompt, "always-harmful", "baseline")[:2] == [0.75, 1.0]
    assert values(prompt, "never-harmful", "baseline") == [0, 0, 0]
    assert row(prompt, "always-harmful", "baseline").evaluation is None
    given = evaluation(
        tmp_path / "b", "always-harmful", {AEGIS: "TTTTTTffff"}, kind="baseline", mode="computed"
    )
    found = model_tables([run, given]).tables[0]
    told = [one for one in found.rows if one.name == "always-harmful"]
    assert [one.evaluation for one in told] == [1]
    rows = model_tables([run], baselines=False).tables[0].rows
    assert not any(one.kind == "baseline" for one in rows)


def test_the_best_of_our_runs_is_marked_and_no_other_row(tmp_path: Path) -> None:
    runs = [evaluation(tmp_path / "a", "good", GOOD), evaluation(tmp_path / "b", "poor", POOR)]
    marked = [
        (one.name, n)
        for one in model_tables(runs).tables[0].rows
        for n, cell in enumerate((*one.cells, one.average))
        if cell.best
    ]
    assert marked == [("good", 0), ("good", 1), ("good", 2)]
    lowest = model_tables(runs, "false_positive_rate").tables[0]
    assert row(lowest, "good").cells[0].best
    assert not any(cell.best for one in model_tables(runs[:1]).tables for cell in flat(one))


def flat(table: Table) -> list[Cell]:
    return [cell for one in table.rows for cell in (*one.cells, one.average)]


def test_other_rows_are_told_and_do_not_compete(tmp_path: Path) -> None:
    runs = [
        evaluation(tmp_path / "a", "one", {AEGIS: "TTmtf"}),
        evaluation(tmp_path / "b", "two", {AEGIS: "TTTtf"}),
        evaluation(tmp_path / "c", "sampled", {AEGIS: "TTTtt"}, start=10),
    ]
    table = model_tables(runs).tables[0]
    assert not table.comparable
    assert table.columns[0].mixed
    assert [row(table, name).cells[0].best for name in ("one", "two", "sampled")] == [0, 1, 0]
    assert "sampled was asked other rows than most: AegisSafetyTest 5 (others 5)." in table.notes
    assert model_tables(runs[:2]).tables[0].comparable


def test_an_average_over_fewer_benchmarks_is_told(tmp_path: Path) -> None:
    runs = [
        evaluation(tmp_path / "a", "both", {AEGIS: "TTmtf", SIMPLE: "TTm"}),
        evaluation(tmp_path / "b", "half", {AEGIS: "TTTtt"}),
    ]
    table = model_tables(runs).tables[0]
    assert "The average of half covers 1 of 2 benchmarks." in table.notes
    assert not table.comparable
    assert row(table, "half").cells[1] == Cell(None, note="not asked")
    assert not row(table, "half").average.best


def test_what_a_reader_must_know_stands_in_the_notes(tmp_path: Path) -> None:
    paper = {"AegisSafetyTest": 359}
    runs = [evaluation(tmp_path / "a", "weak", {AEGIS: "Tmmmtf", SIMPLE: "Tm"}, published=paper)]
    notes = " ".join(model_tables(runs).tables[0].notes)
    assert "AegisSafetyTest has 6 rows here; the paper counts 359." in notes
    assert "SimpleSafetyTests holds positive rows alone" in notes
    assert "the baseline always-harmful reaches F1 80.0, no run more than 33.3" in notes
    only_safe = {("mine", PROMPT): "ttf"}
    table = model_tables([evaluation(tmp_path / "b", "safe", only_safe)]).tables[0]
    assert row(table, "safe").cells[0].note == "no positive row"
    assert values(table, "safe") == [None, None]


def test_averages_of_samples_are_of_whole_benchmarks_and_the_notes_say_so(tmp_path: Path) -> None:
    told = "weighted by the benchmarks' whole rows"
    whole = {AEGIS[0]: 900, SIMPLE[0]: 100}
    said = {AEGIS: "TTTT", SIMPLE: "TTmm"}
    sampled = model_tables([evaluation(tmp_path / "a", "a", said, of_rows=whole)])
    assert row(sampled.tables[0], "a").average.value == pytest.approx(0.9 + 0.1 * 2 / 3)
    assert any(told in note for note in sampled.notes)
    full = model_tables([evaluation(tmp_path / "b", "b", said)])
    assert row(full.tables[0], "b").average.value == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert not any(told in note for note in full.notes)


def test_other_metrics_have_no_published_rows_and_policies_change_the_values(
    tmp_path: Path,
) -> None:
    runs = [evaluation(tmp_path / "a", "poor", POOR)]
    assert not any(one.kind == "published" for one in model_tables(runs, "recall").tables[0].rows)
    dropped = model_tables(runs, "f1", Policy.DROPPED)
    assert values(dropped.tables[0], "poor")[0] == 0.6
    assert "left out" in dropped.notes[0]
    with pytest.raises(InputError, match="metric=beauty: must be one of f1"):
        model_tables(runs, "beauty")


def test_a_run_may_be_called_like_a_published_model(tmp_path: Path) -> None:
    runs = [evaluation(tmp_path / "a", "GuardReasoner-1B", GOOD)]
    found = model_tables(runs).overall
    assert found is not None
    assert [one.kind for one in found.rows if one.name == "GuardReasoner-1B"] == [
        "published",
        "run",
    ]


def test_hard_samples_have_a_column_and_no_say(tmp_path: Path) -> None:
    hard = ("HardSamples/prompt", PROMPT)
    runs = [
        evaluation(tmp_path / "a", "before", {AEGIS: "TTmt", hard: "mmmmff"}),
        evaluation(
            tmp_path / "b",
            "after",
            {AEGIS: "TTmt", hard: "TTTTt!"},
            remarks=["HardSamples/prompt: 6 of 6 rows were seen"],
        ),
    ]
    table = model_tables(runs).tables[0]
    assert [(one.name, one.counts) for one in table.columns] == [
        (AEGIS[0], True),
        (hard[0], False),
    ]
    assert values(table, "before") == [0.8, 0, 0.8]
    assert values(table, "after") == [0.8, pytest.approx(8 / 9, abs=1e-4), 0.8]
    # Nor do their rows without a verdict, or that they were seen, count against the average.
    assert row(table, "after").cells[1].remark
    assert (row(table, "after").average.remark, row(table, "after").average.failure_rate) == ("", 0)
    assert row(table, "before").false_alarms.value == 0
    assert any(told.startswith("HardSamples/prompt is in no average") for told in table.notes)
    assert table.comparable


def test_what_is_held_against_a_score_stands_in_its_cell(tmp_path: Path) -> None:
    remarks = ["AegisSafetyTest: 2 of 4 rows were seen", "asked twice"]
    found = model_tables(
        [evaluation(tmp_path / "a", "a", {AEGIS: "TTmt", SIMPLE: "Tm"}, remarks=remarks)]
    )
    told = row(found.tables[0], "a")
    assert [one.remark for one in told.cells] == ["2 of 4 rows were seen", ""]
    assert told.average.remark
    assert "a: asked twice" in found.notes
    assert not any("seen" in one for one in found.notes)


def test_names_are_told_apart(tmp_path: Path) -> None:
    modes = ["reason", "fast", "fast"]
    runs = [
        evaluation(tmp_path / str(n), "guard", {AEGIS: "Tt"}, mode=mode)
        for n, mode in enumerate(modes)
    ]
    assert unique_names(runs) == ["guard (reason)", "guard (fast) #2", "guard (fast) #3"]
    assert GuardTask.REFUSAL not in [table.task for table in model_tables(runs).tables]
