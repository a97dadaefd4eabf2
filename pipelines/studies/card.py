"""The card of a study's ratings as a dataset: what was asked of whom, and what to mind."""

from __future__ import annotations

from typing import Any

import yaml

from pipelines.preferences.results import StudyReport
from pipelines.reports.as_markdown import escaped
from pipelines.studies.columns import COLUMNS, card_features
from pipelines.studies.figures import agreement_figures, counted_words, shown, span
from pipelines.studies.records import WHY_NOT, StudyRecords
from pipelines.studies.standing import citations, early_warning, ending_words
from pipelines.studies.words import design_words

SIZES = (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K")
WARNING = (
    "**Content warning.** Conversations and traces may be about violence, hatred, sex, self-harm "
    "or crime. They are here so that moderation can be studied, and for nothing else."
)
LIMITS = """\
- No licence is stated. Those of the models and of the data that the conversations come from apply:
  choose one that they allow, and put it into the head of this file, before you share it.
- People are codes, without names. Notes are their own words: read them before you share them.
- The first opinion counts. Later ones, given {when}, are in `revisions`.
- Rows with `counted` false are kept for completeness; `why_not` says why they don't count.
- Ratings of people who withdrew are left out: {withdrawn:,}."""


def study_card(records: StudyRecords, report: StudyReport) -> str:
    """README.md with its front matter, which `datasets.load_dataset` reads."""
    facts = records.facts
    front: dict[str, Any] = {
        "pretty_name": facts.name,
        "tags": ["guardui", "human-preference", "safety", "reasoning", "not-for-all-audiences"],
        "size_categories": [_size(len(records.shared))],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/ratings.parquet"}],
            }
        ],
        "dataset_info": {"features": card_features()},
    }
    warning = early_warning(facts, report)
    told = [*counted_words(report, facts.design), *ending_words(facts)]
    limits = LIMITS.format(
        when="once the verdicts were shown" if facts.design.reveal_verdicts else "afterwards",
        withdrawn=dict(report.left_out).get(WHY_NOT["withdrawn"], 0),
    )
    agreed = [
        f"- {escaped(one.scale)}, {escaped(figure.title)}: "
        f"{shown(figure.estimate.value, figure.kind)} "
        f"({span(figure.estimate, figure.kind) or 'no interval'})"
        for one in report.agreement
        for figure in agreement_figures(one)
    ]
    sections = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
        f"# {escaped(facts.name)}",
        WARNING,
        *map(escaped, citations(facts, report)),
        *([escaped(warning)] if warning else []),
        "## What was asked",
        "\n".join(f"- {escaped(line)}" for line in design_words(facts)),
        f"SHA-256 of the design, arms, items and traces, frozen when the study was opened: "
        f"`{facts.design_hash or 'not opened'}`",
        "## Agreement",
        "\n".join(agreed) or "Too few pairs have several ratings to say.",
        "## Ratings",
        "\n".join(f"- {escaped(line)}" for line in told),
        "`report.md` and `report.json` hold the whole report.",
        "## Columns",
        "\n".join(
            ["| column | meaning |", "|---|---|"]
            + [f"| `{name}` | {escaped(meaning)} |" for name, (_, meaning) in COLUMNS.items()]
        ),
        "## Limits",
        limits,
    ]
    return "\n\n".join(sections) + "\n"


def _size(rows: int) -> str:
    return next((word for limit, word in SIZES if rows < limit), "100K<n<1M")
