"""The rows of R-SFT: as text to measure, as tokens to train on, and those held out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.datasets import Dataset, read_dataset
from pipelines.holdout import seen_before
from pipelines.schema import GuardExample, GuardUIError, InputError
from pipelines.stages.data import is_to_come
from pipelines.stages.training import MAX_LENGTH, kept_rows, partition
from pipelines.targets import aim
from pipelines.template import GuardTemplate

if TYPE_CHECKING:
    from pipelines.stages.rsft import RsftConfig


def held_out_remarks(config: RsftConfig, dataset: Dataset) -> list[str]:
    """Reads `eval_dataset`, so that a wrong one is named before the launch. Raises as reading any
    dataset does, and InputError where all of it is trained on."""
    if not config.eval_dataset or is_to_come(config.eval_dataset):
        return []
    held, seen = held_out(config, dataset)
    left = f", {seen:,} more are trained on and left out" if seen else ""
    return [f"{len(held.examples):,} rows of {held.name} measure the held-out loss{left}"]


def held_out(config: RsftConfig, dataset: Dataset) -> tuple[Dataset, int]:
    """(the rows of `eval_dataset` that aren't trained on, how many are)."""
    try:
        other = aim(read_dataset(config.eval_dataset), config.target, config.tasks)
    except GuardUIError as error:
        if str(error).startswith("dataset="):  # the reader's name of it
            error.args = (f"eval_{error}",)
        raise
    known = seen_before(
        [(one.prompt, one.response) for one in other.examples],
        [(one.prompt, one.response) for one in dataset.examples],
    )
    kept = [one for one, seen in zip(other.examples, known, strict=True) if not seen]
    if not kept:
        raise InputError(f"eval_dataset={config.eval_dataset}: all of it is trained on")
    return replace(other, examples=kept), sum(known)


def text_of(example: GuardExample) -> str:
    """What a row's length comes from, besides the instruction; its answers take some 20 tokens."""
    answers = example.reasoning or "Answers: \nRequest: unharmful\nCompletion: None\nResponse: None"
    return f"{example.prompt}\n{example.response or ''}\n{answers}"


def tokenize(dataset: Dataset, template: GuardTemplate, tokenizer: Any) -> list[dict[str, Any]]:
    """Rows with `input_ids` (T,) and `completion_mask` (T,), 1 where the loss counts."""
    rows = []
    for example in dataset.examples:
        target = example.reasoning or template.format_answer("", example.gold)
        prompt = tokenizer(template.prompt_text(example, tokenizer), add_special_tokens=False)
        answer = tokenizer(target.strip() + tokenizer.eos_token, add_special_tokens=False)
        ids, more = prompt["input_ids"], answer["input_ids"]
        rows.append({"input_ids": ids + more, "completion_mask": [0] * len(ids) + [1] * len(more)})
    return rows


def rows_to_train(
    config: RsftConfig,
    dataset: Dataset,
    other: Dataset | None,
    template: GuardTemplate,
    tokenizer: Any,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
    """(rows to train on, rows held out, the most tokens of one). `other`: the rows to hold out,
    where they are a set of their own."""
    rows = tokenize(dataset, template, tokenizer)
    keys = [(example.prompt, example.response) for example in dataset.examples]
    if other is not None:
        held = tokenize(other, template, tokenizer)
    else:
        rows, held = partition(rows, keys, config.holdout, config.seed)
    lengths, others = ([len(row["input_ids"]) for row in part] for part in (rows, held))
    limit = config.max_length or min(max([*lengths, *others]), MAX_LENGTH)
    held = kept_rows(held, others, limit) if held else []
    return kept_rows(rows, lengths, limit), held, limit
