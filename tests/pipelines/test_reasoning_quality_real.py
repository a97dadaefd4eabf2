"""The score on what published guards really wrote; skipped where the real data isn't."""

import json

import pytest

from pipelines.benchmarks import BENCHMARKS
from pipelines.reasoning_quality import Quality, score_trace
from pipelines.schema import GuardExample
from pipelines.template import GuardTemplate

TEMPLATE = GuardTemplate.default()
pytestmark = pytest.mark.realdata


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


@pytest.fixture(params=["1B", "8B"])
def scored(realdata, request):
    """(example, verdict, quality) of each stored prediction of one model."""
    found = []
    for path in sorted((realdata / "predictions" / f"GuardReasoner-{request.param}").iterdir()):
        for row in lines(path):
            start = row["prompt"].index("Human user:\n")
            talk = TEMPLATE.split_input(row["prompt"][start:])
            example = GuardExample(*talk, {BENCHMARKS[path.stem].task: row["label"]})
            verdict = TEMPLATE.parse(row["predict"], example)
            found.append((example, verdict, score_trace(verdict, example)))
    assert len(found) == 2195
    return found


def free(quality):
    return Quality(None, quality.coherence, quality.relevance, quality.specificity).total


def test_label_correctness_is_the_parsers_verdict_against_the_label(scored):
    for example, verdict, quality in scored:
        ((task, label),) = example.gold.items()
        assert quality.label_correctness == float(
            not verdict.error and verdict.label(task) == label
        )


def test_loops_and_what_has_no_verdict_score_in_the_lowest_tenth(scored):
    limit = sorted(free(quality) for *_, quality in scored)[len(scored) // 10]
    faulty = [
        free(quality)
        for _, verdict, quality in scored
        if verdict.error
        or any(one.name == "repetition" and one.value < 0.5 for one in quality.checks)
    ]
    assert len(faulty) >= 4
    assert max(faulty) < limit


def test_bare_answers_have_no_quality_beyond_the_label(scored):
    bare = [quality for _, verdict, quality in scored if not verdict.reasoning]
    assert all(free(quality) == 0 for quality in bare)
    assert all(quality.total <= 0.3 for quality in bare)


def test_traces_of_another_conversation_are_seen_by_relevance_alone(realdata):
    rows = lines(realdata / "traces" / "train.jsonl")[::4]
    talks = [GuardExample(*TEMPLATE.split_input(row["input"])) for row in rows]
    own, other = [], []
    kind = [i for i, talk in enumerate(talks) if talk.response is None]
    for i, j in zip(kind, kind[len(kind) // 2 :] + kind[: len(kind) // 2], strict=True):
        if talks[i].prompt != talks[j].prompt:
            own.append(score_trace(TEMPLATE.parse(rows[i]["output"], talks[i]), talks[i]))
            other.append(score_trace(TEMPLATE.parse(rows[j]["output"], talks[i]), talks[i]))
    assert len(own) > 200
    won = sum((a.relevance > b.relevance) + (a.relevance == b.relevance) / 2
              for a in own for b in other) / len(own) / len(other)  # fmt: skip
    assert won > 0.9

    def mean(found, part):
        return sum(getattr(one, part) for one in found) / len(found)

    assert mean(own, "relevance") > mean(other, "relevance") + 0.4
    assert abs(mean(own, "coherence") - mean(other, "coherence")) < 0.02
    assert abs(mean(own, "specificity") - mean(other, "specificity")) < 0.1
