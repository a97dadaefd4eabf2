"""Training and evaluation data: a reference in, validated GuardExamples out."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.dataset_files import (
    SUFFIXES,
    Faults,
    Record,
    data_files,
    hub_records,
    read_records,
    sha256_of,
)
from pipelines.dataset_formats import ColumnError, RowError, UnreadableTrace, read_task, to_example
from pipelines.schema import DataError, GuardExample, GuardTask, InputError, Label

logger = logging.getLogger(__name__)

STARTER = Path(__file__).parent / "data" / "starter.jsonl"
QUANTILES = {"min": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
COUNTED_ROWS = 1000
LONGEST_ID = 200
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")

Counts = dict[GuardTask, dict[Label, int]]


@dataclass(frozen=True)
class Dataset:
    """Rows that passed every check. `fmt` is `jsonl`, `csv`, ... or `hub`.

    `remarks` names the rows that were left out: their gold label is known, but their trace
    comes to no verdict. At most one row in a hundred may be such, else they are faults.
    """

    examples: list[GuardExample]
    instructions: set[str]
    name: str
    sha256: str
    fmt: str
    remarks: list[str] = field(default_factory=list)

    def counts(self) -> Counts:
        """task -> label -> number of rows; every task and label has an entry."""
        return _count(self.examples)

    def by_source(self) -> dict[str, Counts]:
        """source -> what `counts` says of its rows."""
        groups: dict[str, list[GuardExample]] = defaultdict(list)
        for example in self.examples:
            groups[example.source].append(example)
        return {source: _count(groups[source]) for source in sorted(groups)}

    def select(
        self,
        max_rows: int | None,
        seed: int,
        sources: Collection[str] = (),
        without_sources: Collection[str] = (),
    ) -> Dataset:
        """The rows of these sources, and of them a sample, as `read_dataset` takes them."""
        examples = of_sources(self.examples, sources, without_sources)
        if max_rows is not None:
            examples = sample(examples, max_rows, seed)
        return replace(self, examples=examples)


@dataclass(frozen=True)
class DatasetSummary:
    """What a person wants to know of a dataset before training on it.

    `lengths` has the QUANTILES of prompt, response and target together, in `length_unit`,
    over `length_rows` rows spread evenly where not all were measured.
    """

    name: str
    rows: int
    with_response: int
    without_response: int
    with_reasoning: int
    counts: Counts
    by_source: dict[str, Counts]
    lengths: dict[str, int]
    length_unit: str
    length_rows: int
    remarks: list[str]


def read_dataset(
    ref: str,
    *,
    max_rows: int | None = None,
    seed: int = 0,
    split: str | None = None,
    task: str | None = None,
    sources: Collection[str] = (),
    without_sources: Collection[str] = (),
) -> Dataset:
    """Reads `starter`, a .json/.jsonl/.parquet/.csv file, a folder of such files or a Hub id.

    `max_rows` takes a seeded sample with the shares of each source and label; `split` picks a
    Hub split, or rows whose `split` says so; `task` is for rows that are a label alone. The
    sample is taken of the rows of `sources` (all where empty) less those of `without_sources`.
    Raises DataError with all faults of all rows, InputError for an unknown source, or HubError.
    """
    try:
        kind = read_task(task) if task else None
    except RowError as error:
        raise InputError(str(error)) from None
    if max_rows is not None and max_rows < 1:
        raise InputError(f"max_rows={max_rows}: must be at least 1")
    path = STARTER if ref == "starter" else Path(ref).expanduser()
    faults = Faults()
    if _on_hub(ref, path):
        digest = hashlib.sha256()
        records = _digested(hub_records(ref, split), digest)
        gathered = _gather(records, faults, None, kind)
        name, sha256, fmt = ref, digest.hexdigest(), "hub"
    else:
        files = data_files(path)
        root = path if path.is_dir() else path.parent
        records = (
            record
            for file in files
            for record in read_records(file, file.relative_to(root).as_posix(), faults)
        )
        gathered = _gather(records, faults, split, kind)
        name, sha256 = "starter" if ref == "starter" else path.name, sha256_of(files)
        fmt = "/".join(sorted({file.suffix.lower()[1:] for file in files}))
    faults.raise_any(ref)
    examples, instructions, remarks = gathered
    if not examples:
        raise DataError(f"dataset={ref}: holds no rows")
    if remarks:
        logger.warning("%s: %d rows left out; the first: %s", name, len(remarks), remarks[0])
    whole = Dataset(examples, instructions, name, sha256, fmt, remarks)
    return whole.select(max_rows, seed, sources, without_sources)


def of_sources(
    examples: list[GuardExample], only: Collection[str] = (), without: Collection[str] = ()
) -> list[GuardExample]:
    """The rows of the sources `only` (of all where empty), less those of `without`.

    Raises InputError, with the sources that are present, for one that isn't or where none is left.
    """
    present = sorted({example.source for example in examples})
    for name, asked in (("sources", only), ("without_sources", without)):
        if unknown := sorted(set(asked) - set(present)):
            known = ", ".join(present)
            raise InputError(f"{name}={', '.join(unknown)}: no such source (there are: {known})")
    wanted = (set(only) or set(present)) - set(without)
    if not wanted:
        raise InputError(
            f"without_sources={', '.join(sorted(without))}: no source is left "
            f"(of: {', '.join(sorted(only) or present)})"
        )
    return [example for example in examples if example.source in wanted]


def _on_hub(ref: str, path: Path) -> bool:
    looks_local = path.exists() or path.suffix.lower() in SUFFIXES
    return bool(_HUB_ID.fullmatch(ref)) and not looks_local and ref != "starter"


def _digested(records: Iterable[Record], digest: hashlib._Hash) -> Iterator[Record]:
    """The same records; their contents go into the digest on the way."""
    for record in records:
        digest.update(json.dumps(record.values, sort_keys=True, default=str).encode())
        yield record


def _gather(
    records: Iterable[Record], faults: Faults, split: str | None, task: GuardTask | None
) -> tuple[list[GuardExample], set[str], list[str]]:
    """(examples, instructions, remarks) of all rows; what is wrong goes to `faults`."""
    examples: list[GuardExample] = []
    instructions: set[str] = set()
    unreadable: list[tuple[Record, UnreadableTrace]] = []
    seen: set[str] = set()
    splits: set[str] = set()
    columns: set[tuple[str, str]] = set()
    for record in records:
        part = str(record.values.get("split") or record.split)
        splits.add(part)
        if split and part != split:
            continue
        source = part or Path(record.file).stem
        try:
            example, instruction = to_example(record.values, source, row_id_of(record, seen), task)
        except UnreadableTrace as error:
            unreadable.append((record, error))
        except RowError as error:
            # A column that a file doesn't have is one fault, not one a row.
            known = (record.file, str(error)) in columns
            if isinstance(error, ColumnError):
                columns.add((record.file, str(error)))
            if not known:
                faults.add(record.file, record.row, error.name, error.what)
        else:
            examples.append(example)
            if instruction is not None:
                instructions.add(instruction)
    if split and split not in splits and splits:
        found = ", ".join(sorted(splits - {""})) or "none"
        faults.add("split", None, split, f"no row has it (there are: {found})")
    remarks = []
    few = len(unreadable) * 100 <= len(examples)
    for record, trace in unreadable:
        if few:
            remarks.append(f"{record.file}:{record.row}: {trace}")
        else:
            faults.add(record.file, record.row, trace.name, trace.what)
    return examples, instructions, remarks


def row_id_of(record: Record, seen: set[str]) -> str:
    """The row's own id where it is new and short enough, else `file:row`."""
    own = record.values.get("id")
    given = str(own).replace("\x00", "") if isinstance(own, (str, int)) else ""
    place = f"{record.file[-150:]}:{record.row}"
    row_id = given if given and given not in seen and len(given) <= LONGEST_ID else place
    seen.add(row_id)
    return row_id


