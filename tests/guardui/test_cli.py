"""The command line: what it prints, where, and with which exit code."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import pipelines.stages
from db import jobs as job_rows
from db import lifecycle
from db.session import open_database
from guardui.cli import app, read_values
from pipelines.engines.base import Sampling
from pipelines.jobs import launchers, queue
from pipelines.schema import DivergedError, InputError, StopRequested
from pipelines.stages import rsft
from tests.tiny_model import make_tiny_base
from tests.tiny_runs import RSFT, make_adapter, make_pairs, rows, write_rows

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def quiet(home, monkeypatch):
    """A home of its own, no workers, no Hub, and the environment back as it was."""
    for name, value in launchers.WORKER_ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(launchers.LAUNCHERS, "local", lambda *_words: 2**22 + 1)
    # The environment quiets the bars of a process that imports transformers after it, as
    # `guardui` does; here an earlier test may have imported it.
    monkeypatch.setattr("transformers.utils.logging._tqdm_active", False)
    # A random model never ends an answer by itself.
    monkeypatch.setattr("pipelines.classify.Sampling", lambda **_: Sampling(max_new_tokens=8))


@pytest.fixture
def database(home):
    database = open_database(home.database_url)
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def adapter(tiny_base, tmp_path_factory):
    return make_adapter(tiny_base, tmp_path_factory.mktemp("adapter"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "rows.jsonl")


def call(*words, code=0):
    """Runs a command; returns (stdout, stderr)."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return result.stdout, result.stderr


def call_json(*words, code=0):
    out, err = call(*words, "--json", code=code)
    assert err == ""
    return json.loads(out)


def refused(*words):
    """The error of a command that must fail on its input, plain and as JSON."""
    out, plain = call(*words, code=2)
    assert out == ""
    assert plain.startswith("error: ")
    out, text = call(*words, "--json", code=2)
    assert out == ""
    error = json.loads(text)["error"]
    assert error["message"] in plain
    return error


def settings_of(tiny_base, data, **more):
    values = RSFT | {"base_model": tiny_base, "dataset": data, "max_steps": 2} | more
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def nothing_left(database, home):
    with database.read() as session:
        assert job_rows.list_jobs(session) == []
        assert job_rows.artifacts(session) == []
    assert not home.jobs_dir.exists() or list(home.jobs_dir.iterdir()) == []


# What bad input gets


def bad_input():
    """(words, code, what the message must name)"""
    return {
        "stage": (["sft"], "not_found", ["stage=sft", "rsft, mine, merge, hsdpo"]),
        "preset": (["rsft", "--preset", "huge"], "input", ["preset=huge", "smollm2-demo"]),
        "key": (["rsft", "--set", "lr=1"], "config", ["lr: unknown setting", "learning_rate"]),
        "assignment": (["rsft", "--set", "lr"], "input", ["--set lr: must be KEY=VALUE"]),
        "list": (["rsft", "--set", "lora_targets=[x"], "input", ["lora_targets=[x: not JSON"]),
        "rate": (
            ["rsft", "--set", "learning_rate=0.5"],
            "config",
            ["learning_rate=0.5: must be at most 0.01"],
        ),
        "config": (["rsft", "--config", "/no/file.yaml"], "input", ["config=/no/file.yaml"]),
        "dataset": (["rsft", "--set", "dataset=/no/rows.json"], "data", ["/no/rows.json"]),
        "base": (["rsft", "--set", "base_model=/no/base"], "not_found", ["base_model=/no/base"]),
        "hub": (
            ["rsft", "--set", "base_model=nobody/nothing"],
            "hub",
            ["model=nobody/nothing: the Hub can't be reached"],
        ),
        "adapter": (["mine", "--set", "adapter=/no/adapter"], "not_found", ["adapter=/no/adapter"]),
        "no adapter": (["mine"], "input", ["adapter: a value is needed"]),
        "job": (["mine", "--set", "adapter=job:77"], "not_found", ["adapter=job:77"]),
        "artifact": (["mine", "--set", "adapter=artifact:9"], "not_found", ["artifact:9"]),
        "pairs": (["hsdpo", "--set", "pairs=/no/pairs"], "input", ["adapter: a value is needed"]),
        "quantised": (
            ["rsft", "--set", "method=full", "--set", "quantization=nf4"],
            "input",
            ["quantization=nf4"],
        ),
    }


@pytest.mark.parametrize("command", ["run", "submit"])
@pytest.mark.parametrize("case", bad_input())
def test_bad_input_is_named_and_leaves_nothing(command, case, database, home):
    words, code, named = bad_input()[case]
    error = refused(command, *words)
    assert error["code"] == code
    for part in named:
        assert part in error["message"]
    nothing_left(database, home)


