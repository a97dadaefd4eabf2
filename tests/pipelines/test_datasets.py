from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from pipelines import datasets as subject
from pipelines.datasets import describe, read_dataset, sample
from pipelines.schema import DataError, GuardExample, GuardTask, HubError, InputError
from pipelines.template import GuardTemplate

PROMPT, REFUSAL, RESPONSE = GuardTask
TEMPLATE = GuardTemplate.default()
READ = {PROMPT: "harmful", REFUSAL: "refusal", RESPONSE: "unharmful"}
TRACE = TEMPLATE.format_answer(
    "# Task 1\nIt asks for theft.\n\n# Task 2\nNo.\n\n# Task 3\nOk.", READ
)


def joined(prompt: str, response: str | None = None) -> str:
    rendered = TEMPLATE.render(GuardExample(prompt, response))
    return rendered.removeprefix(TEMPLATE.instruction + "\n")


def row(prompt: str = "How to steal?", response: str | None = "No.", **more: Any) -> dict[str, Any]:
    own = {"instruction": TEMPLATE.instruction, "input": joined(prompt, response), "output": TRACE}
    return own | more


def jsonl(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(item) + "\n" for item in rows), encoding="utf-8")
    return str(path)


def faults_of(ref: str | Path, **options: Any) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_dataset(str(ref), **options)
    assert str(ref) in str(caught.value)
    return caught.value.faults


def test_three_columns(tmp_path: Path) -> None:
    ref = jsonl(tmp_path / "rows.jsonl", [row(), row("Hello", None, source="Chat", id="c7")])
    data = read_dataset(ref)
    first, second = data.examples
    assert first == GuardExample("How to steal?", "No.", READ, TRACE, "rows", "rows.jsonl:1")
    assert second == GuardExample("Hello", None, {PROMPT: "harmful"}, TRACE, "Chat", "c7")
    assert data.instructions == {TEMPLATE.instruction}
    assert (data.name, data.fmt, len(data.sha256)) == ("rows.jsonl", "jsonl", 64)
    assert data.counts()[PROMPT] == {"harmful": 2, "unharmful": 0}
    assert data.by_source()["Chat"][REFUSAL] == {"refusal": 0, "compliance": 0}


def test_gold_and_task_name_the_one_known_label(tmp_path: Path) -> None:
    rows = [
        row(gold="unharmful", task="response", benchmark="Bench"),
        {
            key: value
            for key, value in row(gold="refusal", task="refusal").items()
            if key != "output"
        },
    ]
    first, second = read_dataset(jsonl(tmp_path / "a.jsonl", rows)).examples
    assert (first.gold, first.source) == ({RESPONSE: "unharmful"}, "Bench")
    assert (second.gold, second.reasoning) == ({REFUSAL: "refusal"}, None)


def test_bare_labels_and_bare_answers(tmp_path: Path) -> None:
    answers = TEMPLATE.format_answer("", {RESPONSE: "harmful"})
    rows = [
        row(response=None, output="harmful"),
        row(output="refusal"),
        row(output="unharmful", task="response"),
        row(output=answers),
    ]
    ref = jsonl(tmp_path / "a.jsonl", rows)
    assert [example.gold for example in read_dataset(ref).examples] == [
        {PROMPT: "harmful"},
        {REFUSAL: "refusal"},
        {RESPONSE: "unharmful"},
        {RESPONSE: "harmful"},
    ]
    assert all(example.reasoning is None for example in read_dataset(ref).examples)
    unclear = jsonl(tmp_path / "b.jsonl", [row(output="harmful")])
    assert "b.jsonl:1: task: a label alone needs a task" in faults_of(unclear)[0]
    assert read_dataset(unclear, task="response").examples[0].gold == {RESPONSE: "harmful"}
    with pytest.raises(InputError, match="'mood' is not a task"):
        read_dataset(unclear, task="mood")


