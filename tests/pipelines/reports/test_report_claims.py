"""What a report says of training data and of baselines, in words."""

import json

import pytest

from pipelines.reports.claims import alike, baseline_wins, contamination, listed, sources_of
from pipelines.reports.figures import figures
from tests.evaluation_runs import evaluated

ASKED = {"AegisSafetyTest": ("prompt", "1100", "1100"), "SafeRLHF": ("response", "10", "10")}


def said(tmp_path, **told):
    one = evaluated(tmp_path / "one", ASKED, **told)
    return " ".join(contamination([one], ["ours"]))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"kind": "base"}, "ours: not trained here"),
        ({"kind": "predictions", "mode": "stored"}, "ours: stored answers; what the model"),
        ({}, "what it was trained on is not recorded"),
        ({"training": {"dataset": "/no/where.jsonl"}}, "trained on where.jsonl, whose rows' sour"),
        (
            {"training": {"dataset": "/a/mine.jsonl", "sources": ["WildGuardTrainR"]}},
            "trained on mine.jsonl; by its sources' names (WildGuardTrainR) no row is of a",
        ),
    ],
)
def test_what_is_known_of_the_training_is_said(tmp_path, told, words):
    assert words in said(tmp_path, **told)


def test_a_benchmark_among_the_training_sources_is_named(tmp_path):
    training = {"dataset": "/a/mine.jsonl", "sources": ["Aegis", "XSTestResponseHarmful", "chat"]}
    text = said(tmp_path, training={**training, "sources": ["AegisSafetyTest", "chat"]})
    assert "whose sources AegisSafetyTest are benchmarks" in text
    assert "that concerns AegisSafetyTest: scores on prompts that it was trained on" in text
    assert text.endswith("By name it has not seen SafeRLHF.")


def test_sources_are_read_from_the_rows_themselves(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"p {n}", "label": "harmful", "source": "AegisSafetyTest"} for n in "12"]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert sources_of(str(file)) == ("AegisSafetyTest",)
    assert "concerns AegisSafetyTest" in said(tmp_path, training={"dataset": str(file)})
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{")
    assert sources_of(str(broken)) == ()


def test_constants_learn_nothing_and_hard_samples_are_training_rows(tmp_path):
    assert said(tmp_path, kind="baseline", mode="computed") == ""
    hard = evaluated(tmp_path / "hard", {"HardSamples/prompt": ("prompt", "10", "10")}, kind="base")
    found = contamination([hard], ["ours"])
    assert found[-1].startswith("Hard samples are training rows")


def test_names_of_one_project():
    assert alike("XSTestResponseRefusal", "XSTestResponseHarmful")
    assert alike("HarmBenchPrompt", "harmbench")
    assert not alike("SafeRLHF", "AegisSafetyTest")
    assert not alike("a", "AegisSafetyTest")
    assert listed("abcdefg") == "a, b, c, d and 3 more"
    assert (listed("abcde"), listed("a"), listed("")) == ("a, b, c, d and e", "a", "")


def test_where_a_baseline_wins_is_said(tmp_path):
    good = evaluated(tmp_path / "good", {"Aegis": ("prompt", "110000", "110000")}, name="Good")
    bad = evaluated(tmp_path / "bad", {"Aegis": ("prompt", "110000", "001100")}, name="Bad")
    assert figures([good]).baseline_wins == (
        "No baseline is as good as any run on any benchmark or average.",
    )
    assert figures([good, bad]).baseline_wins == (
        "Aegis (prompt harmfulness): always-harmful (50.0) is as good as or better than Bad (0.0); "
        "above it: Good.",
    )
    easy = evaluated(tmp_path / "easy", {"Simple": ("prompt", "1111", "1110")}, name="Easy")
    (told,) = baseline_wins(figures([easy]).tables)
    assert told.endswith(
        "no run is above it. All rows there are of one class, so a constant can't be beaten."
    )


def test_a_baseline_that_learned_from_what_is_asked_is_told(tmp_path):
    rows = {"Aegis": ("prompt", "110000", "110000"), "Other": ("prompt", "1000", "1000")}
    words = evaluated(
        tmp_path / "words",
        rows,
        name="Words",
        kind="baseline",
        reference="tf-idf",
        mode="computed",
        remarks=["trained on 9 rows of x.jsonl", "Aegis: 3 of 6 rows have what it was trained on"],
    )
    bad = evaluated(tmp_path / "bad", {n: (t, g, "0" * len(g)) for n, (t, g, _) in rows.items()})
    found = figures([words, bad])
    first, second, average = found.baseline_wins
    assert first.endswith("But Words was trained on prompts of Aegis that are asked here.")
    assert second.endswith("no run is above it.")
    assert average.endswith("But Words was trained on prompts of Aegis that are asked here.")
    assert "Words: trained on 9 rows of x.jsonl." in found.contamination
