"""Jobs that belong together as HTML: a chain before it is launched, a group's table and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guardui.render import esc, page
from pipelines.jobs.planning import Planned


def planned_chain(plans: Sequence[Planned]) -> str:
    """The jobs that a recipe would queue: what each does, on which rows, after which others."""
    items = "".join(_planned(plan) for plan in plans)
    return page(f'<ol class="gu-chain">{items}</ol>')


def _planned(plan: Planned) -> str:
    title = (plan.title or plan.stage.title).partition(": ")[2] or plan.stage.title
    said = [f"preset {plan.preset}"] if plan.preset else []
    said += [rows_said(plan.rows)] if plan.rows is not None else []
    said += [f"takes {', '.join(plan.before)}"] if plan.before else []
    lines = "".join(f"<small>{esc(line)}</small>" for line in said)
    return f"<li><strong>{esc(title)}</strong><small>{esc(plan.key)}</small>{lines}</li>"


def rows_said(rows: Mapping[str, int]) -> str:
    """`40 rows: Aegis 30, WildGuard 10`."""
    sources = ", ".join(f"{source or 'no source'} {count:,}" for source, count in rows.items())
    return f"{sum(rows.values()):,} rows: {sources}"