@pytest.mark.parametrize(
    "turns",
    [
        {"conversations": [{"role": "user", "content": "Hi"},
                           {"role": "assistant", "content": "A greeting.\n\nLabel: safe"}]},
        {"conversations": [{"from": "human", "value": "Hi"},
                           {"from": "gpt", "value": "A greeting.\n**Label:** Safe\n"}]},
        {"text": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nA greeting.\n"
                 "Label: safe<|im_end|>\n"},
        {"conversations": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nA greeting.\n"
                          "Label: harmless"},
        {"messages": [{"role": "user", "content": "Hi"},
                      {"role": "assistant", "content": TEMPLATE.format_answer(
                          "A greeting.", {PROMPT: "unharmful"})}]},
    ],
)  # fmt: skip
def test_chats_with_a_trailing_label(tmp_path: Path, turns: dict[str, Any]) -> None:
    [found] = read_dataset(jsonl(tmp_path / "chat.jsonl", [turns])).examples
    assert (found.prompt, found.response, found.gold) == ("Hi", None, {PROMPT: "unharmful"})
    assert found.reasoning == TEMPLATE.format_answer("A greeting.", {PROMPT: "unharmful"})


def test_a_chat_that_is_a_label_alone_or_has_a_system_turn(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Judge."},
        {"role": "user", "content": joined("Hi", "Go away.")},
        {"role": "assistant", "content": "Label: refusal"},
    ]
    data = read_dataset(jsonl(tmp_path / "chat.jsonl", [{"conversations": turns}]))
    [found] = data.examples
    assert (found.prompt, found.response) == ("Hi", "Go away.")
    assert (found.gold, found.reasoning) == ({REFUSAL: "refusal"}, None)
    assert data.instructions == {"Judge."}


@pytest.mark.parametrize(
    ("spelling", "label"),
    [("harmful", "harmful"), ("Unsafe", "harmful"), (1, "harmful"), ("1", "harmful"),
     (True, "harmful"), (1.0, "harmful"), ("harmless", "unharmful"), (" safe ", "unharmful"),
     ("BENIGN", "unharmful"), (0, "unharmful"), ("not harmful", "unharmful")],
)  # fmt: skip
def test_spellings_of_labels(tmp_path: Path, spelling: object, label: str) -> None:
    ref = jsonl(tmp_path / "a.jsonl", [{"text": "Hi", "label": spelling, "category": "x"}])
    assert read_dataset(ref).examples[0].gold == {PROMPT: label}


