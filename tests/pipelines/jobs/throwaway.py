"""Throw-away stages, and a worker process that knows them."""

from __future__ import annotations

import errno
import json
import signal
import sys
import time
from typing import Any, Literal

from pydantic import Field

import pipelines.stages
from pipelines.jobs import launchers
from pipelines.schema import (
    DataError,
    Generation,
    GuardExample,
    GuardTask,
    HardSample,
    InputError,
    StopRequested,
    Verdict,
)
from pipelines.stages.base import AdapterRef, PairSetRef, Stage, StageConfig, StageContext


class CountConfig(StageConfig):
    steps: int = 3
    seconds: float = 0.0
    fail_at: int = -1
    fault: Literal["error", "oom", "disk", "data", "exit", "nul"] = "error"
    deaf: Literal["no", "ask", "term"] = "no"
    device: str = "cpu"
    adapter: AdapterRef = ""
    dataset: str = ""


class DigConfig(StageConfig):
    adapter: AdapterRef = ""
    fail: bool = False


class TuneConfig(StageConfig):
    adapter: AdapterRef = ""
    pairs: PairSetRef = ""
    steps: int = 1


class JoinConfig(StageConfig):
    sets: list[str] = Field([], json_schema_extra={"reference": "pair_set"})


def fail(kind: str) -> None:
    if kind == "oom":
        raise MemoryError("no more")
    if kind == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "/data/checkpoint")
    if kind == "data":
        raise DataError(
            "data.jsonl: 60 faults", [f"data.jsonl:{n}: prompt: empty" for n in range(60)]
        )
    if kind == "exit":
        sys.exit(4)
    raise ValueError("a \0 in it" if kind == "nul" else "no such thing")


def count(config: CountConfig, context: StageContext) -> None:
    """Counts, keeping its place in a checkpoint, and hands over a folder."""
    checkpoint = context.directory / "checkpoint"
    begin = int(checkpoint.read_text()) if checkpoint.exists() else 0
    context.activity("counting")
    folder = context.directory / "adapter"
    folder.mkdir(exist_ok=True)
    if config.deaf == "term":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for step in range(begin + 1, config.steps + 1):
        if config.deaf == "no" and context.should_stop():
            raise StopRequested(f"stopped after {step - 1} of {config.steps}")
        if step == config.fail_at:
            context.artifact("adapter", folder, "half", {})
            fail(config.fault)
        time.sleep(config.seconds)
        checkpoint.write_text(str(step))
        context.progress(step, config.steps)
        context.metrics(step, {"loss": 1 / step, "gradient": float("nan")})
    (folder / "weights").write_text("w" * config.steps)
    context.artifact("adapter", folder, "counted", {"steps": config.steps, "nan": float("nan")})


def sample(row_id: str, weight: float = 1.0, text: str = "answer") -> HardSample:
    task = GuardTask.PROMPT_HARMFULNESS
    verdicts = [Verdict({task: label}, "", text) for label in ("harmful", "unharmful")]
    return HardSample(
        example=GuardExample(f"prompt {row_id}", None, {task: "harmful"}, None, "made", row_id),
        task=task,
        generations=tuple(
            Generation(text, verdict, right)
            for verdict, right in zip(verdicts, (True, False), strict=True)
        ),
        k_correct=1,
        k_incorrect=1,
        chosen=0,
        rejected=1,
        weight=weight,
    )


def dig(config: DigConfig, context: StageContext) -> None:
    """Stores two hard samples and hands over a file."""
    context.hard_samples([sample("a"), sample("b")])
    if config.fail:
        raise InputError("nothing found", advice="Dig deeper.")
    path = context.directory / "pairs.jsonl"
    path.write_text(json.dumps({"adapter": config.adapter}))
    context.artifact("pair_set", path, "dug", {})


def tune(config: TuneConfig, context: StageContext) -> None:
    path = context.directory / "inputs.json"
    path.write_text(config.model_dump_json())
    context.artifact("adapter", path, "tuned", {})


def join(config: JoinConfig, context: StageContext) -> None:
    """Hands over a file with the paths that it was given."""
    path = context.directory / "joined.json"
    path.write_text(json.dumps(config.sets))
    context.artifact("pair_set", path, "joined", {})


def check_count(config: Any) -> list[str]:
    if config.steps < 0:
        raise InputError(f"steps={config.steps}: must be at least 0")
    return [f"{config.steps} steps"]


PRESETS: dict[str, dict[str, Any]] = {
    "smollm2-demo": {"steps": 2},
    "slow": {"steps": 400, "seconds": 0.05},
}
STAGES = {
    "rsft": Stage("rsft", "Count", "", CountConfig, count, PRESETS, check_count, order=1),
    "mine": Stage("mine", "Dig", "", DigConfig, dig, {"smollm2-demo": {}}, order=2),
    "merge": Stage("merge", "Join", "", JoinConfig, join, order=2),
    "hsdpo": Stage("hsdpo", "Tune", "", TuneConfig, tune, {"smollm2-demo": {}}, order=3),
    "free": Stage("free", "Free", "", CountConfig, count, exclusive=False),
}
COMMAND = (
    "import sys; from tests.pipelines.jobs import throwaway; throwaway.install();"
    "from pipelines.jobs import worker; sys.exit(worker.main())"
)


def command(job_id: int) -> list[str]:
    return [sys.executable, "-W", "error", "-c", COMMAND, str(job_id)]


def install() -> None:
    """Makes this process know these stages, and its workers too."""
    pipelines.stages.all_stages = lambda: STAGES  # type: ignore[assignment]
    launchers.worker_command = command
