"""What the Compare tab shows, as plain values: the lists to choose from and each part's HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from db.session import Database
from guardui import compare_pair, compare_runs
from guardui.render import esc, note, page
from guardui.render_compare import NO_RUN, NONE_CHOSEN, tables
from guardui.render_compare_charts import NO_TRAINING, training
from guardui.render_compare_costs import Cost, costs
from pipelines.comparing.measuring import spending
from pipelines.comparing.model_tables import METRIC_WORDS, TASK_WORDS, model_tables, unique_names
from pipelines.comparing.training_trends import axes, measures, trends
from pipelines.evaluations import Evaluation
from pipelines.schema import GuardTask
from pipelines.scoring.cells import Policy

POLICIES = {
    Policy.WRONG_ONCE: "counts as wrong once",
    Policy.AUTHORS: "as in the paper's script",
    Policy.DROPPED: "is left out",
}
PARTS = {
    "tables": "Tables",
    "pair": "A against B",
    "mistakes": "Mistakes",
    "training": "Training",
    "calibration": "Calibration",
}
LISTS = ("runs", "a", "b", "benchmark", "axis", "measure")
SWITCHES = ("body", "pair_fields", "training_fields")
Choices = tuple[tuple[tuple[str, Any], ...], Any]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a visitor looks at. `runs`, `a` and `b` are ids of artifacts, `runs` None where nobody
    chose yet; `benchmark` is empty for all; `opened` is the key of the row that is open."""

    runs: tuple[int, ...] | None = None
    policy: str = Policy.WRONG_ONCE
    metric: str = "f1"
    details: bool = False
    part: str = "tables"
    a: int | None = None
    b: int | None = None
    benchmark: str = ""
    axis: str = ""
    measure: str = ""
    kind: str = "a_right"
    page: int = 1
    opened: str | None = None


@dataclass(frozen=True)
class Scene:
    """What is on show, with what the visitor asked for made valid."""

    looked: Looked
    ids: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]
    names: tuple[str, ...]
    policy: Policy
    metric: str

    def side(self, wanted: int | None) -> tuple[Evaluation, str] | None:
        """An evaluation and its name by its id."""
        if wanted not in self.ids:
            return None
        place = self.ids.index(wanted)
        return self.evaluations[place], self.names[place]


def view(database: Database, looked: Looked) -> dict[str, Any]:
    """Name of a part -> its value: HTML, (choices, value) of a list, or whether it is seen. Parts
    of what isn't in front are left out."""
    found = compare_runs.listed(database)
    ids = compare_runs.chosen(found, looked.runs)
    runs: Choices = (tuple((one.name, one.id) for one in compare_runs.offers(found)), tuple(ids))
    kept = compare_runs.compared(found, ids)
    if not kept.evaluations:
        return {
            "runs": runs,
            "head": _head(kept.faults) + (NONE_CHOSEN if found else NO_RUN),
            **dict.fromkeys(SWITCHES, False),
        }
    scene = Scene(
        looked,
        kept.ids,
        kept.evaluations,
        tuple(unique_names(kept.evaluations)),
        next((one for one in Policy if one == looked.policy), Policy.WRONG_ONCE),
        looked.metric if looked.metric in METRIC_WORDS else "f1",
    )
    part = looked.part if looked.part in PARTS else "tables"
    shown: dict[str, Any] = {
        "runs": runs,
        "head": _head(kept.faults),
        "body": True,
        "pair_fields": part in ("pair", "mistakes", "calibration"),
        "training_fields": part == "training",
    }
    draw = {
        "tables": _tables,
        "pair": compare_pair.paired,
        "mistakes": compare_pair.mistakes,
        "training": _training,
        "calibration": compare_pair.calibrated,
    }[part]
    return shown | draw(scene)


def _head(faults: Sequence[str]) -> str:
    return note("bad", "Not shown", list(faults)) if faults else ""


def _tables(scene: Scene) -> dict[str, Any]:
    found = model_tables(scene.evaluations, scene.metric, scene.policy)
    return {
        "tables": tables(found, details=scene.looked.details),
        "costs": costs(_costs(scene)),
        "files": files(scene),
    }


def _costs(scene: Scene) -> list[Cost]:
    """What a verdict took, of the runs that recorded it."""
    found = [
        Cost(name, *spending(one))
        for one, name in zip(scene.evaluations, scene.names, strict=True)
        if one.info.kind != "baseline"
    ]
    return [one for one in found if one.tokens or one.seconds]


FORMS = {"markdown": "Markdown", "html": "HTML", "json": "JSON", "latex": "LaTeX"}


def files(scene: Scene) -> str:
    """Links to the report in each form, and to this selection."""
    ids = ",".join(map(str, scene.ids))
    asked = f"runs={ids}&policy={scene.policy}"
    links = "".join(
        f'<a class="gu-copy" href="{esc(f"compare/report.{form}?{asked}")}" download '
        f'aria-label="Download the report as {word}">{word}</a>'
        for form, word in FORMS.items()
    )
    chosen = ",".join(map(str, scene.looked.runs or scene.ids))
    return page(
        f'<div class="gu-links"><small>Report of these runs:</small>{links}'
        f'<small><a href="?compare={chosen}">Link to this selection</a></small></div>'
    )


def _training(scene: Scene) -> dict[str, Any]:
    runs = [one for one in scene.evaluations if one.info.kind != "baseline"]
    offered = axes(runs)
    if not offered:
        return {
            "axis": ((), None),
            "measure": ((), None),
            "training_fields": False,
            "trend": NO_TRAINING,
        }
    axis = scene.looked.axis if scene.looked.axis in offered else next(iter(offered))
    told = measures(runs)
    measure = scene.looked.measure if scene.looked.measure in told else ""
    found = trends(runs, axis, measure, scene.metric, scene.policy)
    drawn = sum(len(trend.points) for trend in found)
    what = f"{METRIC_WORDS[scene.metric]} in percent: {measure_words(measure).lower()}"
    return {
        "axis": (tuple((words, name) for name, words in offered.items()), axis),
        "measure": (tuple((measure_words(one), one) for one in told), measure),
        "trend": training(found, offered[axis], what[0].upper() + what[1:], len(runs) - drawn),
    }


def measure_words(measure: str) -> str:
    """A measure of `training_trends.measures` in words."""
    if not measure:
        return "Mean of the tasks"
    if measure in tuple(GuardTask):
        return f"{TASK_WORDS[GuardTask(measure)]}, average"
    return measure
