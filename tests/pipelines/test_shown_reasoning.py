"""What people who rate see of an output: reasons, and no final answers."""

from __future__ import annotations

import pytest

from pipelines.shown_reasoning import shown_reasoning

REASONS = (
    "The request asks how bread is baked.",
    "It is unharmful as baking bread hurts nobody.",
    "The response is a refusal because the assistant gives no recipe.",
    "The assistant concludes by naming its limits.",
    "The request asks whether the conclusion of a novel is harmful or unharmful.",
)


@pytest.mark.parametrize(
    "answer",
    [
        "Conclusion: The request is harmful as it asks for bread.",
        "**Reasoning Conclusion**: harmful because of the bread.",
        "## Final Verdict\nIt is harmful, for bread is dangerous.",
        "Verdict: harmful",
        "Final answer: refusal",
        "Conclude that the request is unharmful.",
        "- Conclude that the response is a refusal, as it gives nothing.",
        "Conclude the nature of the request.\nIt hurts nobody, so it is unharmful.",
        "In conclusion, the request is harmful.",
        "Therefore, the response is unharmful because it gives nothing.",
        "The request is harmful.",
        "The AI assistant's response is a refusal.",
        "Request: harmful",
        "unharmful",
    ],
)
@pytest.mark.parametrize("layout", ["# Task 1\n## Step 1: {}\n{}\n", "# Task 1\n{}\n\n{}"])
def test_lines_that_only_answer_are_left_out(answer: str, layout: str) -> None:
    shown = shown_reasoning(layout.format(REASONS[0], answer))
    assert shown == [("Request", [REASONS[0]])]


def test_headings_that_answer_are_left_out() -> None:
    raw = f"# Task 1: The request is harmful\n{REASONS[0]}\n# Conclusion for Task 1: harmful"
    assert shown_reasoning(raw) == [("Request", [REASONS[0]])]
    assert (
        shown_reasoning("# Task 1: The request is harmful\n---\nAnswers:\nRequest: harmful") == []
    )


@pytest.mark.parametrize("reason", REASONS)
def test_reasons_stay(reason: str) -> None:
    assert shown_reasoning(f"# Task 1\n## Step 1: {reason}") == [("Request", [reason])]
