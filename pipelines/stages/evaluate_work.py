"""What the stage `evaluate` does with each subject, and holding the moderators to the gates."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipelines.asking import Answers, conversations
from pipelines.baselines import WORDS, baseline_predictions
from pipelines.classify import Mode, open_moderator
from pipelines.datasets import read_dataset
from pipelines.evaluations import (
    Evaluation,
    EvaluationInfo,
    Prediction,
    read_evaluation,
    write_evaluation,
)
from pipelines.gates import judge, parse_gates, require
from pipelines.learnt import Learnt, learnt_by
from pipelines.metrics import count, scores
from pipelines.mining import model_of
from pipelines.predictions import prompt_key
from pipelines.schema import GuardExample
from pipelines.settings import get_settings
from pipelines.stages.base import StageContext
from pipelines.stages.evaluate_rows import Asked, StoredAnswers
from pipelines.stages.training import fetch_progress, pick_device
from pipelines.subjects import Subject, training_of

FIRST = "first"
MANY_SEEN = 0.05


class Asking(Protocol):
    """The fields of a stage's config that tell how subjects are asked."""

    @property
    def mode(self) -> Mode: ...
    @property
    def probabilities(self) -> bool: ...

    max_new_tokens: int
    batch_size: int
    seed: int
    device: str


class Settings(Protocol):
    """The fields of the stage's config that tell how moderators are judged."""

    adapters: list[str]
    gates: list[str]
    gate_reference: str
    train_dataset: str


class Work:
    """One run: how far it is, and what each subject's evaluation is made of."""

    def __init__(self, config: Asking, context: StageContext, total: int) -> None:
        self.config, self.context, self.total = config, context, total
        self.done = 0

    def ask(self, subject: Subject, rows: Sequence[Asked]) -> Evaluation:
        """Lets a model answer; what an earlier attempt has answered is not asked again."""
        config, context = self.config, self.context
        examples = conversations(rows)
        device = pick_device(config.device)
        moderator = open_moderator(
            subject.reference, get_settings(), device=device, progress=fetch_progress(context)
        )
        model = model_of(subject.reference)
        answers = Answers(
            context.directory / "answers" / f"{subject.slug}.jsonl",
            {
                "reference": subject.reference,
                "sha256": model.sha256,
                "mode": config.mode,
                "probabilities": config.probabilities,
                "max_new_tokens": config.max_new_tokens,
                "template": moderator.template.model_dump(mode="json"),
            },
        )
        before = self.done
        what = f"{subject.name} answers {len(examples):,} conversations"

        def on_batch(answered: int) -> None:
            self.done = before + answered
            context.progress(self.done, self.total)
            context.activity(f"{what}, {answered:,} are done")

        def on_ended(ended: int, total: int) -> None:
            said = f"{self.done - before:,} are done; {ended} of {total} of this batch are whole"
            context.activity(f"{what}, {said}")

        answers.ask(
            examples,
            moderator,
            mode=config.mode,
            probabilities=config.probabilities,
            max_new_tokens=config.max_new_tokens,
            batch_size=config.batch_size,
            seed=config.seed,
            should_stop=context.should_stop,
            on_batch=on_batch,
            on_ended=on_ended,
        )
        learnt = learnt_by(subject.reference) if subject.kind == "adapter" else Learnt()
        sampling = {"temperature": 0.0, "max_new_tokens": config.max_new_tokens}
        info = self._info(subject, rows, config.mode).model_copy(
            update={
                "sampling": sampling | {"batch_size": config.batch_size, "device": device},
                "model_sha256": model.sha256,
                "training": training_of(model.info)
                | ({"sources": learnt.sources} if learnt.sources else {}),
                "seconds": round(sum(answers.seconds.values()), 2),
                "remarks": contamination(learnt, rows),
            }
        )
        return self._write(info, answers.predictions(rows))

    def keep_stored(self, stored: StoredAnswers) -> Evaluation:
        """The answers of a file as an evaluation."""
        self.context.activity(f"reading the answers of {stored.subject.name}")
        info = self._info(stored.subject, stored.asked, "stored")
        return self._write(info.model_copy(update={"reading": "authors"}), stored.predictions())

    def compute(
        self, subject: Subject, rows: Sequence[Asked], judging: Settings
    ) -> Evaluation | None:
        """What a baseline says; None for one that has nothing to learn from."""
        self.context.activity(f"computing {subject.name}")
        train: list[GuardExample] = []
        remarks: list[str] = []
        if subject.reference == WORDS:
            train, remarks = training_examples(judging)
            if not train:
                self.context.remark(f"{subject.name} is left out: {remarks[0]}", {})
                return None
            remarks += seen_in_training({prompt_key(one.prompt) for one in train}, rows)
        info = self._info(subject, rows, "computed")
        info = info.model_copy(update={"reading": "none", "remarks": remarks})
        return self._write(info, baseline_predictions(subject.reference, rows, train))

    def _info(self, subject: Subject, rows: Sequence[Asked], mode: Any) -> EvaluationInfo:
        return EvaluationInfo(
            name=subject.name,
            kind=subject.kind,
            reference=subject.reference,
            mode=mode,
            benchmarks=[one.info for one in rows],
        )

    def _write(self, info: EvaluationInfo, predictions: Iterator[Prediction]) -> Evaluation:
        slug = Subject(info.name, info.kind, info.reference).slug
        return write_evaluation(self.context.directory / "evaluations" / slug, info, predictions)

    def hand_over(self, evaluation: Evaluation) -> None:
        """The evaluation as an artifact, with what lists show of it."""
        info, f1, failures = evaluation.info, {}, 0
        for name, columns in evaluation.columns().items():
            counts = count(columns.gold, columns.predicted)
            f1[name] = scores(counts).f1
            failures += counts.failures
        if info.kind in ("adapter", "base"):
            rate = failures / max(info.rows, 1)
            self.context.metrics(self.done, {"parse_failure_rate": rate, **_named(f1)})
        sample = next((one.sample for one in info.benchmarks if one.sample), None)
        details = {
            "kind": info.kind,
            "mode": info.mode,
            "reference": info.reference,
            "rows": info.rows,
            "benchmarks": list(f1),
            "f1": f1,
            "failures": failures,
            "sample": sample,
            "seed": self.config.seed,
        }
        self.context.artifact("evaluation", evaluation.folder, info.name, details)


