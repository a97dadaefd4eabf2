"""The report in its forms: the figures are the evaluations', the texts are escaped."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pipelines.evaluation_report import FORMS, report
from pipelines.evaluations import write_evaluation
from pipelines.gates import judge, parse_gates
from pipelines.schema import InputError
from pipelines.scoring.cells import Policy
from tests.evaluation_runs import evaluated

GOLD = "1" * 12 + "0" * 12
EVIL = "<script>alert('x')</script> | *a* & {b} _c_ $d$ \\e %f #g"


@pytest.fixture
def pair(tmp_path):
    """Two moderators and a baseline on three benchmarks; the second is better on the first."""
    first = evaluated(
        tmp_path / "first",
        {
            "AegisSafetyTest": ("prompt", GOLD, "1" * 6 + "0" * 5 + "-" + "1" * 3 + "0" * 9),
            "SimpleSafetyTests": ("prompt", "1" * 10, "1" * 8 + "00"),
            "XSTestResponseRefusal": ("refusal", "1100" * 5, "1100" * 5),
        },
        name="First",
        training={"dataset": "/data/mine.jsonl", "sources": ["AegisSafetyTest"], "epochs": 3.0},
        sampling={"max_new_tokens": 1024, "temperature": 0.0},
    )
    second = evaluated(
        tmp_path / "second",
        {
            "AegisSafetyTest": ("prompt", GOLD, "1" * 12 + "0" * 12),
            "SimpleSafetyTests": ("prompt", "1" * 10, "1" * 9 + "0"),
            "XSTestResponseRefusal": ("refusal", "1100" * 5, "0100" * 5),
        },
        name="Second",
        chances={"AegisSafetyTest": [0.9] * 12 + [0.1] * 12},
        texts={"raw": EVIL + " trace " * 100, "prompt": EVIL},
    )
    words = evaluated(
        tmp_path / "words",
        {
            "AegisSafetyTest": ("prompt", GOLD, "1" * 10 + "00" + "0" * 12),
            "SimpleSafetyTests": ("prompt", "1" * 10, "1" * 10),
            "XSTestResponseRefusal": ("refusal", "1100" * 5, "1000" * 5),
        },
        name="TF-IDF",
        kind="baseline",
        reference="tf-idf",
        mode="computed",
    )
    return [first, second, words]


def data_of(*arguments, **named):
    return json.loads(report(*arguments, "json", **named))


def test_json_has_the_figures(pair):
    found = data_of(pair)
    first = found["subjects"][0]
    assert first["name"] == first["info"]["name"] == "First"
    aegis = first["policies"]["wrong_once"]["benchmarks"]["AegisSafetyTest"]
    assert aegis["f1"] == pytest.approx(12 / 21)
    assert aegis["counts"]["failed_positive"] == 1
    assert aegis["intervals"]["f1"][0] < aegis["f1"] < aegis["intervals"]["f1"][1]
    dropped = first["policies"]["dropped"]["benchmarks"]["AegisSafetyTest"]
    assert dropped["f1"] == pytest.approx(12 / 20)
    assert [table["task"] for table in found["tables"]] == ["prompt_harmfulness", "refusal", None]
    names = [row["name"] for row in found["tables"][0]["rows"]]
    assert names[-3:] == ["TF-IDF", "First", "Second"]
    assert {"always-harmful", "GuardReasoner-8B"} < set(names)
    (calibrated,) = found["calibration"]
    assert (calibrated["subject"], calibrated["roc_area"]) == ("Second", 1.0)
    assert calibrated["calibration_error"] == pytest.approx(0.1)
    assert first["tokens"]["AegisSafetyTest"]["mean"] == pytest.approx(21.5)


def test_everybody_is_compared_with_the_reference(pair):
    found = data_of(pair)
    assert found["reference"] == "First"
    told = {(one["subject"], one["benchmark"]): one for one in found["compared"]}
    assert len(told) == 6
    better = told["Second", "AegisSafetyTest"]
    assert better["difference"] == pytest.approx(1 - 12 / 21)
    assert (better["only_a_right"], better["only_b_right"]) == (0, 9)
    assert better["p_value"] == pytest.approx(2 / 2**9)
    assert better["p_holm"] == pytest.approx(6 * better["p_value"])
    assert "Second" in better["words"]
    assert [one["task"] for one in found["averages_compared"] if one["subject"] == "Second"] == [
        "prompt_harmfulness",
        "refusal",
        None,
    ]
    other = data_of(pair, compare_with=1)
    assert other["reference"] == "Second"
    assert {one["subject"] for one in other["compared"]} == {"First", "TF-IDF"}


def test_what_can_not_be_compared_is_told(tmp_path, pair):
    lone = evaluated(tmp_path / "lone", {"AegisSafetyTest": ("prompt", "0" * 24, "1" * 24)})
    found = data_of([pair[0], lone])
    assert found["compared"] == []
    assert found["not_compared"] == [
        "ours, AegisSafetyTest: row=AegisSafetyTest:0: the two have different gold labels "
        "(12 such rows).",
        "ours, SimpleSafetyTests: was not asked it.",
        "ours, XSTestResponseRefusal: was not asked it.",
    ]
    assert data_of([pair[0]])["reference"] is None


def test_constants_are_in_the_tables_but_not_tested(tmp_path, pair):
    always = evaluated(
        tmp_path / "always",
        {"AegisSafetyTest": ("prompt", GOLD, "1" * 24)},
        name="Always harmful",
        kind="baseline",
        reference="always-harmful",
        mode="computed",
    )
    found = data_of([pair[0], always])
    assert found["compared"] == []
    names = [row["name"] for row in found["tables"][0]["rows"]]
    assert "Always harmful" in names
    assert "always-harmful" not in names


def test_mistakes_are_of_each_kind_and_benchmark(pair):
    found = data_of(pair[:1])["mistakes"]
    told = [(one["kind"], one["row_id"]) for one in found]
    assert told == [
        ("missed", "AegisSafetyTest:6"),
        ("missed", "SimpleSafetyTests:8"),
        ("missed", "AegisSafetyTest:7"),
        ("false_alarm", "AegisSafetyTest:12"),
        ("false_alarm", "AegisSafetyTest:13"),
        ("false_alarm", "AegisSafetyTest:14"),
        ("no_verdict", "AegisSafetyTest:11"),
    ]
    assert found[-1]["error"] == "no answers block"


@pytest.mark.parametrize("form", FORMS)
def test_without_examples_no_text_of_a_row_is_told(pair, form):
    if form != "latex":
        assert "Prompt 6 of AegisSafetyTest" in report(pair, form)
    text = report(pair, form, examples=0)
    assert "Prompt 6" not in text
    assert "Examples of mistakes" not in text
    assert "alert(" not in text


def test_markdown_says_all_of_it(pair):
    gates = judge(parse_gates("accuracy >= 0.9\nf1 >= 0.1"), pair[0])
    text = report(pair, gates=gates)
    titles = re.findall(r"^## (.*)$", text, re.M)
    assert titles == [
        "Gates",
        "Prompt harmfulness",
        "Refusal",
        "Averages",
        "Where a baseline wins",
        "Against First",
        "Subjects, and how they were asked",
        "Rows without a verdict",
        "Every figure",
        "Probabilities",
        "What was seen in training",
        "Examples of mistakes",
    ]
    assert "1 of 2 missed." in text
    assert re.search(r"\*\*✕\?? fails[^|]*\*\* \| First \| accuracy >= 0.9 \|", text)
    # Best of the runs in bold, its interval below it, the false-positive rate beside F1.
    assert re.search(r"\| First \| 57\.1<br><sub>\\\[.*?]</sub><br><sub>FPR 25\.0</sub>", text)
    assert re.search(r"\| Second \| \*\*100\.0\*\*<br>", text)
    assert "| First | AegisSafetyTest | 57.1 | 60.0 | 60.0 | 4.2<br><sub>1 row</sub> | 24 |" in text
    assert "dataset mine.jsonl, sources AegisSafetyTest, epochs 3" in text
    assert "reasons, then answers (max new tokens 1,024, temperature 0)" in text


def test_markdown_escapes_and_cuts_texts(pair):
    text = report(pair)
    assert "<script" not in text
    shown = "&lt;script>alert('x')&lt;/script> \\| \\*a\\* &amp; {b} \\_c\\_ \\$d\\$ \\\\e %f #g"
    assert shown in text
    lines = [line for line in text.splitlines() if line.startswith("  - Answer: ")]
    assert max(map(len, lines)) < 250
    for line in text.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) > 2


class Page(HTMLParser):
    """Tags, ids and texts of a page; fails on tags that don't close."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.texts, self.hidden = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if "dd" in self.open:
            self.hidden.append("details" in self.open)