def sample(examples: list[GuardExample], rows: int, seed: int) -> list[GuardExample]:
    """So many of them in their order, each source and labelling by its share; seeded."""
    if rows >= len(examples):
        return examples
    strata: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        strata[(example.source, *sorted(example.gold.items()))].append(index)
    share = rows / len(examples)
    exact = {key: len(members) * share for key, members in strata.items()}
    taken = {key: int(number) for key, number in exact.items()}
    by_remainder = sorted(strata, key=lambda key: (taken[key] - exact[key], str(key)))
    for key in by_remainder[: rows - sum(taken.values())]:
        taken[key] += 1
    chance = random.Random(seed)
    kept = [i for key, members in strata.items() for i in chance.sample(members, taken[key])]
    return [examples[index] for index in sorted(kept)]


def _count(examples: Iterable[GuardExample]) -> Counts:
    found = Counter(pair for example in examples for pair in example.gold.items())
    return {task: {label: found[task, label] for label in task.labels} for task in GuardTask}


def describe(dataset: Dataset, count_tokens: Callable[[str], int] | None = None) -> DatasetSummary:
    """Counts and lengths; lengths are in characters unless tokens can be counted."""
    examples = dataset.examples
    step = -(-len(examples) // COUNTED_ROWS) if count_tokens else 1
    measure = count_tokens or len
    texts = (f"{e.prompt}\n{e.response or ''}\n{e.reasoning or ''}" for e in examples[::step])
    lengths = sorted(map(measure, texts))
    with_response = sum(example.response is not None for example in examples)
    return DatasetSummary(
        name=dataset.name,
        rows=len(examples),
        with_response=with_response,
        without_response=len(examples) - with_response,
        with_reasoning=sum(example.reasoning is not None for example in examples),
        counts=dataset.counts(),
        by_source=dataset.by_source(),
        lengths={name: lengths[round(q * (len(lengths) - 1))] for name, q in QUANTILES.items()},
        length_unit="tokens" if count_tokens else "characters",
        length_rows=len(lengths),
        remarks=dataset.remarks,
    )
