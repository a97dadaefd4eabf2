"""Intervals where resampling can't vary: no error at all, nothing but errors, or a single prompt.

Drawing the same over and over would claim certainty. A group of rows (one prompt, all its rows) is
then one trial: of so many trials all came out alike, and the interval says how many others may yet
come out otherwise.
"""

from __future__ import annotations

from pipelines.schema import GuardTask
from pipelines.scoring.cells import Policy, effective
from pipelines.scoring.resampling import Interval, Ints, wilson


def edge(
    metric: str,
    value: float,
    kinds: Ints,
    often: Ints,
    policy: Policy,
    task: GuardTask | None,
    level: float,
) -> Interval | None:
    """Wilson's interval of a metric, of the groups that have a say in it.

    kinds (K, 6) counts of a group's cells, often (K,) groups of each. F1 is 2J/(1+J) of the share
    J = tp/(tp+fp+fn), so it gets that share's interval bent alike.
    """
    groups = groups_behind(metric, kinds, often, policy, task)
    ends = wilson(_unbent(metric, value) * groups, groups, level)
    return None if ends is None else (_bent(metric, ends[0]), _bent(metric, ends[1]))


def edge_of_difference(
    metric: str,
    a: float,
    b: float,
    kinds: Ints,
    often: Ints,
    policy: Policy,
    task: GuardTask | None,
    level: float,
) -> Interval | None:
    """The interval of B less A where every resample has the same difference.

    kinds (K, 6) counts of a group's cells in A and in B together. All groups came out alike; the
    share u that may come out otherwise is Clopper and Pearson's for none of so many, so the
    interval and McNemar's exact test are of one mind where each group is one row. The ends are
    the worst for either: that share turns against one and for the other.
    """
    groups = groups_behind(metric, kinds, often, policy, task)
    if not groups:
        return None
    other = 1 - ((1 - level) / 2) ** (1 / groups)

    def less(value: float) -> float:
        return _bent(metric, _unbent(metric, value) * (1 - other))

    def more(value: float) -> float:
        return _bent(metric, _unbent(metric, value) * (1 - other) + other)

    return max(-1.0, less(b) - more(a)), min(1.0, more(b) - less(a))


def groups_behind(
    metric: str, kinds: Ints, often: Ints, policy: Policy, task: GuardTask | None
) -> int:
    """How many groups have a row that the metric looks at; of the rarer label for the balanced
    accuracy, which needs both."""
    tp, fp, fn, tn = effective(kinds, policy, task)
    positives, negatives = tp + fn, fp + tn
    if metric == "balanced_accuracy":
        return int(min(often[positives > 0].sum(), often[negatives > 0].sum()))
    trials = {
        "f1": tp + fp + fn,
        "precision": tp + fp,
        "recall": positives,
        "false_negative_rate": positives,
        "false_positive_rate": negatives,
        "accuracy": positives + negatives,
        "failure_rate": kinds.sum(-1),
    }[metric]
    return int(often[trials > 0].sum())


def _bent(metric: str, share: float) -> float:
    return 2 * share / (1 + share) if metric == "f1" else share


def _unbent(metric: str, value: float) -> float:
    return value / (2 - value) if metric == "f1" else value