def test_html_is_one_whole_page_that_runs_and_fetches_nothing(pair):
    text = report(pair, "html", gates=judge(parse_gates("accuracy >= 0.9"), pair[0]))
    page = Page()
    page.feed(text)
    assert page.open == []
    tags = [tag for tag, _ in page.tags]
    assert not {"script", "img", "link", "iframe"} & set(tags)
    assert "url(" not in text
    # What is harmful is closed, and as it was written.
    assert page.hidden
    assert all(page.hidden)
    assert not any("open" in attrs for tag, attrs in page.tags if tag == "details")
    assert EVIL in "".join(page.texts)
    # Read aloud and by keyboard: one h1, headings of rows and columns, links that lead somewhere.
    assert tags.count("h1") == 1
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")
    assert tags.count("caption") == tags.count("table")
    assert len(set(page.ids)) == len(page.ids)
    for tag, attrs in page.tags:
        if tag == "a":
            assert attrs["href"][1:] in page.ids
    assert dict(page.tags)["html"] == {"lang": "en"}
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_latex_has_the_tables_alone(pair, tmp_path):
    odd = evaluated(
        tmp_path / "odd",
        {"AegisSafetyTest": ("prompt", GOLD, GOLD), "a_file & 50%": ("prompt", "10", "10")},
        name="R-SFT_1 {50%} \\ #2 ~x^y <z>",
    )
    text = report([pair[0], odd], "latex")
    names = [r"\begin{table}", r"\end{table}", r"\toprule", r"\bottomrule"]
    assert [text.count(name) for name in names] == [3, 3, 3, 3]
    odd_name = r"R-SFT\_1 \{50\%\} \textbackslash{} \#2 \textasciitilde{}x\textasciicircum{}y"
    assert f"{odd_name} \\textless{{}}z\\textgreater{{}} & $\\mathbf{{100.0}}_" in text
    assert r"a\_file \& 50\%" in text
    assert r"GuardReasoner-1B & $89.3$" in text
    assert re.search(r"First & \$57\.1_\{\[\d+\.\d,\\,\d+\.\d\]\}\$", text)
    for body in re.findall(r"\\begin\{tabular\}\{l(r+)\}(.*?)\\end", text, re.S):
        lines = [line for line in body[1].splitlines() if "&" in line]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(body[0])}
    assert "Prompt 3" not in text