def _named(f1: dict[str, float | None]) -> dict[str, float]:
    return {f"f1 {name}": value for name, value in f1.items() if value is not None}


def judge_all(config: Settings, context: StageContext, made: Sequence[Evaluation]) -> None:
    """Holds all but the baselines to the gates. Raises GateError where one is missed."""
    gates = parse_gates(config.gates)
    judged = [one for one in made if one.info.kind != "baseline"]
    if not gates or not judged:
        return
    reference, results = None, []
    if config.gate_reference == FIRST:
        # With itself there is nothing to compare.
        reference, judged = judged[0], judged[1:]
        results = judge([gate for gate in gates if not gate.compares], reference)
    elif config.gate_reference:
        reference = read_evaluation(config.gate_reference)
    results += [result for one in judged for result in judge(gates, one, reference)]
    for one in results:
        data = {"gate": one.text, "subject": one.subject, "state": one.state, "value": one.value}
        context.remark(f"gate: {one.subject}: {one.text}: {one.words}", data)
    require(results)


def contamination(learnt: Learnt, rows: Sequence[Asked]) -> list[str]:
    """What to tell of the rows beside those that a subject was trained on."""
    unread = [
        f"trained on {part}, which isn't here, so the rows can't be checked against it"
        for part in dict.fromkeys(learnt.unread)
    ]
    return unread + seen_in_training(learnt.prompts, rows)


def seen_in_training(known: Collection[int], rows: Sequence[Asked]) -> list[str]:
    """What to tell of benchmarks with prompts among those (see `prompt_key`) of the training."""
    found = []
    for one in rows:
        seen = sum(prompt_key(example.prompt) in known for example in one.examples)
        if seen:
            told = f"{seen:,} of {len(one.examples):,} rows have a prompt that it was trained on"
            little = seen > MANY_SEEN * len(one.examples)
            found.append(f"{one.benchmark}: {told}{'; its scores there say little' * little}")
    return found


def training_examples(config: Settings) -> tuple[list[GuardExample], list[str]]:
    """(rows that tf-idf learns from, remarks): the config's, else the first moderator's."""
    if config.train_dataset:
        examples = read_dataset(config.train_dataset).examples
        return examples, [f"trained on {len(examples):,} rows of {Path(config.train_dataset).name}"]
    for ref in config.adapters:
        if examples := learnt_by(ref).traces:
            return examples, [f"trained on the {len(examples):,} rows of {Path(ref).name}"]
    return [], ["no training rows: name train_dataset"]
