"""Pair sets as JSONL or Parquet in TRL's preference form, and back.

`prompt`, `chosen` and `rejected` are what `trl.DPOTrainer` takes: turns of a chat where the
template has the tokenizer's chat template around the prompt, plain text where it hasn't. So TRL
asks just what GuardUI asks, but for one thing: GuardUI breaks up special tokens that stand in a
conversation, which needs the tokenizer and so can't be done in a file.

Beside them stands all that is needed to come back without loss. `conversation`, `gold`,
`sampling` and `guard_template` are JSON texts, for their keys differ from row to row and a table
has one type a column.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pipelines.pair_rows import Row, json_lines, pair_faults
from pipelines.pair_sets import describe_pair_set, read_pairs, read_template
from pipelines.pair_weights import Ranges, range_rows, read_ranges
from pipelines.pair_writing import freeze
from pipelines.schema import DataError, GuardExample, InputError, NotFoundError
from pipelines.template import GuardTemplate

Format = Literal["jsonl", "parquet"]
SUFFIXES: dict[str, Format] = {".jsonl": "jsonl", ".parquet": "parquet"}

PLAIN = {
    "row_id": "",
    "source": "",
    "model": "",
    "task": "",
    "chosen_index": None,
    "rejected_index": None,
    "k_correct": 0,
    "k_incorrect": 0,
    "weight": 1.0,
    "human_edited": False,
}
"""Columns that hold a field as it is, with what an older set's rows have in its place."""

COLUMNS = (
    *("prompt", "chosen", "rejected", "weight", "row_id", "source", "model", "task"),
    *("conversation", "gold", "chosen_index", "rejected_index", "k_correct", "k_incorrect"),
    *("d_min", "d_max", "sampling", "human_edited", "guard_template"),
)


def format_of(target: Path) -> Format:
    """The format that a file's name ends in. Raises InputError for another ending."""
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(f"file={target}: must end in {' or '.join(SUFFIXES)}")
    return SUFFIXES[target.suffix.lower()]


def export_pairs(
    ref: str,
    target: Path,
    format: Format | None = None,
    change: Callable[[Row], Row] = lambda row: row,
) -> int:
    """Writes the set to a file; the number of its rows. The format is the file's ending's.

    `change` has each row last, as for one that leaves this machine."""
    format = format or format_of(target)
    template = read_template(ref) or GuardTemplate.default()
    ranges = read_ranges(describe_pair_set(ref))
    rows = [change(export_row(row, template, ranges)) for row in read_pairs(ref)]
    target.parent.mkdir(parents=True, exist_ok=True)
    if format == "parquet":
        _write_parquet(rows, target, template.wrapping == "chat")
    else:
        with target.open("w", encoding="utf-8", newline="\n") as file:
            # Escaped: some readers take Unicode's line separators for ends of lines.
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return len(rows)


def export_row(row: Mapping[str, Any], template: GuardTemplate, ranges: Ranges) -> Row:
    """A pair as a row of COLUMNS."""
    asked = template.render(GuardExample(row["prompt"], row.get("response")))
    chat = template.wrapping == "chat"
    low, high = ranges.get((row.get("model", ""), row.get("source", "")), (None, None))
    found = {
        "prompt": [{"role": "user", "content": asked}] if chat else asked,
        "chosen": _answer(row["chosen"], chat),
        "rejected": _answer(row["rejected"], chat),
        **{name: row.get(name, missing) for name, missing in PLAIN.items()},
        "conversation": _json({"prompt": row["prompt"], "response": row.get("response")}),
        "gold": _json(row.get("gold", {})),
        "sampling": _json(row.get("sampling", {})),
        "d_min": low,
        "d_max": high,
        "guard_template": template.model_dump_json(),
    }
    return {name: found[name] for name in COLUMNS}


