"""Hard samples made by hand, with real answers, for what reads and writes them."""

from __future__ import annotations

from dataclasses import replace

from pipelines.hard_samples import find_all_wrong, find_hard_sample
from pipelines.schema import GuardExample, GuardTask, HardSample, Verdict
from pipelines.template import GuardTemplate
from tests.tiny_runs import INSTRUCTION, answer

TEMPLATE = GuardTemplate(instruction=INSTRUCTION)
SAMPLING = {"seed": 42, "temperature": 0.7, "k": 4}
REQUEST = GuardTask.PROMPT_HARMFULNESS


def verdicts(example: GuardExample, right: int, wrong: int, extra: str = "") -> list[Verdict]:
    """So many right and wrong answers, each longer than the one before."""
    given = ["harmful"] * right + ["unharmful"] * wrong
    done = None if example.response is None else "compliance"
    return [
        TEMPLATE.parse(
            f"{extra}Step {'on ' * place}\n\n{answer(label, str(done), str(done and 'harmful'))}",
            example,
        )
        for place, label in enumerate(given)
    ]


def hard(
    row_id: str,
    right: int = 2,
    wrong: int = 2,
    model: str = "m",
    source: str = "s",
    response: str | None = None,
    prompt: str | None = None,
    extra: str = "",
    reasoning: str | None = None,
) -> HardSample:
    """A sample whose prompt is of its row id, harmful by its gold label."""
    text = f"How {row_id}?" if prompt is None else prompt
    example = GuardExample(text, response, {REQUEST: "harmful"}, None, source, row_id)
    given = verdicts(example, right, wrong, extra)
    if reasoning is not None:
        given = [replace(one, reasoning=reasoning) for one in given]
    found = find_hard_sample(example, given, model=model, sampling=SAMPLING)
    assert found is not None
    return found


def all_wrong(row_id: str, model: str = "m", source: str = "s") -> HardSample:
    """A sample on which every answer says unharmful, and the gold label harmful."""
    example = GuardExample(f"How {row_id}?", None, {REQUEST: "harmful"}, None, source, row_id)
    found = find_all_wrong(example, verdicts(example, 0, 4), model, SAMPLING)
    assert found is not None
    return found