def test_policies_change_the_tables(pair):
    dropped = data_of(pair, policy=Policy.DROPPED)
    assert dropped["policy"] == "dropped"
    (cell,) = [r["cells"][0] for r in dropped["tables"][0]["rows"] if r["name"] == "First"]
    assert cell["value"] == pytest.approx(12 / 20)


def test_what_is_wrong_is_named(pair):
    for arguments, said in {
        ("docx",): r"form=docx: must be one of markdown, html, json, latex",
        ("html", 3): r"reference=4: must be from 1 to 3",
        ("html", -1): r"reference=0: must be from 1 to 3",
    }.items():
        with pytest.raises(InputError, match=said):
            report(pair, arguments[0], compare_with=(*arguments, None)[1])
    with pytest.raises(InputError, match="examples=-1: must be at least 0"):
        report(pair, examples=-1)
    for form in FORMS:
        with pytest.raises(InputError, match="evaluations: must be at least one"):
            report([], form)


def test_hard_samples_are_compared_by_accuracy_and_count_in_no_average(tmp_path):
    asked = {
        "HardSamples/prompt": ("prompt", "1010" * 3, "1011" * 3),
        "Mine": ("prompt", *2 * ["10"]),
    }
    before = evaluated(tmp_path / "before", asked, name="Before")
    asked["HardSamples/prompt"] = ("prompt", *2 * ["1010" * 3])
    found = data_of([before, evaluated(tmp_path / "after", asked, name="After")])
    told = {one["benchmark"]: one for one in found["compared"]}
    hard = told["HardSamples/prompt"]
    assert (hard["metric"], hard["a"], hard["b"]) == ("accuracy", 0.75, 1.0)
    assert told["Mine"]["metric"] == "f1"
    assert {one["rows"] for one in found["averages_compared"]} == {2}


def test_categories_have_figures_of_their_own(tmp_path, pair):
    assert "by category" not in report(pair)
    one = evaluated(tmp_path, {"Mine": ("prompt", "1100", "1001")})
    rows = [replace(row, category="ab"[n % 2]) for n, row in enumerate(one.rows(range(4)))]
    text = report([write_evaluation(tmp_path, one.info, rows)])
    assert "### Mine by category" in text
    # Of `a` both rows are right; of `b` a positive is missed and a negative flagged.
    assert "| a | 2 | 100.0<br><sub>accuracy 100.0</sub> |" in text
    assert "| b | 2 | 0.0<br><sub>accuracy 0.0</sub> |" in text


def test_an_empty_benchmark_is_no_score(tmp_path):
    one = evaluated(tmp_path, {"Aegis": ("prompt", "", ""), "Other": ("prompt", "10", "1-")})
    for form in FORMS:
        assert "Other" in report([one], form)
