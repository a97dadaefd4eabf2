"""LaTeX tables tell what their readers must know, and no name can break them."""

import re
from itertools import pairwise

import pytest

from pipelines.comparing.model_tables import model_tables
from pipelines.reports.as_latex import escaped, latex
from tests.evaluation_runs import evaluated

GOLD = "1" * 12 + "0" * 12
HARD = "HardSamples/prompt"


@pytest.fixture
def pair(tmp_path):
    """One that was asked all, and one that was asked other rows of one benchmark alone."""
    whole = {
        "AegisSafetyTest": ("prompt", GOLD, GOLD[:-2] + "1-"),
        "SimpleSafetyTests": ("prompt", "1" * 10, "1" * 9 + "0"),
        HARD: ("prompt", "1010", "1011"),
        "XSTestResponseRefusal": ("refusal", "1100", "1100"),
    }
    seen = "3 rows of 24 were seen in training"
    told = [f"AegisSafetyTest: {seen}", "It was stopped once & went on"]
    first = evaluated(tmp_path / "a", whole, name="[2pt] Alpha", remarks=told)
    part = {
        "AegisSafetyTest": ("prompt", "1" * 10 + "0" * 10, "1" * 20),
        "XSTestResponseRefusal": ("refusal", "1100", "0100"),
    }
    return [first, evaluated(tmp_path / "b", part, name="*Beta*")]


def parts(text):
    """Name of a table -> its rows by model (name, then cells), and what stands below them."""
    found = {}
    for part in text.split(r"\begin{table}")[1:]:
        name = re.search(r"label\{tab:(\w+)\}", part)[1]
        body, below = part.split(r"\end{tabular}")
        rows = [
            line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if " & " in line
        ]
        found[name] = ({row[0].removeprefix("{}"): row for row in rows}, below)
    return found


def test_no_row_begins_with_what_the_line_before_would_take(pair):
    text = latex(model_tables(pair))
    lines = text.splitlines()
    before = [line for line, after in pairwise(lines) if after.startswith(("[", "*"))]
    assert not [line for line in before if line.endswith((r"\\", r"rule"))]
    assert len(re.findall(r"^\{\}(\[2pt\] Alpha|\*Beta\*) & ", text, re.M)) == 6


def test_heads_have_rows_and_hard_samples_are_marked(pair):
    rows, below = parts(latex(model_tables(pair)))["prompt"]
    assert rows["Model"][1:] == [
        r"AegisSafetyTest (24)$^{\ast}$",
        "SimpleSafetyTests (10)",
        r"HardSamples/prompt (4)$^{\S}$",
        "Average",
    ]
    assert r"$\S$ counts in no average." in below
    rows, below = parts(latex(model_tables(pair)))["refusal"]
    assert rows["Model"][1:] == ["XSTest (4)", "Average"]
    assert r"\S" not in below


def test_cells_on_other_rows_and_averages_over_fewer_benchmarks_are_marked(pair):
    found = parts(latex(model_tables(pair)))
    rows, below = found["prompt"]
    beta = rows["*Beta*"]
    assert [re.findall(r"\^\{(.*?)\}", cell) for cell in beta[1:]] == [
        [r"\ast"],
        [],
        [],
        [r"\ast\dagger"],
    ]
    assert beta[2:4] == ["--", "--"]
    assert r"$\ast$ on other rows than most" in below
    assert r"$\dagger$ over fewer benchmarks than others." in below
    assert "--: not asked." in below
    assert not any("^" in cell for cell in rows["GuardReasoner-1B"])
    assert rows["GuardReasoner-1B"][3] == "n/a"
    averages, below = found["averages"]
    assert averages["*Beta*"][1].endswith(r"^{\ast\dagger}$")
    assert averages["*Beta*"][3].endswith(r"^{\ast\dagger}$")
    assert "^" not in averages["*Beta*"][2]
    assert r"$\dagger$" in below


def test_remarks_and_missing_verdicts_are_told(pair):
    rows, below = parts(latex(model_tables(pair)))["prompt"]
    alpha = rows["[2pt] Alpha"]
    assert alpha[1].endswith(r"^{\ddagger}$")
    assert alpha[4].endswith(r"^{\ddagger}$")
    assert "^" not in alpha[2]
    told = r"$\ddagger$ [2pt] Alpha (AegisSafetyTest): 3 rows of 24 were seen in training."
    assert told in below
    assert "Percent of rows without a verdict: [2pt] Alpha 2.9." in below


def test_notes_stand_under_their_tables(pair):
    pair[0].info.benchmarks[0].remarks.append("24 of 359 rows were drawn, with seed 0")
    tables = model_tables(pair)
    found = parts(latex(tables))
    for table in tables.tables:
        below = found[table.task.value.partition("_")[0]][1]
        for note in table.notes:
            assert escaped(note) in below
    assert "is in no average: hard samples are training rows" in found["prompt"][1]
    drawn = "AegisSafetyTest: 24 of 359 rows were drawn, with seed 0"
    assert [drawn in below for _, below in found.values()] == [True, False, True]
    stopped = r"[2pt] Alpha: It was stopped once \& went on"
    assert all(stopped in below for _, below in found.values())


def test_captions_tell_of_what_is_there(pair):
    text = latex(model_tables(pair[:1]))
    assert "as published" in text
    assert "is bold" not in text
    assert "as published" not in latex(model_tables(pair, published=False))
