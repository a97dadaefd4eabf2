"""Training the answers alone, or one task: what is trained and what is asked when serving."""

from pathlib import Path

import pytest

from pipelines import base_models
from pipelines.datasets import read_dataset
from pipelines.schema import InputError
from pipelines.stages import get_stage, rsft
from pipelines.stages.base import build_config
from pipelines.targets import aim
from pipelines.template import GuardTemplate
from tests.tiny_runs import INSTRUCTION, RSFT, Recorder, answer, write_rows

NO_STEPS = "Give the Answers at once, without reasoning.\n"
ONLY = "Finish only Task 1, and write None in the Answers of the others.\n"


@pytest.fixture
def values(tiny_base, tmp_path):
    data = write_rows(tmp_path / "rows.jsonl")
    return RSFT | {"base_model": str(tiny_base), "dataset": str(data), "max_steps": 1}


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ({}, ""),
        ({"target": "answers"}, NO_STEPS),
        ({"tasks": ["prompt_harmfulness"]}, ONLY),
        ({"target": "answers", "tasks": ["prompt_harmfulness"]}, NO_STEPS + ONLY),
    ],
)
def test_serving_asks_for_what_was_trained(values, tmp_path, more, asked):
    context = Recorder(tmp_path / "job")
    stage = get_stage("rsft")
    stage.run(build_config(stage, None, values | more), context)
    ((_kind, folder, _name, _details),) = context.made
    assert GuardTemplate.load(Path(folder)).instruction == INSTRUCTION + asked


def test_the_loss_is_of_the_answers_alone(tiny_base, tmp_path):
    tokenizer = base_models.load_tokenizer(tiny_base)
    data = aim(read_dataset(str(write_rows(tmp_path / "rows.jsonl"))), "answers", [])
    row = rsft.tokenize(data, GuardTemplate(instruction=INSTRUCTION), tokenizer)[0]
    pairs = zip(row["input_ids"], row["completion_mask"], strict=True)
    trained = [token for token, counts in pairs if counts]
    assert tokenizer.decode(trained) == f"{answer('harmful')}{tokenizer.eos_token}"


def test_a_task_that_no_row_answers_is_refused_before_anything_is_queued(values):
    stage = get_stage("rsft")
    with pytest.raises(InputError, match="tasks=refusal: none of the 8 rows answers any"):
        stage.check(build_config(stage, None, values | {"tasks": ["refusal"]}))