def _answer(text: str, chat: bool) -> Any:
    return [{"role": "assistant", "content": text}] if chat else text


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _write_parquet(rows: Sequence[Row], target: Path, chat: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    kinds: dict[str, Any] = dict.fromkeys(COLUMNS, pa.string())
    kinds |= dict.fromkeys(("prompt", "chosen", "rejected"), turns if chat else pa.string())
    whole = ("chosen_index", "rejected_index", "k_correct", "k_incorrect", "d_min", "d_max")
    kinds |= dict.fromkeys(whole, pa.int64())
    kinds |= {"weight": pa.float64(), "human_edited": pa.bool_()}
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(list(kinds.items()))), target)


def import_pairs(
    path: Path, folder: Path, *, name: str | None = None, version: int | None = None
) -> dict[str, Any]:
    """Reads an exported file and freezes it as a set in this folder; its pair_set.json.

    The rows are those that were exported, to the byte. Raises NotFoundError, InputError for
    another kind of file, DataError with every fault.
    """
    if not path.is_file():
        raise NotFoundError(f"file={path}: there is no such file")
    faults: list[str] = []
    rows: list[Row] = []
    templates: set[str] = set()
    ranges: Ranges = {}
    for place, found in _read(path, format_of(path), faults):
        try:
            row, template = import_row(found)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            faults.append(f"{place}: not an exported pair ({_said(error)})")
            continue
        faults += pair_faults(row, place)
        rows.append(row)
        templates.add(template)
        if found.get("d_min") is not None:
            ranges[row["model"], row["source"]] = (found["d_min"], found["d_max"])
    if len(templates) > 1:
        faults.append(f"{path.name}: guard_template: {len(templates)} variants, must be one")
    if faults:
        raise DataError(f"file={path}: {len(faults)} faults; the first: {faults[0]}", faults)
    if not rows:
        raise DataError(f"file={path}: holds no rows")
    data = path.read_bytes()
    about = {
        "weighting": "stored",
        "gamma": None,
        "pairing": None,
        "name": name,
        "version": version,
        "parent": None,
        "ranges": range_rows(ranges),
        "record": {"imported_from": path.name, "file_sha256": hashlib.sha256(data).hexdigest()},
    }
    return freeze(folder, rows, _template(path, templates.pop()), about)


def _template(path: Path, text: str) -> GuardTemplate:
    try:
        return GuardTemplate.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        raise DataError(f"file={path}: guard_template: {fault['msg']}") from None


def import_row(found: Mapping[str, Any]) -> tuple[Row, str]:
    """(the pair that `export_row` was given, its template as JSON)."""
    conversation = json.loads(found["conversation"])
    row = {
        "row_id": found["row_id"],
        "source": found["source"],
        "model": found["model"],
        "task": found["task"],
        "prompt": conversation["prompt"],
        "response": conversation["response"],
        "gold": json.loads(found["gold"]),
        "chosen": _text(found["chosen"]),
        "rejected": _text(found["rejected"]),
        "chosen_index": found["chosen_index"],
        "rejected_index": found["rejected_index"],
        "k_correct": found["k_correct"],
        "k_incorrect": found["k_incorrect"],
        "weight": float(found["weight"]),
        "sampling": json.loads(found["sampling"]),
        "human_edited": bool(found["human_edited"]),
    }
    return row, found["guard_template"]


def _text(answer: Any) -> str:
    return answer if isinstance(answer, str) else answer[0]["content"]


def _said(error: Exception) -> str:
    return f"the column {error} is missing" if isinstance(error, KeyError) else str(error)


def _read(path: Path, format: Format, faults: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(`file:row`, values) of each row of the file."""
    if format == "jsonl":
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"file={path}: not UTF-8 ({error})") from None
        for place, value in json_lines(text, path.name, faults):
            if isinstance(value, dict):
                yield place, value
            else:
                faults.append(f"{place}: not a JSON object")
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"file={path}: not a Parquet file ({error})") from None
    for number, row in enumerate(table.to_pylist(), 1):
        yield f"{path.name}:{number}", row
