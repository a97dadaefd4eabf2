"""Export in TRL's form and back, and TRL's own trainer on what was exported."""

import json

import pytest

from pipelines import base_models
from pipelines.pair_export import COLUMNS, export_pairs, import_pairs
from pipelines.pair_sets import describe_pair_set, diff_pair_sets, read_pairs, write_pair_set
from pipelines.pair_weights import read_ranges
from pipelines.schema import DataError, GuardExample, InputError, NotFoundError
from pipelines.template import GuardTemplate
from tests.hard_cases import TEMPLATE, hard
from tests.tiny_runs import INSTRUCTION, make_pairs

ODD = 'Lines\u2028and\u2029 more\u0085, "quotes", \\ and\ttabs\r\n, emoji 😀👩‍👧, عربى, None'
FORMATS = pytest.mark.parametrize("name", ["set.jsonl", "set.parquet"])


def samples():
    return [
        hard("a", right=3, wrong=1, model="jobs/1/adapter", source="x", extra=ODD),
        hard("b", right=1, wrong=3, model="jobs/1/adapter", source="x", response=ODD),
        hard("c", right=2, wrong=2, model="jobs/2/adapter", source="y", prompt=ODD),
        hard("d", right=2, wrong=2, model="jobs/2/adapter", source="y", response="None"),
    ]


@pytest.fixture
def ref(tmp_path):
    wide = {("jobs/1/adapter", "x"): (-2, 6)}
    write_pair_set(tmp_path / "set", samples(), TEMPLATE, human_edited={"c"}, ranges=wide)
    return str(tmp_path / "set")


@FORMATS
def test_what_is_imported_is_what_was_exported(ref, tmp_path, name):
    assert export_pairs(ref, tmp_path / "out" / name) == 4
    info = import_pairs(tmp_path / "out" / name, tmp_path / "back", name="again", version=3)
    before = describe_pair_set(ref)
    assert info["sha256"] == before["sha256"]
    assert read_pairs(str(tmp_path / "back")) == read_pairs(ref)
    assert diff_pair_sets(ref, str(tmp_path / "back")).unchanged == 4
    assert GuardTemplate.load(tmp_path / "back") == TEMPLATE
    assert read_ranges(info) == read_ranges(before)
    assert (info["name"], info["version"], info["weighting"]) == ("again", 3, "stored")
    assert info["record"]["imported_from"] == name


@FORMATS
def test_a_plain_template_is_exported_as_plain_text(tmp_path, name):
    template = GuardTemplate(instruction=INSTRUCTION, wrapping="plain")
    write_pair_set(tmp_path / "set", samples(), template)
    export_pairs(str(tmp_path / "set"), tmp_path / name)
    info = import_pairs(tmp_path / name, tmp_path / "back")
    assert info["sha256"] == describe_pair_set(str(tmp_path / "set"))["sha256"]
    if name.endswith("jsonl"):
        first = json.loads((tmp_path / name).read_text("utf-8").split("\n")[0])
        assert first["prompt"] == template.render(GuardExample("How a?"))
        assert first["chosen"] == samples()[0].generations[2].text


@FORMATS
def test_datasets_reads_every_column(ref, tmp_path, name):
    from datasets import load_dataset

    export_pairs(ref, tmp_path / name)
    kind = {"jsonl": "json"}.get(name.split(".")[1], "parquet")
    found = load_dataset(
        kind, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert found.column_names == list(COLUMNS)
    assert found["weight"] == pytest.approx([row["weight"] for row in read_pairs(ref)])
    assert json.loads(found[3]["conversation"]) == {"prompt": "How d?", "response": "None"}
    assert json.loads(found[0]["conversation"])["response"] is None
    assert found[1]["chosen"][0]["content"] == read_pairs(ref)[1]["chosen"]


@FORMATS
def test_trl_trains_on_it_as_it_is(ref, tmp_path, name, tiny_base):
    """The prompt that TRL makes of a row is the one that the guard is asked."""
    from datasets import load_dataset
    from trl import DPOConfig, DPOTrainer

    export_pairs(ref, tmp_path / name)
    kind = {"jsonl": "json"}.get(name.split(".")[1], "parquet")
    rows = load_dataset(
        kind, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path / "cache")
    )
    tokenizer = base_models.load_tokenizer(tiny_base)
    asked = TEMPLATE.prompt_text(GuardExample("How d?", "None"), tokenizer)
    trainer = DPOTrainer(
        model=base_models.load_model(tiny_base),
        args=DPOConfig(
            output_dir=str(tmp_path / "out"),
            max_steps=1,
            per_device_train_batch_size=2,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    assert tokenizer.decode(trainer.train_dataset[3]["prompt_ids"]) == asked
    trainer.train()
    losses = [entry["train_loss"] for entry in trainer.state.log_history if "train_loss" in entry]
    assert losses == pytest.approx([0.693], abs=1e-2)


def test_an_older_set_is_exported_with_what_it_has(tmp_path):
    older = make_pairs(tmp_path / "older", 3)
    export_pairs(str(older), tmp_path / "set.jsonl")
    import_pairs(tmp_path / "set.jsonl", tmp_path / "back")
    before, after = read_pairs(str(older)), read_pairs(str(tmp_path / "back"))
    for name in ("prompt", "response", "chosen", "rejected", "k_correct", "k_incorrect"):
        assert [row[name] for row in after] == [row[name] for row in before]


# What is refused


def test_another_ending_is_refused(ref, tmp_path):
    with pytest.raises(InputError, match=r"set\.csv: must end in \.jsonl or \.parquet"):
        export_pairs(ref, tmp_path / "set.csv")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="there is no such file"):
        import_pairs(tmp_path / "none.jsonl", tmp_path / "back")


def test_faults_are_told_by_row(ref, tmp_path):
    export_pairs(ref, tmp_path / "set.jsonl")
    good = json.loads((tmp_path / "set.jsonl").read_text("utf-8").split("\n")[0])
    lacking = {name: value for name, value in good.items() if name != "gold"}
    other = good | {"guard_template": GuardTemplate(instruction="Else.").model_dump_json()}
    lines = [json.dumps(row) for row in (good, lacking, other, good | {"k_correct": "3"}, [1])]
    (tmp_path / "bad.jsonl").write_text("\n".join([*lines, "{torn"]) + "\n", "utf-8")
    with pytest.raises(DataError) as caught:
        import_pairs(tmp_path / "bad.jsonl", tmp_path / "back")
    faults = caught.value.faults
    assert "bad.jsonl:2: not an exported pair (the column 'gold' is missing)" in faults
    assert "bad.jsonl:4: k_correct: '3' is not a int" in faults
    assert "bad.jsonl:5: not a JSON object" in faults
    assert any(fault.startswith("bad.jsonl:6: not JSON") for fault in faults)
    assert faults[-1] == "bad.jsonl: guard_template: 2 variants, must be one"
    assert not (tmp_path / "back").exists()


def test_what_is_no_parquet_or_empty_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(DataError, match="not a Parquet file"):
        import_pairs(tmp_path / "a.parquet", tmp_path / "back")
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(DataError, match=r"a\.jsonl"):
        import_pairs(tmp_path / "a.jsonl", tmp_path / "back")
