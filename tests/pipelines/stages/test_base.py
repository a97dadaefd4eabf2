"""Configs: what is refused and how it is said, presets, references."""

import subprocess
import sys
from typing import Annotated, Any

import pytest
from pydantic import Field, field_validator

from pipelines.schema import ConfigError, InputError, NotFoundError
from pipelines.stages import all_stages, get_stage
from pipelines.stages.base import (
    AdapterRef,
    DatasetRef,
    PairSetRef,
    Stage,
    StageConfig,
    build_config,
    references,
    with_references,
)

STAGES = all_stages()
PRESETS = [(stage.name, preset) for stage in STAGES.values() for preset in stage.presets]


class Small(StageConfig):
    """Has a field of each kind of fault."""

    needed: str
    low: int = Field(1, ge=1)
    high: float = Field(0.5, le=1)
    above: float = Field(0.5, gt=0)
    below: float = Field(0.5, lt=1)
    even: int = 2

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


def nothing(_config: Any, _context: Any) -> None: ...


SMALL = Stage("small", "Small", "", Small, nothing, {"usual": {"needed": "yes", "low": 3}})


def faults(values, stage=SMALL, preset=None):
    with pytest.raises(ConfigError) as caught:
        build_config(stage, preset, values)
    assert str(caught.value) == "; ".join(caught.value.faults)
    return caught.value.faults


def test_every_fault_has_a_line_with_field_value_and_what_is_allowed():
    assert faults({"low": 0, "high": 2, "above": 0, "below": 1, "even": 3}) == [
        "needed: a value is needed",
        "low=0: must be at least 1",
        "high=2: must be at most 1.0",
        "above=0: must be more than 0.0",
        "below=1: must be less than 1.0",
        "even=3: must be even",
    ]


def test_a_wrong_type_is_named():
    (line,) = faults({"needed": "x", "low": "many"})
    assert line.startswith("low=many: input should be a valid integer")


def test_an_unknown_key_is_refused_with_the_known_ones():
    (line,) = faults({"needed": "x", "lr": 1})
    assert line == "lr: unknown setting (known: needed, low, high, above, below, even)"


def test_a_choice_names_the_choices():
    (line,) = faults({"method": "dora"}, STAGES["rsft"])
    assert line == "method=dora: must be one of 'lora' or 'full'"


@pytest.mark.parametrize("rate", [0, -1, 0.02, "nan"])
def test_learning_rates_out_of_bounds(rate):
    (line,) = faults({"learning_rate": rate}, STAGES["rsft"])
    assert line.startswith(f"learning_rate={rate}: ")


def test_a_device_that_is_none():
    (line,) = faults({"device": "tpu"}, STAGES["mine"])
    assert line.startswith("device=tpu: ")


def test_an_unknown_preset_names_the_known():
    with pytest.raises(
        InputError, match=r"preset=huge: small has no such preset \(it has: usual\)"
    ):
        build_config(SMALL, "huge", {"needed": "x"})


def test_values_go_before_the_preset_and_the_preset_before_the_defaults():
    config = build_config(SMALL, "usual", {"low": "7"})
    assert (config.needed, config.low, config.high) == ("yes", 7, 0.5)
    assert build_config(SMALL, "usual").low == 3


def test_assignments_are_checked_too():
    config = build_config(SMALL, "usual")
    with pytest.raises(ValueError, match="greater than or equal"):
        config.low = 0


def test_an_unknown_stage_names_the_known():
    with pytest.raises(NotFoundError, match=r"stage=sft: no such stage .*rsft, mine, merge, hsdpo"):
        get_stage("sft")


def test_the_stages_stand_in_the_methods_order():
    assert list(STAGES) == [
        "synthesize",
        "rsft",
        "mine",
        "merge",
        "hsdpo",
        "quality",
        "evaluate",
        "study",
        "export",
        "push",
    ]


@pytest.mark.parametrize(("stage", "preset"), PRESETS)
def test_every_preset_is_valid(stage, preset):
    config = build_config(STAGES[stage], preset)
    for name, value in STAGES[stage].presets[preset].items():
        assert getattr(config, name) == value


