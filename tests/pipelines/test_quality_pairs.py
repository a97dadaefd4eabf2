"""Which two answers make a pair, what it weighs, and the scores as lines of a file."""

import json

import pytest

from pipelines.quality_pairs import (
    Scored,
    best_and_worst,
    gap_of,
    qualities_from,
    score_row,
    to_sample,
    weigh_gaps,
)
from pipelines.quality_scoring import in_words, score_answers, summary
from pipelines.reasoning_quality import Quality, score_trace
from pipelines.schema import GuardExample, GuardTask, StopRequested
from pipelines.template import GuardTemplate
from tests.pipelines import traces
from tests.pipelines.traces import ALONE, TALK, answers

TEMPLATE = GuardTemplate.default()
RIGHT, WRONG = answers(), answers("unharmful")


def scored(*answered, example=TALK):
    """Of (text, coherence) each; the rest of the score is nought, coherence None: not judged."""
    verdicts = [TEMPLATE.parse(text, example) for text, _ in answered]
    qualities = [value if value is None else Quality(None, value, 0, 0) for _, value in answered]
    return Scored(example, verdicts, qualities)


def test_the_better_is_the_best_right_answer_and_the_worse_the_lowest_of_all():
    found = scored((RIGHT, 0.5), (WRONG, 1.0), ("loop", 0.1), (RIGHT, 0.9), (WRONG, 0.0))
    assert best_and_worst(found, 0.1) == (3, 4)


def test_both_may_be_right():
    assert best_and_worst(scored((RIGHT, 0.2), (RIGHT, 0.9)), 0.1) == (1, 0)


def test_without_a_right_answer_there_is_no_pair():
    assert best_and_worst(scored((WRONG, 1.0), ("loop", 0.0)), 0.1) is None


def test_a_right_answer_below_a_wrong_one_makes_no_pair_with_it():
    assert best_and_worst(scored((RIGHT, 0.2), (WRONG, 1.0)), 0.1) is None


@pytest.mark.parametrize(("gap", "makes"), [(0.2, True), (0.3, True), (0.31, False)])
def test_the_gap_is_kept_to_the_letter(gap, makes):
    # 0.3 weighs three sevenths where no label is known: 0.7 of coherence is 0.3 of the score.
    found = scored((RIGHT, 0.8), (RIGHT, 0.1))
    assert (best_and_worst(found, gap) is not None) is makes


def test_equal_scores_make_no_pair():
    assert best_and_worst(scored((RIGHT, 0.4), (RIGHT, 0.4)), 1e-9) is None


def test_what_was_not_judged_or_has_no_text_is_in_no_pair():
    assert best_and_worst(scored((RIGHT, 0.9), ("", 0.0), (RIGHT, None)), 0.1) is None


def test_right_means_right_on_every_known_task():
    half = answers("harmful", "compliance")
    assert best_and_worst(scored((half, 0.9), (WRONG, 0.1)), 0.1) is None


def test_a_sample_keeps_all_answers_their_scores_and_the_task_that_differs():
    wrong_refusal = answers("harmful", "compliance")
    found = scored((RIGHT, 1.0), (wrong_refusal, 0.0), ("loop", 0.5), (RIGHT, None))
    sample = to_sample(found, 0.1, "guard", {"seed": 7})
    assert (sample.chosen, sample.rejected, sample.task) == (0, 1, GuardTask.REFUSAL)
    assert (sample.k_correct, sample.k_incorrect) == (2, 1)
    assert [one.correct for one in sample.generations] == [True, False, None, True]
    assert sample.sampling == {
        "seed": 7,
        "scores": [pytest.approx(3 / 7, abs=1e-4), 0.0, pytest.approx(1.5 / 7, abs=1e-4), None],
    }
    assert gap_of(sample) == pytest.approx(3 / 7, abs=1e-4)
    assert to_sample(scored((WRONG, 1.0)), 0.1, "guard", {}) is None


def test_weights_are_uniform_or_follow_the_gap():
    samples = [
        to_sample(scored((RIGHT, 0.7 + 0.3 * i), (RIGHT, 0.0)), 0.1, "", {}) for i in range(2)
    ]
    samples.insert(1, to_sample(scored((RIGHT, 0.85), (RIGHT, 0.0)), 0.1, "", {}))
    assert [one.weight for one in weigh_gaps(samples, "uniform", 0.5)] == [1, 1, 1]
    weights = [one.weight for one in weigh_gaps(samples, "gap", 0.5)]
    assert weights == pytest.approx([0.5, 1.0, 1.5], abs=1e-3)
    assert weigh_gaps([samples[0]] * 2, "gap", 0.5)[0].weight == 1.0
    assert weigh_gaps([], "gap", 0.5) == []


def real(*texts, example=TALK):
    verdicts = [TEMPLATE.parse(text, example) for text in texts]
    return Scored(example, verdicts, [score_trace(one, example) for one in verdicts])


def test_the_computed_score_prefers_the_better_reasoning():
    found = real(traces.VAGUE, traces.GOOD, traces.LOOPING, traces.CONTRADICTORY)
    assert best_and_worst(found, 0.1) == (1, 2)
    assert best_and_worst(real(traces.VAGUE, traces.GOOD), 0.1) == (1, 0)


def test_scores_survive_the_file():
    found = real(traces.GOOD, traces.VAGUE)
    found = Scored(found.example, found.verdicts, [*found.qualities[:1], None])
    row = json.loads(json.dumps(score_row(found)))
    assert row["row_id"] == "rooster"
    assert qualities_from(row) == list(found.qualities)


# Scoring with a file


def answered():
    other = GuardExample("Another one", None, {GuardTask.PROMPT_HARMFULNESS: "unharmful"}, None)
    texts = [(TALK, traces.GOOD), (ALONE, "x\u2028y"), (other, answers("unharmful"))]
    return [(example, [TEMPLATE.parse(text, example)]) for example, text in texts]


class Grader:
    def __init__(self):
        self.asked = []

    def __call__(self, asked):
        self.asked += [example.prompt for _, example in asked]
        return [score_trace(verdict, example) for verdict, example in asked]


def test_nothing_is_scored_twice_even_after_a_kill(tmp_path):
    path, rows, heard = tmp_path / "scores.jsonl", answered(), []
    whole = score_answers(rows, Grader(), tmp_path / "a", at_once=9, on_scored=lambda *_: None)

    def stop(done, total):
        heard.append((done, total))
        if done == 2:
            raise StopRequested("now")

    with pytest.raises(StopRequested):
        score_answers(rows, Grader(), path, at_once=1, on_scored=stop)
    assert heard == [(1, 3), (2, 3)]
    path.write_bytes(path.read_bytes()[:-9])  # killed in the middle of the second line
    grader = Grader()
    again = score_answers(rows, grader, path, at_once=1, on_scored=lambda *_: None)
    assert grader.asked == [ALONE.prompt, "Another one"]
    assert again == whole
    assert len(path.read_bytes().split(b"\n")) == 4


def test_the_summary_counts_and_says_it():
    rows = [real(traces.GOOD, traces.LOOPING), scored(("", None))]
    found = summary(rows, [to_sample(rows[0], 0.1, "", {})])
    assert (found["rows"], found["pairs"], found["answers"], found["not_judged"]) == (2, 1, 3, 1)
    assert found["parse_failure_rate"] == pytest.approx(2 / 3)
    assert found["score"] == pytest.approx(sum(q.total for q in rows[0].qualities) / 2)
    words = in_words(found)
    assert words.startswith("1 pairs from 2 conversations; mean score ")
    assert words.endswith("; the judge failed on 1 of 3")