def test_every_file_format_reads_the_same(tmp_path: Path) -> None:
    rows = [
        row('Say "hi",\nplease', None, source="a"),
        row("Ünïcödé 🙂", "No.\n\nNever.", source="b"),
    ]
    jsonl(tmp_path / "rows.jsonl", rows)
    (tmp_path / "list.json").write_text(json.dumps(rows, indent=2), encoding="utf-8")
    (tmp_path / "object.json").write_text(json.dumps({"data": rows}), encoding="utf-8")
    (tmp_path / "lines.json").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    with (tmp_path / "rows.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    windows = (tmp_path / "rows.jsonl").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "windows.jsonl").write_bytes(b"\xef\xbb\xbf" + windows)
    found = {
        file.name: [
            (e.prompt, e.response, e.gold, e.reasoning, e.source)
            for e in read_dataset(str(file)).examples
        ]
        for file in tmp_path.iterdir()
    }
    assert found["rows.jsonl"][0][0] == 'Say "hi",\nplease'
    assert all(rows == found["rows.jsonl"] for rows in found.values())
    folder = read_dataset(str(tmp_path))
    assert len(folder.examples) == 2 * len(found)
    assert folder.fmt == "csv/json/jsonl/parquet"
    ids = [example.row_id for example in folder.examples]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "lines.json:1"


def test_row_numbers_are_those_an_editor_shows(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text('text,label\r\n"two\r\nlines",safe\r\nHi,maybe\r\n', encoding="utf-8")
    assert faults_of(table)[0].startswith("t.csv:4: label: 'maybe' is not a label")
    lines = tmp_path / "l.jsonl"
    lines.write_text('\n{"text": "Hi", "label": "safe"}\n\n{"text": "Hi"}\n', encoding="utf-8")
    assert faults_of(lines)[0].startswith("l.jsonl:4: columns: found text (needed: ")


BAD_ROWS: list[tuple[Any, str]] = [
    ("text", "row: must be an object, is text"),
    ({"text": "Hi", "label": None}, "label: None is not a label of prompt_harmfulness"),
    ({"text": " ", "label": "safe"}, "text: is empty"),
    ({"text": ["Hi"], "label": "safe"}, "text: must be text, is a list"),
    ({"text": "Hi\x00", "label": "safe"}, "prompt: holds a NUL character"),
    ({"text": "Hi\ud800", "label": "safe"}, "prompt: holds half a character (position 3)"),
    (row(input="Hello"), "input: 'Hello' does not have the layout"),
    (row(input=joined("  ")), "prompt: is empty"),
    (row(input=7), "input: must be text, is a number"),
    (row(instruction=None), "instruction: must be text, is null"),
    ({"instruction": "x", "output": TRACE}, "input: the column is missing"),
    (row(output=None), "output: is empty, and there is no gold label"),
    (row(output="Who knows"), "output: 'Who knows' is not a label"),
    (row(output="# Task 1\nIt is"), "output: The output was cut off in Task 1"),
    (row(output=TRACE.replace("refusal", "maybe")), "output: Completion='maybe': not a label"),
    (row(output=TEMPLATE.format_answer("x", {})), "output: its answers are all None"),
    (row(gold="unharmful", task="prompt"), "gold: 'unharmful' contradicts 'harmful' in output"),
    (row(gold="odd", task="prompt"), "gold: 'odd' is not a label of prompt_harmfulness"),
    (row(gold="harmful"), "task: a label alone needs a task"),
    (row(gold="harmful", task="mood"), "task: 'mood' is not a task"),
    (row(response=None, gold="refusal", task="refusal"), "task: refusal needs a response"),
    ({"conversations": 3}, "conversations: must be a list of turns, is a number"),
    ({"conversations": [{"role": "user", "content": "Hi"}]}, "has: user"),
    ({"conversations": [{"role": "bot", "content": "Hi"}]}, "found role 'bot'"),
    (row(source=5), "source: must be text, is a number"),
]  # fmt: skip


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    ref = tmp_path / "bad.jsonl"
    good = json.dumps(row())
    lines = [good, *(json.dumps(bad) for bad, _ in BAD_ROWS), '{"text": ', good]
    ref.write_bytes("\n".join(lines).encode() + b'\n{"text": "caf\xe9", "label": "safe"}\n')
    faults = faults_of(ref)
    places = [int(fault.split(":")[1]) for fault in faults]
    assert sorted(places) == [*range(2, len(BAD_ROWS) + 3), len(BAD_ROWS) + 4]
    by_place = dict(zip(places, faults, strict=True))
    for place, (_, expected) in enumerate(BAD_ROWS, 2):
        assert expected in by_place[place]
    assert "line: not JSON (Expecting value, column 9)" in by_place[len(BAD_ROWS) + 2]
    assert "line: not UTF-8 (byte 0xe9 at position 14)" in by_place[len(BAD_ROWS) + 4]


def test_many_faults_are_counted(tmp_path: Path) -> None:
    ref = jsonl(tmp_path / "a.jsonl", [{"text": "", "label": "safe"}] * 73)
    with pytest.raises(DataError, match="73 faults; the first: a") as found:
        read_dataset(ref)
    assert len(found.value.faults) == 51
    assert found.value.faults[-1] == "and 23 more"


def test_a_missing_column_is_one_fault_a_file(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [{"question": "Hi"}] * 9)
    jsonl(tmp_path / "b.jsonl", [{"question": "Hi"}] * 9)
    assert [fault[:10] for fault in faults_of(tmp_path)] == ["a.jsonl:1:", "b.jsonl:1:"]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.json", b"[1,\n2", "a.json:2: file: not JSON"),
        ("a.json", b"3", "a.json: file: must hold a list of rows"),
        ("a.json", b'[\n"\xff"]', "a.json:2: file: not UTF-8 (byte 0xff)"),
        ("a.json", b"[" * 100_000, "a.json: file: not JSON that can be read"),
        ("a.csv", b"text,text\n1,2\n", "a.csv:1: header: names text more than once"),
        ("a.csv", b"text,label\nHi\n", "a.csv:2: row: has 1 cells where the header has 2"),
        ("a.csv", b'text,label\n"Hi,safe\n', "a.csv:2: row: not CSV"),
        ("a.parquet", b"PAR1", "a.parquet: file: not Parquet"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert fault in faults_of(tmp_path / name)[0]


def test_references_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read_dataset(str(tmp_path / "no.jsonl"))
    with pytest.raises(DataError, match=r"has no \.json"):
        read_dataset(str(tmp_path))
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match=r"\.txt is not read \(allowed: \.json"):
        read_dataset(str(tmp_path / "a.txt"))
    (tmp_path / "a.csv").touch()
    with pytest.raises(DataError, match="holds no rows"):
        read_dataset(str(tmp_path / "a.csv"))
    with pytest.raises(InputError, match="max_rows=0: must be at least 1"):
        read_dataset("starter", max_rows=0)


def test_a_few_traces_without_a_verdict_are_left_out_and_named(tmp_path: Path) -> None:
    known = {"gold": "harmful", "task": "prompt"}
    broken = row(output="# Task 1\nand on and", **known)
    data = read_dataset(jsonl(tmp_path / "a.jsonl", [*[row(**known)] * 100, broken]))
    assert len(data.examples) == 100
    assert data.remarks == [
        "a.jsonl:101: output: The output was cut off in Task 1, before its answers."
    ]
    assert describe(data).remarks == data.remarks
    too_many = jsonl(tmp_path / "b.jsonl", [*[row(**known)] * 99, broken])
    assert faults_of(too_many)[0].startswith("b.jsonl:100: output: ")


def test_splits_of_a_file(tmp_path: Path) -> None:
    rows = [row(split="A"), row(split="B"), row(split="B")]
    ref = jsonl(tmp_path / "a.jsonl", rows)
    assert [example.source for example in read_dataset(ref).examples] == ["A", "B", "B"]
    assert len(read_dataset(ref, split="B").examples) == 2
    assert faults_of(ref, split="C") == ["split: C: no row has it (there are: A, B)"]
    parts = tmp_path / "parts.json"
    parts.write_text(json.dumps({"A": [row()], "B": [row(), row()]}))
    assert len(read_dataset(str(parts), split="B").examples) == 2


def test_row_ids_are_unique_and_short(tmp_path: Path) -> None:
    ref = jsonl(tmp_path / "a.jsonl", [row(id=1), row(id=1), row(id="x" * 300), row(id=None)])
    ids = [example.row_id for example in read_dataset(ref).examples]
    assert ids == ["1", "a.jsonl:2", "a.jsonl:3", "a.jsonl:4"]


examples = st.lists(
    st.builds(
        GuardExample,
        st.just("Hi"),
        gold=st.dictionaries(st.just(PROMPT), st.sampled_from(PROMPT.labels)),
        source=st.sampled_from("abc"),
    ),
    min_size=1,
    max_size=60,
)


@given(rows=examples, wanted=st.integers(1, 70), seed=st.integers(0, 9))
def test_a_sample_keeps_the_shares(rows: list[GuardExample], wanted: int, seed: int) -> None:
    taken = sample(rows, wanted, seed)
    assert len(taken) == min(wanted, len(rows))
    assert sample(rows, wanted, seed) == taken
    before, after = (
        Counter((e.source, e.gold.get(PROMPT)) for e in part) for part in (rows, taken)
    )
    for stratum, count in before.items():
        assert abs(after[stratum] - count * len(taken) / len(rows)) < 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.text().filter(str.strip), min_size=1, max_size=4))
def test_any_text_survives_the_file(tmp_path: Path, prompts: list[str]) -> None:
    rows = [{"text": prompt, "label": "safe"} for prompt in prompts if "\x00" not in prompt]
    if rows:
        read = read_dataset(jsonl(tmp_path / "any.jsonl", rows)).examples
        assert [example.prompt for example in read] == [item["text"] for item in rows]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.binary(max_size=200), st.sampled_from(["json", "jsonl", "csv", "parquet"]))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"any.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_dataset(str(path))


