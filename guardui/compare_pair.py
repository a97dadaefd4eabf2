"""What the Compare tab shows of two runs, A and B: tests, rows, mistakes and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from guardui.render_compare_calibration import Calibrated, calibration
from guardui.render_compare_costs import Failing, policies
from guardui.render_compare_errors import Matrix, error_tables, matrices
from guardui.render_compare_pair import ONE_RUN, SAME_RUN, kinds, pairing
from guardui.render_compare_rows import (
    NOTHING_OPEN,
    PAGE_ROWS,
    Listed,
    conversation,
    rows_list,
)
from pipelines.comparing.error_groups import WAYS, error_groups
from pipelines.comparing.measuring import counted, measured
from pipelines.comparing.pairings import KINDS, Both, Pairing, both, count_kinds, pair, rows_of
from pipelines.evaluations import Columns, Evaluation
from pipelines.gates import is_hard
from pipelines.schema import GuardTask, InputError
from pipelines.scoring.cells import Counts, Policy
from pipelines.template import GuardTemplate

if TYPE_CHECKING:  # it imports this module
    from guardui.compare_view import Choices, Scene

LETTERS = ("A", "B")


def paired(scene: Scene) -> dict[str, Any]:
    """Tests of B against A, and the rows to look at."""
    fields, sides = _fields(scene)
    if len(sides) < 2 or sides[0][0] is sides[1][0]:
        why = SAME_RUN if len(sides) == 2 else ONE_RUN
        return fields | {"tests": why, "kinds": "", "rows": "", "detail": ""}
    (a, name_a), (b, name_b) = sides
    benchmark = fields["benchmark"][1] or None
    found = pair(a, b, scene.metric, scene.policy)
    if benchmark:
        tests = tuple(one for one in found.tests if one.benchmark == benchmark)
        # Looked at by itself it is one comparison, not one among many.
        alone = tuple(replace(one, adjusted=one.paired.p_value) for one in tests)
        found = Pairing(alone, None, found.faults if not tests else ())
    shown = {"tests": pairing(found, f"A ({name_a})", f"B ({name_b})", scene.metric)}
    return fields | shown | _rows(scene, a, b, (name_a, name_b), benchmark)


def _rows(
    scene: Scene, a: Evaluation, b: Evaluation, names: tuple[str, str], benchmark: str | None
) -> dict[str, str]:
    """The kinds, one page of a kind's rows, and the row that is open."""
    looked = scene.looked
    kind = looked.kind if looked.kind in KINDS else next(iter(KINDS))
    counts = count_kinds(a, b, benchmark)
    keys = rows_of(a, b, kind, benchmark)
    last = max(1, -(-len(keys) // PAGE_ROWS))
    number = min(max(1, looked.page), last)
    start = (number - 1) * PAGE_ROWS
    listed = [
        Listed(f"{name}:{place}", both(a, b, name, place))
        for name, place in keys[start : start + PAGE_ROWS]
    ]
    row = opened(a, b, looked.opened)
    return {
        "kinds": kinds(counts, kind),
        "rows": rows_list(kind, listed, number, len(keys), looked.opened),
        "detail": NOTHING_OPEN if row is None else _conversation(a, b, row, names),
    }


def opened(a: Evaluation, b: Evaluation, key: str | None) -> Both | None:
    """The row of a key `BENCHMARK:NUMBER`, where the two have it."""
    name, _, number = (key or "").rpartition(":")
    if not number.isdecimal():
        return None
    try:
        return both(a, b, name, int(number))
    except InputError:
        return None


def _conversation(a: Evaluation, b: Evaluation, row: Both, names: tuple[str, str]) -> str:
    (said_a,), (said_b,) = a.rows([row.place_a]), b.rows([row.place_b])
    return conversation(row, said_a, said_b, names, GuardTemplate.default().steps)


def mistakes(scene: Scene) -> dict[str, Any]:
    """Confusion matrices, and error rates by category, length and source, of A and of B."""
    fields, sides = _fields(scene)
    benchmark = fields["benchmark"][1] or None
    drawn = [
        Matrix(f"{letter} · {name}", task, counts, scene.policy)
        for task in GuardTask
        for letter, (one, name) in zip(LETTERS, sides, strict=False)
        if (counts := _counts(scene, one, task, benchmark)).rows
    ]
    groups = {
        way: {
            letter: error_groups(one, way, scene.policy, benchmark)
            for letter, (one, _) in zip(LETTERS, sides, strict=False)
        }
        for way in WAYS
    }
    return fields | {
        "policies": policies(_failures(scene, sides, benchmark), scene.metric),
        "matrices": matrices(drawn, benchmark or "all benchmarks"),
        "errors": error_tables(groups, LETTERS[: len(sides)]),
    }


def _failures(
    scene: Scene, sides: Sequence[tuple[Evaluation, str]], benchmark: str | None
) -> list[Failing]:
    """The benchmarks on which A or B sometimes came to no verdict, under each policy."""
    found = []
    for letter, (one, name) in zip(LETTERS, sides, strict=False):
        metric = scene.metric
        under = {policy: measured(one, policy, metric).benchmarks for policy in Policy}
        found += [
            Failing(
                f"{letter} · {name}",
                part.benchmark,
                part.scores.failure_rate,
                part.counts.failures,
                {policy: told[part.benchmark].value(metric) for policy, told in under.items()},
            )
            for part in under[scene.policy].values()
            if part.counts.failures and benchmark in (None, part.benchmark)
        ]
    return found


def _counts(scene: Scene, one: Evaluation, task: GuardTask, benchmark: str | None) -> Counts:
    """The counts of a task, of one benchmark or of all."""
    found = measured(one, scene.policy, scene.metric).benchmarks.values()
    kept = [part for part in found if part.task is task and not is_hard(part.benchmark)]
    if benchmark:
        kept = [part for part in found if part.task is task and part.benchmark == benchmark]
    return sum((part.counts for part in kept), Counts())


def calibrated(scene: Scene) -> dict[str, Any]:
    """What the probabilities of A and of B are worth."""
    fields, sides = _fields(scene)
    benchmark = fields["benchmark"][1] or None
    found = [
        _calibrated(one, f"{letter} · {name}", look, benchmark)
        for look, (letter, (one, name)) in enumerate(zip(LETTERS, sides, strict=False))
    ]
    tasks = {part.task for one, _ in sides for part in _looked_at(one, benchmark)}
    positive = tasks.pop().labels[0] if len(tasks) == 1 else "the positive class"
    return fields | {"calibration": calibration(found, positive)}


def _calibrated(one: Evaluation, name: str, look: int, benchmark: str | None) -> Calibrated:
    import numpy as np

    from pipelines.scoring import calibration as of

    parts = _looked_at(one, benchmark)
    if not parts:
        return Calibrated(name, look, 0, 0, None, None, (), None, None, None)
    gold = np.concatenate([part.gold for part in parts])
    chance = np.concatenate([part.probability for part in parts])
    return Calibrated(
        name,
        look,
        int((~np.isnan(chance)).sum()),
        len(gold),
        of.expected_calibration_error(gold, chance),
        of.brier(gold, chance),
        of.reliability(gold, chance),
        of.roc(gold, chance),
        of.precision_recall(gold, chance),
        of.best_threshold(gold, chance),
    )


def _looked_at(one: Evaluation, benchmark: str | None) -> list[Columns]:
    """One benchmark's columns, or those of all that count."""
    every = one.columns()
    if benchmark is None:
        return list(counted(every).values())
    return [every[benchmark]] if benchmark in every else []


def _fields(scene: Scene) -> tuple[dict[str, Choices], list[tuple[Evaluation, str]]]:
    """The lists of A, B and the benchmarks with what is chosen in them, and A and B where known.

    Without a choice A is the first run and B the second; a baseline only where there is no other.
    """
    offered = tuple(zip(scene.names, scene.ids, strict=True))
    kinds = [one.info.kind for one in scene.evaluations]
    order = sorted(range(len(kinds)), key=lambda place: kinds[place] == "baseline")
    ranked = [scene.ids[place] for place in order]
    a = scene.looked.a if scene.looked.a in ranked else ranked[0]
    rest = [one for one in ranked if one != a]
    b = scene.looked.b if scene.looked.b in scene.ids else next(iter(rest), None)
    sides = [side for one in (a, b) if (side := scene.side(one)) is not None]
    names = dict.fromkeys(info.name for one, _ in sides for info in one.info.benchmarks)
    benchmark = scene.looked.benchmark if scene.looked.benchmark in names else ""
    every = (("All benchmarks", ""), *((name, name) for name in names))
    return {"a": (offered, a), "b": (offered, b), "benchmark": (every, benchmark)}, sides
