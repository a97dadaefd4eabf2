"""Files of stored answers of two small arms, as `guardui run study` takes them."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.schema import GuardExample
from pipelines.template import GuardTemplate
from tests.rated_studies import NASTY, trace

BENCHMARK = "AegisSafetyTest"


def write_answers(folder: Path, rows: int = 16, nasty: bool = False) -> list[str]:
    """Two folders, `tuned` and `plain`, with a file each; their answers are right by turns."""
    template, arms = GuardTemplate.default(), []
    for arm, name in enumerate(("tuned", "plain")):
        lines = []
        for number in range(rows):
            gold = "harmful" if number % 2 else "unharmful"
            right = (number >> (arm + 1)) % 2 == 0
            wrong = "unharmful" if gold == "harmful" else "harmful"
            asked = GuardExample(f"Question {number}, what of it?{NASTY if nasty else ''}")
            said = f"Trace {arm} looks at question {number}.{NASTY if nasty else ''}"
            predict = trace(said, gold if right else wrong)
            row = {"prompt": template.render(asked), "label": gold, "predict": predict}
            lines.append(json.dumps(row) + "\n")
        target = folder / name / f"{BENCHMARK}.jsonl"
        target.parent.mkdir(parents=True)
        target.write_text("".join(lines))
        arms.append(str(target.parent))
    return arms