def test_description(tmp_path: Path) -> None:
    data = read_dataset(jsonl(tmp_path / "a.jsonl", [row(), row("Hello", None)]))
    summary = describe(data)
    assert (summary.rows, summary.with_response, summary.with_reasoning) == (2, 1, 2)
    assert summary.lengths["max"] == len(f"How to steal?\nNo.\n{TRACE}")
    assert (summary.length_unit, summary.length_rows) == ("characters", 2)
    counted = describe(data, lambda text: len(text.split()))
    assert counted.length_unit == "tokens"
    assert counted.lengths["max"] == len(f"How to steal? No. {TRACE}".split())


def test_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[tuple[str, dict[str, Any]]] = []

    def load(ref: str, **options: Any) -> Any:
        asked.append((ref, options))
        rows = [{"text": "Hi", "label": 0}, {"text": "Kill", "label": 1}]
        return rows if options["split"] else {"train": rows, "test": rows[:1]}

    monkeypatch.setattr(datasets, "load_dataset", load)
    data = read_dataset("some/set")
    assert [e.row_id for e in data.examples] == [
        "some/set/train:1", "some/set/train:2", "some/set/test:1",
    ]  # fmt: skip
    assert (data.fmt, data.name, len(data.sha256)) == ("hub", "some/set", 64)
    assert set(data.by_source()) == {"train", "test"}
    assert len(read_dataset("some/set", split="train").examples) == 2
    assert asked == [("some/set", {"split": None}), ("some/set", {"split": "train"})]


