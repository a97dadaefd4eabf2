"""A report as JSON. Scores are fractions from 0 to 1, null where undefined; intervals are
[low, high] at 95%.

- `policy`: what a row without a verdict counts; `policies` in words
- `subjects`: `name`, `info` (as in `evaluation.json`), `policies` (policy -> `benchmarks` (name ->
  the scores and, of the report's policy, `intervals` and `counts`) and `averages`), `seconds` and
  `tokens` (benchmark -> mean, p50, p95, total, rows)
- `averages` have `task` (null: overall), `value`, `interval`, `rows`, `benchmarks`, `left_out`
- `tables`: one a task and, last, that of the averages (`task` null): `title`, `columns` (`name`,
  `title`, `rows`, `published_rows`, `one_sided`, `mixed`), `rows` (`name`, `kind`, `mode`,
  `evaluation`, `cells`, `average`; a cell has `value`, `interval`, `rows`, `failure_rate`,
  `false_positive_rate`, `best`, `note`, `covers`, `same_rows`), `notes`, `comparable`;
  `table_notes` hold for all
- `reference`: whom the others are compared with, null for nobody; `compared`: `subject`,
  `benchmark`, `difference` and its `interval`, `a` (the reference), `b`, `p_value` (McNemar),
  `p_holm`, `only_a_right`, `only_b_right`, `rows`, `groups`, `looked_at` (rows that
  McNemar's test looks at), `words`; `averages_compared`: `subject` and an average of differences;
  `not_compared`: sentences
- `calibration`: `subject`, `benchmark`, `rows`, `of_rows`, `calibration_error`, `brier`,
  `roc_area`, `precision_recall_area`, `positives`
- `gates`: `subject`, `text`, `state`, `passed`, `value`, `operator`, `target`, `interval`, `rows`,
  `reference`, `words`
- `baseline_wins`, `contamination`: sentences
- `mistakes`: `subject`, `kind` (missed, false_alarm, no_verdict) and the row, its texts cut
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pipelines.gates import GateResult
from pipelines.reports.figures import Asked, Compared, Figures, Mistake
from pipelines.reports.words import POLICY_SENTENCES
from pipelines.scoring.cells import Policy

VERSION = 1
LONGEST = 2_000


def to_json(found: Figures) -> str:
    """One document, indented; keys as above."""
    return json.dumps(as_data(found), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def as_data(found: Figures) -> dict[str, Any]:
    """The same as plain data."""
    tables = (*found.tables.tables, *filter(None, [found.tables.overall]))
    return {
        "version": VERSION,
        "policy": found.policy.value,
        "policies": {policy.value: said for policy, said in POLICY_SENTENCES.items()},
        "subjects": [_subject(one, found.policy) for one in found.subjects],
        "tables": [asdict(table) for table in tables],
        "table_notes": list(found.tables.notes),
        "reference": found.reference or None,
        "compared": [_compared(one) for one in found.compared],
        "averages_compared": [
            {"subject": one.subject, **asdict(one.average)} for one in found.shifts
        ],
        "not_compared": list(found.not_compared),
        "calibration": [asdict(one) for one in found.calibrated],
        "gates": [_gate(one) for one in found.gates],
        "baseline_wins": list(found.baseline_wins),
        "contamination": list(found.contamination),
        "mistakes": [_mistake(one) for one in found.mistakes],
    }


def _subject(one: Asked, shown: Policy) -> dict[str, Any]:
    policies = {}
    for policy, scored in one.scored.items():
        benchmarks = {}
        for name, part in scored.benchmarks.items():
            benchmarks[name] = asdict(part.scores)
            if policy is shown:
                counts = asdict(part.counts)
                benchmarks[name] |= {"intervals": dict(part.intervals), "counts": counts}
        averages = [asdict(average) for average in scored.averages]
        policies[policy.value] = {"benchmarks": benchmarks, "averages": averages}
    return {
        "name": one.name,
        "info": one.evaluation.info.model_dump(mode="json"),
        "policies": policies,
        "seconds": {name: spent and asdict(spent) for name, spent in one.seconds.items()},
        "tokens": {name: spent and asdict(spent) for name, spent in one.tokens.items()},
    }


def _compared(one: Compared) -> dict[str, Any]:
    paired = asdict(one.paired)
    return {
        "subject": one.subject,
        "benchmark": one.benchmark,
        **paired,
        "p_holm": one.adjusted,
        "words": one.words,
    }


def _gate(one: GateResult) -> dict[str, Any]:
    return asdict(one) | {"passed": one.passed, "words": one.words}


def _mistake(one: Mistake) -> dict[str, Any]:
    row = asdict(one.row)
    for name in ("prompt", "response", "raw"):
        if row[name] and len(row[name]) > LONGEST:
            row[name] = f"{row[name][:LONGEST]}…"
    return {"subject": one.subject, "kind": one.kind, **row}
