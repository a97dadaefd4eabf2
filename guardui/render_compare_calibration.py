"""What a run's probabilities are worth, as HTML: figures, reliability, ROC and precision-recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guardui.render import DASH, empty, esc, note, page
from guardui.render_compare import percent, span
from guardui.render_compare_charts import HITS, Series, legend, plot
from guardui.render_curves import sample
from pipelines.scoring.calibration import Bin, Curve, Threshold

FALLOUT = "false-positive rate"
NO_PROBABILITY = empty(
    "No probabilities",
    "These runs kept no probability of their verdicts. Evaluate with probabilities, or in the fast "
    "mode, to see how far they can be trusted.",
)


@dataclass(frozen=True)
class Calibrated:
    """What the probabilities of a run are worth on some rows; curves are None without rows of
    both classes. `known` of `rows` have a probability."""

    name: str
    look: int
    known: int
    rows: int
    error: float | None
    brier: float | None
    bins: Sequence[Bin]
    roc: Curve | None
    precision_recall: Curve | None
    best: Threshold | None


def calibration(found: Sequence[Calibrated], positive: str) -> str:
    """Reliability, ROC and precision-recall of one run or two, and their figures."""
    kept = [one for one in found if one.known]
    if not kept:
        return NO_PROBABILITY
    charts = [
        plot("Reliability", [_diagonal(), *map(_reliability, kept)], f"probability of {positive}")
    ]
    roc = [_curve(one, one.roc, FALLOUT, "recall") for one in kept if one.roc]
    if roc:
        charts.append(
            plot("ROC: recall by false-positive rate", [_diagonal(), *roc], "false-positive rate")
        )
    sharp = [
        _curve(one, one.precision_recall, "recall", "precision")
        for one in kept
        if one.precision_recall
    ]
    if sharp:
        charts.append(plot("Precision by recall", sharp, "recall"))
    rows = "".join(map(_figures, found))
    missing = (
        ""
        if roc
        else note("info", "No ROC and no precision-recall", ["They need rows of both classes."])
    )
    return page(
        '<div class="gu-scroll gu-stacks gu-tight"><table><caption class="vh">Calibration</caption>'
        '<thead><tr><th scope="col">Run</th><th scope="col" class="num">Rows</th>'
        '<th scope="col" class="num" title="Expected calibration error, 15 bins">Calibration error'
        '</th><th scope="col" class="num">Brier</th><th scope="col" class="num">Area under ROC</th>'
        '<th scope="col" class="num">Average precision</th><th scope="col" class="num">Best F1</th>'
        f'<th scope="col" class="num">at threshold</th></tr></thead><tbody>{rows}</tbody></table>'
        "</div>",
        '<p class="soft">A threshold that is chosen and scored on the same rows flatters: take it '
        "to other rows. Hover over a curve for its thresholds.</p>",
        missing,
        f'<div class="cmp-charts">{"".join(charts)}</div>',
        legend([(one.name, one.look) for one in kept]),
        classes="gu-stack",
    )


def _diagonal() -> Series:
    return Series("", 0, [(0.0, 0.0), (1.0, 1.0)], plain=True)


def _reliability(one: Calibrated) -> Series:
    return Series(
        one.name,
        one.look,
        [(bin_.mean_probability, bin_.share_positive) for bin_ in one.bins],
        [
            f"{one.name}, {bin_.low:.2f} to {bin_.high:.2f}: {percent(bin_.share_positive)}% of "
            f"{bin_.rows:,} rows are positive, 95% interval {span(bin_.interval)}"
            for bin_ in one.bins
        ],
        [bin_.interval for bin_ in one.bins],
    )


def _curve(one: Calibrated, curve: Curve, x_name: str, y_name: str) -> Series:
    points = list(zip(curve.x.tolist(), curve.y.tolist(), strict=True))
    thresholds = curve.thresholds.tolist()
    stride = max(1, len(points) // HITS)
    kept = sorted({*range(0, len(points), stride), len(points) - 1})
    return Series(
        one.name,
        one.look,
        [points[n] for n in kept],
        [
            f"{one.name}, threshold {_threshold(thresholds[n])}: {y_name} "
            f"{percent(points[n][1])}, {x_name} {percent(points[n][0])}"
            for n in kept
        ],
    )


def _threshold(value: float) -> str:
    return "above all" if value > 1 else f"{value:.3f}"


def _figures(one: Calibrated) -> str:
    areas = [one.roc.area if one.roc else None]
    areas.append(one.precision_recall.area if one.precision_recall else None)
    told = [one.error, one.brier, *areas]
    cells = "".join(
        f'<td class="num" data-label="{label}">{DASH if value is None else f"{value:.3f}"}</td>'
        for value, label in zip(
            told, ("calibration error", "Brier", "ROC area", "average precision"), strict=True
        )
    )
    rows = f"{one.known:,}" + (f" of {one.rows:,}" if one.known != one.rows else "")
    best = one.best
    return (
        f'<tr><th scope="row">{sample(one.look)}{esc(one.name)}</th><td class="num" '
        f'data-label="rows">{rows}</td>{cells}<td class="num" data-label="best F1">'
        f'{percent(best.f1) if best else DASH}</td><td class="num" data-label="at threshold">'
        f"{_threshold(best.value) if best else DASH}</td></tr>"
    )