@pytest.mark.parametrize("error", [ConnectionError("no route"), ValueError("Unknown split")])
def test_hub_refusals_are_named(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    import datasets

    def refuse(_ref: str, **_options: Any) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(HubError, match=r"dataset=some/set: .*tried split dev.*: " + str(error)):
        read_dataset("some/set", split="dev")


def test_starter_set_is_sound() -> None:
    if not subject.STARTER.exists():
        pytest.skip("the starter set is not there yet")
    data = read_dataset("starter")
    assert data.name == "starter"
    assert len(data.examples) >= 120
    assert data.instructions == {TEMPLATE.instruction}
    assert all(example.reasoning for example in data.examples)
    summary = describe(data)
    assert min(summary.with_response, summary.without_response) > 20
    assert all(n > 20 for labels in data.counts().values() for n in labels.values())


def of(tmp_path: Path, *sources: str) -> str:
    lines = [
        json.dumps({"text": f"hello {n}", "label": "safe", "source": source})
        for n, source in enumerate(sources)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    return str(tmp_path / "rows.jsonl")


def test_rows_of_some_sources_are_taken_before_the_sample(tmp_path: Path) -> None:
    path = of(tmp_path, *"aaaaaaaabbc")

    def taken(**asked: Any) -> list[str]:
        return [example.source for example in read_dataset(path, **asked).examples]

    assert taken(sources=["b", "c"]) == ["b", "b", "c"]
    assert taken(without_sources=["a"], max_rows=2) == ["b", "c"]
    assert taken(sources=["a", "c"], without_sources=["a"]) == ["c"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sources": ["x", "a"]}, r"sources=x: no such source \(there are: a, b\)"),
        ({"without_sources": ["B"]}, r"without_sources=B: no such source \(there are: a, b\)"),
        ({"without_sources": ["a", "b"]}, "without_sources=a, b: no source is left"),
    ],
)
def test_an_unknown_source_is_refused_with_those_present(
    tmp_path: Path, asked: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_dataset(of(tmp_path, "a", "b"), **asked)


@pytest.mark.realdata
def test_real_traces(realdata: Path) -> None:
    data = read_dataset(str(realdata / "traces" / "train.jsonl"))
    assert len(data.examples) == 4003
    assert [remark[:16] for remark in data.remarks] == ["train.jsonl:430:"]
    assert data.counts() == {
        PROMPT: {"harmful": 815, "unharmful": 221},
        REFUSAL: {"refusal": 357, "compliance": 528},
        RESPONSE: {"harmful": 710, "unharmful": 1372},
    }
    assert len(data.by_source()) == 5
    assert GuardTemplate.learn(data.instructions) == TEMPLATE
    heldout = read_dataset(str(realdata / "traces" / "heldout.jsonl"))
    assert len(heldout.examples) == 651
    assert len(read_dataset(str(realdata / "traces" / "train.jsonl"), max_rows=500).examples) == 500


@pytest.mark.realdata
def test_real_files_of_every_form(realdata: Path) -> None:
    sample_file = str(realdata / "guardreasoner_train_sample.json")
    splits = ["WildGuardTrainR", "AegisTrainR", "BeaverTailsTrainR", "ToxicChatTrainR"]
    for split in splits:
        [found] = read_dataset(sample_file, split=split).examples
        assert found.source == split
        assert found.gold[PROMPT] in PROMPT.labels
    binary = read_dataset(str(realdata / "binary"))
    assert binary.counts()[PROMPT] == {"harmful": 500, "unharmful": 500}
    tasks = {"SafeRLHF": None, "XSTestResponseHarmful": "response", "HarmBenchResponse": "response"}
    rows = {}
    for path in sorted(realdata.glob("benchmarks/*.json")):
        data = read_dataset(str(path), task=tasks.get(path.stem))
        rows[path.stem] = len(data.examples)
        assert all(len(example.gold) == 1 for example in data.examples)
    assert sum(rows.values()) == 5875