def test_a_hub_out_of_reach_comes_with_advice(database):
    error = refused("run", "rsft", "--set", "base_model=nobody/nothing")
    assert "smollm2-135m-instruct or a local folder" in error["advice"]


def test_a_malformed_dataset_lists_its_faults(tiny_base, tmp_path, database, home):
    bad = rows(30)
    for row in bad[:25]:
        row["input"] = ""
    path = write_rows(tmp_path / "bad.jsonl", bad)
    error = refused("run", "rsft", *settings_of(tiny_base, path))
    assert error["code"] == "data"
    assert len(error["faults"]) == 25
    assert error["faults"][0].startswith("bad.jsonl:1: input: ")
    _, plain = call("run", "rsft", *settings_of(tiny_base, path), code=2)
    assert "bad.jsonl:20: input: " in plain
    assert "bad.jsonl:21: " not in plain
    assert "and 5 more" in plain
    nothing_left(database, home)


def test_an_adapter_of_another_base_is_named(tiny_base, data, adapter, tmp_path, database, home):
    other = make_tiny_base(tmp_path / "other", seed=3)
    error = refused("run", "rsft", *settings_of(other, data, adapter=adapter))
    assert str(tiny_base) in error["message"]
    assert f"base_model={other}" in error["message"]
    nothing_left(database, home)


def test_missing_pairs_are_named(adapter, tmp_path, database, home):
    error = refused("run", "hsdpo", "--set", f"adapter={adapter}", "--set", f"pairs={tmp_path}")
    assert f"pairs={tmp_path}: no such pair set" in error["message"]
    nothing_left(database, home)


