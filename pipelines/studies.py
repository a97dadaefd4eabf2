"""Making the pairs of a preference study: two traces of reasoning about one conversation.

The traces come from two files of predictions (one JSON object a line with `prompt` and
`predict`, as the GuardReasoner authors publish them) or from two adapters that answer now.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.schema import DataError, GuardExample, InputError
from pipelines.settings import Settings
from pipelines.template import GuardTemplate

logger = logging.getLogger(__name__)

MAX_FAULTS = 20
BATCH = 8
Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, 0 to 1."""


class Pair(NamedTuple):
    """One conversation with the whole answer of each arm, in the order of the arms."""

    prompt: str
    response: str | None
    first: str
    second: str


def pairs_from_predictions(
    file_a: Path, file_b: Path, limit: int | None = None, seed: int = 0
) -> list[Pair]:
    """The prompts that both files answer, in the order of the first file.

    `limit` draws so many of them at random. Of a repeated prompt the first row counts.
    Raises DataError with every `file:row: field: what` fault, or where no prompt is in both.
    """
    _check_limit(limit)
    faults: list[str] = []
    first, second = (_read_predictions(Path(file), faults) for file in (file_a, file_b))
    if faults:
        raise DataError(f"{faults[0]} ({len(faults)} faults)", faults)
    template = GuardTemplate.default()
    pairs = [
        Pair(*conversation_of(text, template), answer, second[text])
        for text, answer in first.items()
        if text in second
    ]
    if not pairs:
        raise DataError(
            f"{Path(file_a).name} and {Path(file_b).name}: no `prompt` is in both files"
        )
    left_out = len(first) + len(second) - 2 * len(pairs)
    if left_out:
        logger.info("%d prompts are in one of the files only and were left out", left_out)
    return _draw(pairs, limit, seed)


def pairs_from_adapters(
    adapter_a: str | Path,
    adapter_b: str | Path,
    dataset: str,
    settings: Settings,
    *,
    limit: int | None = 50,
    seed: int = 0,
    device: str = "cpu",
    max_new_tokens: int = 1024,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Pair]:
    """Lets both adapters answer the same rows of a dataset, greedily, one adapter at a time.

    A row that either adapter can't answer, because it is too long, is left out. Raises the
    errors of `datasets` and `base_models`, and DataError where no row is left.
    """
    from pipelines.datasets import read_dataset

    _check_limit(limit)
    if str(adapter_a) == str(adapter_b):
        raise InputError(f"adapter={adapter_a}: the two arms must differ")
    examples = read_dataset(dataset, max_rows=limit, seed=seed).examples
    report = progress or (lambda _what, _share: None)
    answers = []
    for arm, adapter in enumerate((adapter_a, adapter_b)):

        def share(what: str, done: float, arm: int = arm) -> None:
            report(what, (arm + done) / 2)

        answers.append(
            _answers(adapter, examples, settings, device, max_new_tokens, share, should_stop)
        )
    pairs = [
        Pair(example.prompt, example.response, first, second)
        for example, first, second in zip(examples, *answers, strict=True)
        if first and second
    ]
    if not pairs:
        raise DataError(f"dataset={dataset}: no row was answered by both adapters")
    return pairs


def _answers(
    adapter: str | Path,
    examples: Sequence[GuardExample],
    settings: Settings,
    device: str,
    max_new_tokens: int,
    report: Progress,
    should_stop: Callable[[], bool],
) -> list[str]:
    """One answer a conversation; empty where there was none."""
    from pipelines.classify import classify, open_moderator
    from pipelines.engines.base import Sampling

    name = Path(adapter).name
    report(f"loading {name}", 0.0)
    moderator = open_moderator(adapter, settings, device=device)
    sampling = Sampling(temperature=0.0, max_new_tokens=max_new_tokens)
    texts: list[str] = []
    for start in range(0, len(examples), BATCH):
        report(f"{name} answers {start + 1} of {len(examples)}", start / len(examples))
        batch = examples[start : start + BATCH]
        verdicts = classify(
            batch, moderator.engine, moderator.template, moderator.tokenizer, sampling, should_stop
        )
        texts += [answers[0].raw for answers in verdicts]
    report(f"{name} is done", 1.0)
    return texts


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise InputError(f"limit={limit}: must be at least 1")


def _draw(pairs: list[Pair], limit: int | None, seed: int) -> list[Pair]:
    if limit is None or limit >= len(pairs):
        return pairs
    kept = sorted(random.Random(seed).sample(range(len(pairs)), limit))
    return [pairs[index] for index in kept]


def _read_predictions(file: Path, faults: list[str]) -> dict[str, str]:
    """prompt -> answer; faults are added to the list, at most MAX_FAULTS a file."""
    answers: dict[str, str] = {}
    found: list[str] = []
    try:
        # Only a line feed ends a row: JSON strings may hold other line separators.
        lines = file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise DataError(f"file={file}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"file={file}: can't be read as UTF-8 text ({error})") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{file.name}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            found.append(f"{where}: not JSON ({error})")
            continue
        if not isinstance(row, dict):
            found.append(f"{where}: must be an object with `prompt` and `predict`")
            continue
        wrong = [
            f"{where}: {field}: must be a text that is not empty, is {_shown(row.get(field))}"
            for field in ("prompt", "predict")
            if not isinstance(row.get(field), str) or not row[field].strip()
        ]
        found += wrong
        if not wrong:
            answers.setdefault(row["prompt"], row["predict"])
    if not answers and not found:
        found.append(f"{file.name}: the file has no rows")
    faults += found[:MAX_FAULTS]
    return answers


def _shown(value: object) -> str:
    text = "missing" if value is None else json.dumps(value)
    return text if len(text) <= 40 else text[:39] + "…"


def conversation_of(text: str, template: GuardTemplate) -> tuple[str, str | None]:
    """Takes the instruction off a model input and splits the rest into request and reply."""
    head = template.input_layout.split("{prompt}")[0]
    start = text.find("\n" + head) + 1 if not text.startswith(head) else 0
    if not text[start:].startswith(head):
        return text, None  # another layout: the whole input is the best there is to show
    try:
        return template.split_input(text[start:])
    except InputError:
        return text, None
