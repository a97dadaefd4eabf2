"""A report on evaluations: the paper's tables with ours beside them, and what they don't show.

Gathered once (`reports/figures.py`), laid out once (`reports/sections.py`), and written as
Markdown, HTML or JSON; as LaTeX the tables alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.evaluations import Evaluation
from pipelines.gates import GateResult
from pipelines.reports.as_html import html
from pipelines.reports.as_json import to_json
from pipelines.reports.as_latex import latex
from pipelines.reports.as_markdown import markdown
from pipelines.reports.figures import EXAMPLES, figures, tables_of
from pipelines.reports.sections import document
from pipelines.schema import InputError
from pipelines.scoring.cells import Policy

__all__ = ["EXAMPLES", "FORMS", "report"]

FORMS = {"markdown": ".md", "html": ".html", "json": ".json", "latex": ".tex"}
"""form -> the suffix of its files."""


def report(
    evaluations: Sequence[Evaluation],
    form: str = "markdown",
    *,
    policy: Policy = Policy.WRONG_ONCE,
    compare_with: int | None = None,
    gates: Sequence[GateResult] = (),
    examples: int = EXAMPLES,
) -> str:
    """The report as the text of a file.

    `compare_with` is the place of the evaluation that the others are tested against, without one
    the first that is no baseline. `gates` are results of `pipelines.gates.judge`. So many
    `examples` of each kind of mistake a subject are in all forms but LaTeX, with the texts of
    their rows: HTML hides them, Markdown cuts them short, JSON cuts them at 2,000 characters. 0
    leaves them out, for a report that is passed on without the data.

    Raises InputError for an unknown form, for no evaluation and for a reference that is none, and
    DataError for a broken evaluation.
    """
    if form not in FORMS:
        raise InputError(f"form={form}: must be one of {', '.join(FORMS)}")
    if examples < 0:
        raise InputError(f"examples={examples}: must be at least 0")
    if form == "latex" and evaluations:
        return latex(tables_of(evaluations, policy))
    found = figures(evaluations, policy, compare_with, gates, examples)
    if form == "json":
        return to_json(found)
    return markdown(document(found)) if form == "markdown" else html(document(found))