def test_the_presets_of_the_method_are_there():
    assert set(STAGES["rsft"].presets) >= {
        "smollm2-demo", "exp18", "exp19", "paper-1b", "paper-3b", "paper-8b", "sample-efficiency",
    }  # fmt: skip
    assert set(STAGES["mine"].presets) >= {"smollm2-demo", "paper"}
    assert set(STAGES["hsdpo"].presets) >= {"smollm2-demo", "paper", "single-gpu"}


def test_presets_say_what_the_authors_did():
    exp19 = build_config(STAGES["rsft"], "exp19")
    assert (exp19.quantization, exp19.lora_r, exp19.lora_alpha) == ("nf4", 16, 16)
    assert exp19.batch_size * exp19.accumulation == 128
    assert exp19.learning_rate == 5e-5
    paper = build_config(STAGES["rsft"], "paper-8b")
    assert paper.method == "full"
    assert paper.batch_size * paper.accumulation == 384
    hsdpo = build_config(STAGES["hsdpo"], "paper")
    assert (hsdpo.beta, hsdpo.rho, hsdpo.gamma) == (0.01, 2.0, 0.2)
    assert hsdpo.batch_size * hsdpo.accumulation == 256
    one = build_config(STAGES["hsdpo"], "single-gpu")
    assert (one.batch_size, one.accumulation, one.gamma) == (4, 64, 0.5)
    mine = build_config(STAGES["mine"], "paper")
    assert (mine.k, mine.temperature, mine.top_p, mine.max_new_tokens) == (4, 0.7, 0.95, 2048)


@pytest.mark.parametrize("stage", STAGES)
def test_every_field_has_a_description(stage):
    bare = [
        name for name, info in STAGES[stage].config.model_fields.items() if not info.description
    ]
    assert bare == []


class Referring(StageConfig):
    adapter: AdapterRef = ""
    dataset: DatasetRef = "starter"
    pairs: PairSetRef = Field("", json_schema_extra={"reference": "pair_set", "essential": True})
    sets: list[str] = Field([], json_schema_extra={"reference": "pair_set"})
    note: Annotated[str, Field(json_schema_extra={"essential": True})] = "job:4"


def test_references_are_the_fields_that_name_artifacts():
    assert references(Referring()) == [("dataset", "dataset", "starter")]
    assert references(Referring(adapter="job:3", pairs="/p", sets=["job:4", "", "/q"])) == [
        ("adapter", "adapter", "job:3"),
        ("dataset", "dataset", "starter"),
        ("pairs", "pair_set", "/p"),
        ("sets", "pair_set", "job:4"),
        ("sets", "pair_set", "/q"),
    ]


def test_every_reference_can_be_changed_in_its_place():
    config = Referring(adapter="job:3", sets=["job:4", "/q"])
    changed = with_references(config, lambda name, kind, value: f"{name}/{kind}/{value}")
    assert changed.adapter == "adapter/adapter/job:3"
    assert changed.sets == ["sets/pair_set/job:4", "sets/pair_set//q"]
    assert (changed.pairs, changed.note) == ("", "job:4")
    assert config.sets == ["job:4", "/q"]


@pytest.mark.parametrize(
    ("stage", "fields"),
    [
        ("rsft", {"adapter": "adapter", "base_model": "model", "dataset": "dataset"}),
        ("mine", {"adapter": "adapter", "dataset": "dataset"}),
        ("hsdpo", {"adapter": "adapter", "pairs": "pair_set"}),
    ],
)
def test_the_references_of_the_stages(stage, fields):
    config = build_config(STAGES[stage], None, dict.fromkeys(fields, "x"))
    assert {name: kind for name, kind, _ in references(config)} == fields


def test_looking_at_the_stages_imports_no_torch():
    code = (
        "import sys; from pipelines.stages import all_stages; all_stages(); "
        "heavy = {'torch', 'transformers', 'trl', 'peft', 'datasets'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