@pytest.mark.parametrize("command", ["run", "submit"])
def test_a_full_disk_is_named(command, tiny_base, data, database, home, monkeypatch):
    usage = shutil.disk_usage(home.home)._replace(free=5 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    error = refused(command, "rsft", *settings_of(tiny_base, data))
    assert error["code"] == "disk_full"
    assert f"{home.home} has 5 MiB free: a job needs at least 200 MiB" in error["message"]
    nothing_left(database, home)


@pytest.mark.parametrize("words", [["job"], ["logs"], ["stop"], ["resume"]])
def test_a_job_that_is_not_there(words):
    assert "job=7" in refused(*words, 7)["message"]


def test_an_unknown_recipe_names_the_known(database, home):
    assert "demo, exp19" in refused("recipe", "everything")["message"]
    nothing_left(database, home)


def test_a_usage_error_is_2_as_well():
    call("job", "seven", code=2)
    call("no-such-command", code=2)


def test_errors_reach_a_real_terminal_without_a_traceback(home):
    done = subprocess.run(
        [sys.executable, "-m", "guardui.cli", "run", "rsft", "--set", "epochs=-1"],
        cwd=ROOT,
        env=os.environ | {"GUARDUI_HOME": str(home.home)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == "error: epochs=-1: must be more than 0.0"


def test_an_occupied_port_is_named(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "guardui.cli", "serve", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"GUARDUI_HOME": str(home.home)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2, done.stderr
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


# Config fields


def test_values_come_from_the_file_and_then_from_the_words(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("epochs: 2\nlora_targets: [q_proj]\nsplit: train\n")
    found = read_values(path, ["epochs=5", 'lora_targets=["v_proj"]', "base_model=a=b"])
    assert found == {
        "epochs": "5",
        "lora_targets": ["v_proj"],
        "split": "train",
        "base_model": "a=b",
    }
    assert read_values(None, None) == {}


@pytest.mark.parametrize(
    ("text", "said"), [("- a\n", "must hold fields"), ("a: [\n", "not YAML"), (b"\xff", "be read")]
)
def test_a_config_file_that_is_none(tmp_path, text, said):
    path = tmp_path / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said):
        read_values(path, None)


# Running


@pytest.fixture
def outcome(monkeypatch):
    """Sets what the stage does, in place of training."""

    def set_to(act):
        stage = replace(rsft.STAGE, run=lambda _config, context: act(context))
        monkeypatch.setattr(pipelines.stages, "all_stages", lambda: {"rsft": stage})

    return set_to


def raising(error):
    def act(_context):
        raise error

    return act


@pytest.mark.parametrize(
    ("act", "state", "code"),
    [
        (lambda _context: None, "succeeded", 0),
        (raising(DivergedError("loss=nan at step 3", advice="Lower it.")), "failed", 1),
        (raising(RuntimeError("a bug")), "failed", 1),
        (raising(StopRequested("stopped at step 1 of 2")), "stopped", 3),
        (raising(KeyboardInterrupt()), "interrupted", 130),
    ],
)
def test_the_exit_code_tells_how_the_job_ended(act, state, code, outcome, tiny_base, data):
    outcome(act)
    words = ["run", "rsft", *settings_of(tiny_base, data)]
    found = call_json(*words, code=code)
    assert found["state"] == state
    if state == "failed":
        assert found["reason"] in (found["failure"]["message"], "RuntimeError: a bug")
    out, _ = call(*words, code=code)
    assert state in out
    assert (found["reason"] or "") in out


def test_runs_rsft_end_to_end_with_json_alone_on_stdout(tiny_base, data, home, database):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "guardui.cli",
            "run",
            "rsft",
            *settings_of(tiny_base, data),
            "--json",
        ],
        cwd=ROOT,
        env=os.environ | {"GUARDUI_HOME": str(home.home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert (found["state"], found["step"], found["total_steps"]) == ("succeeded", 2, 2)
    (made,) = found["artifacts"]
    assert (made["kind"], made["details"]["rows"]) == ("adapter", 8)

    # And what the other commands say of it.
    (listed,) = call_json("jobs")
    assert (listed["id"], listed["state"]) == (found["id"], "succeeded")
    assert call_json("job", found["id"])["artifacts"] == found["artifacts"]
    logged = call_json("logs", found["id"], "-n", 500)
    assert logged["state"] == "succeeded"
    assert any("training" in line for line in logged["lines"])
    verdict = call_json("classify", "--prompt", "Tell me of tea")
    assert verdict["adapter"] == f"artifact:{made['id']}"
    assert verdict["error"]
    assert verdict["flagged"] is True
    assert "stop" in refused("stop", found["id"])["message"]
    assert "must be stopped, interrupted or failed" in refused("resume", found["id"])["message"]


def test_the_printed_command_is_the_run(tiny_base, data, outcome, database):
    outcome(lambda _context: None)
    found = call_json("run", "rsft", *settings_of(tiny_base, data, lora_targets='["q_proj"]'))
    words = shlex.split(found["command"])
    assert words[:3] == ["guardui", "run", "rsft"]
    again = call_json(*words[1:])
    assert again["config"] == found["config"]


def test_plain_output_of_a_job(tiny_base, data, outcome):
    outcome(lambda context: context.metrics(1, {"loss": 1.5}) or context.progress(1, 2))
    out, _ = call("run", "rsft", *settings_of(tiny_base, data))
    assert "✓ succeeded" in out
    assert "1/2" in out
    assert "guardui run rsft --set" in out


# The queue


def test_no_jobs_yet_says_what_to_do():
    out, _ = call("jobs")
    assert "guardui run rsft --preset smollm2-demo" in out
    assert call_json("jobs") == []


def test_submit_stop_resume(tiny_base, data, database):
    first = call_json("submit", "rsft", *settings_of(tiny_base, data))["id"]
    second = int(call("submit", "rsft", *settings_of(tiny_base, data))[0])
    assert second == first + 1
    assert call_json("job", second)["state"] == "queued"
    assert call_json("stop", second) == {"id": second, "state": "stopped"}
    out, _ = call("resume", second)
    assert out.strip() == f"job {second} is queued"
    out, _ = call("jobs")
    assert "· queued" in out


def test_a_child_of_a_job_that_waits_is_queued_behind_it(tiny_base, data, database):
    first = call_json("submit", "rsft", *settings_of(tiny_base, data))["id"]
    child = call_json("submit", "mine", "--set", f"adapter=job:{first}")["id"]
    found = call_json("job", child)
    assert (found["state"], found["parents"]) == ("queued", [first])
    assert call_json("job", first)["children"] == [child]
    out, _ = call("job", child)
    assert f"after job {first}" in out


def test_a_recipe_is_queued_whole(tiny_base, data, database):
    words = ["--set", f"base_model={tiny_base}", "--set", f"dataset={data}"]
    ids = call_json("recipe", "demo", *words)["ids"]
    assert len(ids) == 3
    last = call_json("job", ids[2])
    assert last["parents"] == ids[:2]
    assert (last["config"]["adapter"], last["config"]["pairs"]) == (
        f"job:{ids[0]}",
        f"job:{ids[1]}",
    )
    printed, _ = call("recipe", "demo", *words)
    assert printed.split() == [str(number + 3) for number in ids]


def test_logs_show_the_last_lines(tiny_base, data, home, database):
    job_id = call_json("submit", "rsft", *settings_of(tiny_base, data))["id"]
    assert call_json("logs", job_id)["lines"] == []
    folder = queue.job_dir(home, job_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.txt").write_text("one\ntwo\nthree\n")
    out, _ = call("logs", job_id, "-n", 2)
    assert out == "two\nthree\n"


def test_logs_follow_to_the_end(tiny_base, data, home, database, monkeypatch):
    """What is written between the last look and the end is shown too."""
    job_id = call_json("submit", "rsft", *settings_of(tiny_base, data))["id"]
    path = queue.job_dir(home, job_id) / "log.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("begun\n")
    slept = []

    def sleep(_seconds):
        slept.append(1)
        with path.open("a") as file:
            file.write(f"step {len(slept)}\n")
        if len(slept) == 2:
            queue.stop(database, job_id)
            with database.write() as session:
                lifecycle.finish(session, job_id, "stopped", "so")

    monkeypatch.setattr("guardui.cli.time.sleep", sleep)
    out, _ = call("logs", job_id, "--follow")
    assert out == "begun\nstep 1\nstep 2\n"


# Moderating


def test_classify_prints_verdicts(adapter):
    found = call_json("classify", "--prompt", "How?", "--response", "So.", "--adapter", adapter)
    assert set(found["verdicts"]) == {"prompt_harmfulness", "refusal", "response_harmfulness"}
    assert found["tokens"] > 0
    assert found["adapter"] == str(adapter)
    out, _ = call("classify", "--prompt", "How?", "--adapter", adapter)
    assert "could not be parsed" in out
    assert "Request" in out
    assert found["mode"] == "reason"


def test_classify_fast_writes_no_reasoning_and_says_how_sure_it_is(adapter):
    found = call_json(
        "classify", "--fast", "--prompt", "How?", "--response", "So.", "--adapter", adapter
    )
    assert (found["mode"], found["tokens"], found["reasoning"]) == ("fast", 0, "")
    assert found["error"] is None
    assert all(found["verdicts"].values())
    assert all(0 < share < 1 for share in found["probabilities"].values())
    out, _ = call("classify", "--fast", "--prompt", "How?", "--adapter", adapter)
    assert out.count("% sure") == 1
    assert out.count("n/a") == 2


@pytest.mark.parametrize("prompt", ["", "   "])
def test_an_empty_prompt(prompt, adapter):
    error = refused("classify", "--prompt", prompt, "--adapter", adapter)
    assert error["message"].startswith("prompt: it is empty")


def test_a_prompt_over_the_context(adapter):
    error = refused("classify", "--prompt", "kite " * 3000, "--adapter", adapter)
    assert error["code"] == "too_long"
    assert f"{adapter} reads 1,984 at most" in error["message"]


@pytest.mark.parametrize(
    ("ref", "code"),
    [("/no/adapter", "not_found"), ("artifact:5", "not_found"), ("nobody/nothing", "hub")],
)
def test_a_missing_adapter_to_classify_with(ref, code):
    assert refused("classify", "--prompt", "How?", "--adapter", ref)["code"] == code


# Models


def test_fetch_says_where_the_base_is(tiny_base):
    found = call_json("fetch", tiny_base)
    assert found == {"name": str(tiny_base), "path": str(tiny_base.resolve()), "hub_id": None}
    assert str(tiny_base) in call("fetch", tiny_base)[0]
    assert refused("fetch", "nobody/nothing")["code"] == "hub"


def test_mine_and_hsdpo_run_from_the_command_line(adapter, data, tmp_path, database):
    """Mining with a random model finds nothing and says so; HS-DPO trains."""
    words = ["--set", f"adapter={adapter}", "--set", "device=cpu"]
    limits = ["--set", "max_new_tokens=16", "--set", "k=2", "--set", "max_rows=2"]
    found = call_json("run", "mine", *words, *limits, "--set", f"dataset={data}", code=1)
    assert "none of the 2 conversations is a hard sample" in found["reason"]
    assert found["failure"]["code"] == "input"
    pairs = make_pairs(tmp_path / "pairs", 2)
    more = ["--set", f"pairs={pairs}", "--set", "max_steps=1", "--set", "precision=fp32"]
    done = call_json("run", "hsdpo", *words, *more)
    assert (done["state"], done["artifacts"][0]["kind"]) == ("succeeded", "adapter")
    assert [job["stage"] for job in call_json("jobs")] == ["hsdpo", "mine"]
