"""What the Train tab shows, as HTML: a dataset looked at, a run told elsewhere, a chain."""

from __future__ import annotations

from collections.abc import Sequence

from guardui.render import copy_block, esc, facts, note, page
from guardui.render_job import to_yaml
from pipelines.datasets import Counts, Dataset, describe
from pipelines.schema import GuardExample, GuardTask
from pipelines.stages.base import StageConfig

SHOWN_ROWS = 3


def other_ways(command: str, config: StageConfig) -> str:
    """The same run as a command line and as a config file, to copy."""
    return page(
        copy_block("Command line", command),
        copy_block("Config file (YAML)", to_yaml(config.model_dump(mode="json"))),
    )


def dataset_preview(dataset: Dataset) -> str:
    """Counts for each task and source, lengths, and three rows whose text stays hidden."""
    about = describe(dataset)
    lengths = " · ".join(f"{name} {count:,}" for name, count in about.lengths.items())
    head = facts(
        {
            "dataset": esc(about.name),
            "rows": f"{about.rows:,}",
            "with a response": f"{about.with_response:,} (without: {about.without_response:,})",
            "with reasoning": f"{about.with_reasoning:,}",
            f"length in {esc(about.length_unit)}": esc(lengths),
        }
    )
    remarks = note("warn", "Left out", about.remarks) if about.remarks else ""
    return page(
        f'<h3 style="margin-top:14px">Data</h3>{head}{remarks}',
        counts_table(about.counts, about.by_source),
        f'<h3 style="margin-top:14px">The first {min(SHOWN_ROWS, about.rows)} rows</h3>',
        *[sample_row(example) for example in dataset.examples[:SHOWN_ROWS]],
    )


def counts_table(counts: Counts, by_source: dict[str, Counts]) -> str:
    """Rows a label, for all sources together and then for each; a task's two side by side."""
    names = {task: " / ".join(task.labels) for task in GuardTask}
    head = "".join(
        f'<th class="num">{esc(task.heading)}<br><small>{esc(names[task])}</small></th>'
        for task in GuardTask
    )
    all_of_them = [("all", counts)] if len(by_source) != 1 else []
    lines = [*all_of_them, *by_source.items()]
    body = "".join(
        f"<tr><td>{esc(source or 'no source')}</td>"
        + "".join(
            f'<td class="num" data-label="{task.heading}, {names[task]}">'
            f"{' / '.join(f'{found[task][label]:,}' for label in task.labels)}</td>"
            for task in GuardTask
        )
        + "</tr>"
        for source, found in lines
    )
    return (
        '<div class="gu-scroll gu-stacks gu-tight" style="margin-top:10px"><table><thead><tr>'
        "<th>Source</th>"
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def sample_row(example: GuardExample) -> str:
    """A row's labels, with its texts behind a click."""
    gold = " · ".join(f"{task.heading} {label}" for task, label in example.gold.items())
    texts = (("request", example.prompt), ("response", example.response))
    parts = "".join(
        f'<h3>{name}</h3><p class="gu-plain">{esc(text)}</p>'
        for name, text in (*texts, ("reasoning and answers", example.reasoning))
        if text
    )
    return (
        f"<details><summary>Show {esc(example.row_id)} <small>{esc(gold) or 'no gold label'}; "
        "the text may be harmful</small></summary>"
        f'<div class="in gu-stack">{parts}</div></details>'
    )


def chain(steps: Sequence[tuple[str, str]]) -> str:
    """A recipe's stages, (title, what is said of it) each, in the order they run."""
    items = "".join(
        f"<li><strong>{esc(title)}</strong><small>{esc(said)}</small></li>" for title, said in steps
    )
    return page(f'<ol class="gu-chain">{items}</ol>')
