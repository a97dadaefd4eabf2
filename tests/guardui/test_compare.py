"""The Compare tab without a browser: what it offers, shows and escapes, and its report links."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from db.session import Database, open_database
from guardui.compare_downloads import report_routes
from guardui.compare_runs import chosen, ids_of, listed, offers
from guardui.compare_view import Looked, measure_words, view
from guardui.layout import runs_asked_for
from guardui.render_compare import breakable, percent, said_of, span
from guardui.render_compare_pair import chance, points
from guardui.tabs.compare import AT_FIRST, looked, moved
from pipelines.comparing.model_tables import Cell, Row
from pipelines.settings import Settings
from tests.evaluation_runs import PROMPT, REFUSAL, RESPONSE
from tests.evaluation_runs import add_evaluation as add

AEGIS, SIMPLE = ("AegisSafetyTest", PROMPT), ("SimpleSafetyTests", PROMPT)
HARM, REFUSED = ("HarmBenchResponse", RESPONSE), ("XSTestResponseRefusal", REFUSAL)
NASTY = "<script>alert(1)</script>"
SAID = {
    AEGIS: "TTTTmttttf!",
    SIMPLE: "TTTTm",
    HARM: "TTmttf?",
    REFUSED: "TTTttm",
}
OTHER = {
    AEGIS: "TTmTTtftt!f",
    SIMPLE: "TTTTT",
    HARM: "TmTttt?",
    REFUSED: "TTTTtm",
}


@pytest.fixture
def database(home: Settings) -> Iterator[Database]:
    """One of its own; the page is the same on either kind."""
    database = open_database(home.database_url)
    yield database
    database.dispose()


@pytest.fixture
def two(database: Database, tmp_path: Path) -> tuple[int, int]:
    """Two runs on the same rows."""
    nasty = {"raw": f"# Task 1\n## Step 1: {NASTY}", "category": f"fraud {NASTY}"}
    epochs = {"epochs": 1, "rows": 500}
    return (
        add(database, tmp_path / "a", f"first {NASTY}", SAID, training=epochs, **nasty),
        add(database, tmp_path / "b", "second", OTHER, training=epochs | {"epochs": 3}, **nasty),
    )


def test_without_evaluations_it_says_what_to_do(database: Database) -> None:
    shown = view(database, Looked())
    assert "Nothing evaluated yet" in shown["head"]
    assert "guardui run evaluate" in shown["head"]
    assert not shown["body"]


def test_the_newest_three_runs_are_chosen_and_a_baseline_comes_along(
    database: Database, tmp_path: Path
) -> None:
    base = add(database, tmp_path / "t", "tf-idf", {AEGIS: "TTm"}, kind="baseline", mode="computed")
    other = add(database, tmp_path / "o", "tf-idf", {HARM: "TTm"}, kind="baseline", mode="computed")
    runs = [add(database, tmp_path / str(n), f"run {n}", {AEGIS: "TTm"}) for n in range(4)]
    shown = view(database, Looked())
    choices, value = shown["runs"]
    assert value == tuple(reversed(runs[1:]))
    assert [one for _, one in choices] == [*reversed(runs), other, base]
    assert shown["tables"].count("tf-idf") > 0
    assert f"runs={','.join(map(str, [*value, base]))}&amp;policy=wrong_once" in shown["files"]
    assert "run 0" not in shown["tables"]


def test_an_evaluation_that_is_gone_is_told_and_the_rest_is_shown(
    database: Database, two: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "b" / "evaluation.json").unlink()
    shown = view(database, Looked())
    assert f"#{two[1]} second" in shown["head"]
    assert "no finished evaluation" in shown["head"]
    assert shown["body"]
    assert "second" not in shown["tables"]


def test_tables_have_values_intervals_failures_and_published_rows(
    database: Database, two: tuple[int, int]
) -> None:
    shown = view(database, Looked(details=True))
    tables = shown["tables"]
    assert tables.count("<section") == 4
    for word in ("GuardReasoner-8B", "always-harmful", "never-harmful", "second", "FPR"):
        assert word in tables
    assert "95% interval" in tables
    assert 'title="no verdict"' in tables
    assert "cmp-detailed" in tables
    # One stop of the tab key for each table.
    assert tables.count('tabindex="0"') == 4
    assert NASTY not in tables
    assert shown["costs"] == ""
    recall = view(database, Looked(metric="recall"))["tables"]
    assert "GuardReasoner-8B" not in recall
    dropped = view(database, Looked(policy="dropped"))["tables"]
    assert dropped != view(database, Looked())["tables"]


def test_what_a_verdict_takes(database: Database, tmp_path: Path) -> None:
    add(database, tmp_path / "a", "quick", {AEGIS: "TTmt"}, tokens=40, seconds=0.5)
    add(database, tmp_path / "b", "untimed", {AEGIS: "TTmt"}, tokens=300)
    costs = view(database, Looked())["costs"]
    row = costs.split("quick</th>")[1].split("</tr>")[0]
    assert (row.count(">40<"), row.count(">0.50<")) == (2, 2)
    assert ">300<" in costs
    assert "always-harmful" not in costs


def test_a_pair_has_tests_in_words_and_rows_to_look_at(
    database: Database, two: tuple[int, int]
) -> None:
    shown = view(database, Looked(part="pair", a=two[0], b=two[1]))
    assert "tables" not in shown
    assert shown["pair_fields"]
    assert "Over all benchmarks" in shown["tests"]
    assert "McNemar" in shown["tests"]
    assert "Holm-corrected" in shown["tests"]
    assert NASTY not in shown["tests"] + shown["rows"] + shown["kinds"]
    assert 'data-kind="a_right" aria-pressed="true"' in shown["kinds"]
    one = view(database, Looked(part="pair", a=two[0], b=two[1], benchmark=AEGIS[0]))
    assert "Holm-corrected" not in one["tests"]
    assert HARM[0] not in one["rows"]
    assert one["benchmark"][1] == AEGIS[0]


def test_a_row_opens_both_traces_shut(database: Database, two: tuple[int, int]) -> None:
    key = f"{AEGIS[0]}:4"
    detail = view(database, Looked(part="pair", a=two[0], b=two[1], opened=key))["detail"]
    assert 'data-shown="no"' in detail
    assert detail.count("hs-secret") == 3  # the request and both traces
    assert "✕ unharmful, wrong" in detail
    assert "✓ harmful, right" in detail
    assert NASTY not in detail
    for other in ("", "x", f"{AEGIS[0]}:999", "nothing:1"):
        shown = view(database, Looked(part="pair", opened=other))
        assert "No row opened" in shown["detail"]


def test_one_run_alone_asks_for_a_second(database: Database, two: tuple[int, int]) -> None:
    alone = view(database, Looked(runs=two[:1], part="pair"))
    assert "Only one run" in alone["tests"]
    assert alone["rows"] == ""
    same = view(database, Looked(part="pair", a=two[0], b=two[0]))
    assert "the same run" in same["tests"]
    assert (
        "Verdicts against gold" in view(database, Looked(runs=two[:1], part="mistakes"))["matrices"]
    )
    assert "No run chosen" in view(database, Looked(runs=()))["head"]


def test_mistakes_have_counts_shares_and_failures_of_their_own(
    database: Database, two: tuple[int, int]
) -> None:
    shown = view(database, Looked(part="mistakes", a=two[0], b=two[1], benchmark=AEGIS[0]))
    # 5 harmful rows, of which 4 were found: 80%.
    assert "</span> 4<small>80.0%</small>" in shown["matrices"]
    assert "no verdict" in shown["matrices"]
    assert shown["matrices"].count("<table") == 2
    for title in ("Errors by category", "Errors by length in characters", "Errors by source"):
        assert title in shown["errors"]
    assert NASTY not in shown["errors"]
    # Both have a row without a verdict there, so the policies differ.
    assert shown["policies"].count(f'scope="row">{breakable(AEGIS[0])}') == 2
    # 4 of 5 found, a miss, a false alarm and a failure: 8 / 11, twice wrong 8 / 12, dropped 8 / 10.
    first = shown["policies"].split("<tbody>")[1].split("</tr>")[0]
    assert [first.count(value) for value in ("72.7", "66.7", "80.0")] == [1, 1, 1]
    every = view(database, Looked(part="mistakes", a=two[0], b=two[1]))
    assert every["matrices"].count("<table") == 6
    none = view(database, Looked(part="mistakes", a=two[0], b=two[1], benchmark=SIMPLE[0]))
    assert "Every row has a verdict" in none["policies"]


def test_along_a_training(database: Database, two: tuple[int, int], tmp_path: Path) -> None:
    shown = view(database, Looked(part="training"))
    assert shown["axis"] == ((("epochs", "epochs"),), "epochs")
    assert shown["measure"][1] == ""
    assert "cmp-whisker" in shown["trend"]
    assert NASTY not in shown["trend"]
    alike = view(database, Looked(part="training", runs=two[:1]))
    assert "Nothing to draw along" in alike["trend"]
    assert not alike["training_fields"]
    assert measure_words(PROMPT.value) == "Prompt harmfulness, average"


def test_calibration_where_there_are_probabilities(
    database: Database, two: tuple[int, int], tmp_path: Path
) -> None:
    shown = view(database, Looked(part="calibration", a=two[0], b=two[1], benchmark=AEGIS[0]))
    assert "Reliability" in shown["calibration"]
    assert "10 of 11" in shown["calibration"]
    assert "probability of harmful" in shown["calibration"]
    blank = add(database, tmp_path / "c", "blank", SAID, probability=None)
    none = view(database, Looked(runs=(blank,), part="calibration"))
    assert "No probabilities" in none["calibration"]


def test_reports_can_be_taken_away(
    database: Database, two: tuple[int, int], home: Settings
) -> None:
    client = TestClient(Starlette(routes=report_routes(database)))
    runs = ",".join(map(str, two))
    for form, ending in (("markdown", "md"), ("html", "html"), ("json", "json"), ("latex", "tex")):
        answer = client.get(f"/compare/report.{form}?runs={runs}&policy=dropped")
        assert answer.status_code == 200, answer.text
        assert f'filename="evaluation-report.{ending}"' in answer.headers["content-disposition"]
        assert answer.headers["content-security-policy"] == "sandbox"
        assert "second" in answer.text
    for wrong, told in (
        ("report.pdf?runs=1", "form=pdf"),
        ("report.json?runs=9999", "runs=9999"),
        ("report.json", "must be ids"),
        (f"report.json?runs={runs}&policy=kind", "policy=kind: must be one of wrong_once"),
    ):
        answer = client.get(f"/compare/{wrong}")
        assert answer.status_code == 404
        assert told in answer.text


def test_addresses_and_choices(database: Database, two: tuple[int, int]) -> None:
    assert ids_of("12,13") == [12, 13]
    assert ids_of("12, x,-3,99999999999") == [12]
    assert ids_of("") is None
    found = listed(database)
    assert chosen(found, [two[0], 99, two[0]]) == [two[0]]
    assert offers(found)[0].name.startswith(f"#{two[1]} second, ")

    class Tabs:
        pass

    shown = runs_asked_for(None, Tabs(), "nothing")  # type: ignore[arg-type]
    assert len(shown) == 1


def test_what_the_fields_and_the_clicks_say() -> None:
    fields = [[], "dropped", "f1", None, None, 4, None, None, ""]
    first = looked(fields, AT_FIRST)
    assert (first.runs, first.policy, first.b, first.benchmark) == (None, "dropped", 4, "")
    assert looked(fields, AT_FIRST | {"came": True}).runs == ()
    assert moved({"kind": "failures", "page": 1}) == {
        "kind": "failures",
        "page": 1,
        "opened": None,
    }
    assert moved({"page": "2", "opened": "A:1", "else": 3}) == {"opened": "A:1"}
    assert moved("nonsense") == {}


def test_words_and_numbers() -> None:
    assert percent(0.8894) == "88.9"
    assert percent(None) == "–"  # noqa: RUF001
    assert span((0.1, 0.25)) == "10.0 to 25.0"
    assert (points(0.012), points(-0.3)) == ("+1.2", "-30.0")
    assert (chance(0.0004), chance(0.0321)) == ("< 0.001", "0.032")
    assert breakable("SimpleSafety<b>") == "Simple<wbr>Safety&lt;b&gt;"
    ours = Row("a", "run", "reason", 0, (), Cell(None))
    cell = Cell(0.5, (0.4, 0.6), 10, 0.1, 0.2, same_rows=False)
    told = said_of(cell, ours)
    assert told == (
        "50.0; 95% interval 40.0 to 60.0; 10 rows, other than of most runs; "
        "no verdict in 10.0%; false-positive rate 20.0"
    )
    paper = Row("p", "published", "reason", None, (), Cell(None))
    assert said_of(Cell(0.5), paper) == "50.0; as the paper prints it, on its own rows"
