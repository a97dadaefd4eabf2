"""What keeps everyone honest: two constants, and a bag of words trained on the moderators' rows.

A constant says the same of everything, so it scores 100 on a benchmark that holds one class. The
bag of words is TF-IDF with logistic regression, one classifier a task: what it reaches needs no
reading. A moderator that is not above them has not shown that it reasons.

Its settings were chosen on training rows alone: 5 folds over the prompts of 4,003 traces from five
benchmarks, three strengths of regularisation, with and without weights for the classes, with words
that stand in one row only and without. The highest F1 over the three tasks, 0.833 on average, had
C = 10, balanced classes and words of two rows or more; the best without the weights was 0.828.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.evaluations import Prediction
from pipelines.predictions import Rows
from pipelines.schema import DataError, GuardExample, GuardTask, InputError, Label

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

ALWAYS, NEVER, WORDS = "always-harmful", "never-harmful", "tf-idf"
BASELINES: Mapping[str, str] = {
    ALWAYS: "Always harmful",
    NEVER: "Never harmful",
    WORDS: "TF-IDF + logistic regression",
}
"""name -> what it is called in tables."""

BATCH = 2_000
SEED = 0
STRENGTH = 10.0
RARE = 2
"""Words, and pairs of them, in fewer training rows than this are not looked at."""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: a label or why there is none, and the positive class's probability if known."""

    label: Label | None
    probability: float | None = None
    error: str = ""
    seconds: float = 0.0


def baseline_predictions(
    name: str, rows: Sequence[Rows], train: Sequence[GuardExample] = ()
) -> Iterator[Prediction]:
    """What a baseline says of every row of these benchmarks, in their order.

    `train` is what `tf-idf` learns from. A task that it can't learn from them has a Prediction
    without a verdict for each of its rows, and `error` says why; so does a row without the
    response that its task is about. Rows without a gold label for the task are refused
    (DataError), an unknown name too (InputError).
    """
    if name not in BASELINES:
        raise InputError(f"baseline={name}: must be one of {', '.join(BASELINES)}")
    return _predictions(name, rows, train)


def _predictions(
    name: str, rows: Sequence[Rows], train: Sequence[GuardExample]
) -> Iterator[Prediction]:
    classifiers: dict[GuardTask, WordClassifier | str] = {}
    for one in rows:
        task = one.task
        if name == WORDS and task not in classifiers:
            classifiers[task] = _learned(task, train)
        for start in range(0, len(one.examples), BATCH):
            batch = one.examples[start : start + BATCH]
            if name == WORDS:
                answers = _asked(classifiers[task], task, batch)
            else:
                answers = [Said(task.labels[name == NEVER]) for _ in batch]
            for example, said in zip(batch, answers, strict=True):
                yield _prediction(one, example, said)


def _prediction(of: Rows, example: GuardExample, said: Said) -> Prediction:
    gold = example.gold.get(of.task)
    if gold is None:
        raise DataError(f"{of.benchmark}:{example.row_id}: no gold label for {of.task}")
    return Prediction(
        benchmark=of.benchmark,
        task=of.task,
        row_id=example.row_id,
        prompt=example.prompt,
        response=example.response,
        gold=gold,
        predicted=said.label,
        error=said.error,
        probability=said.probability,
        seconds=said.seconds,
        category=example.category,
        source=example.source,
    )


def _learned(task: GuardTask, train: Sequence[GuardExample]) -> WordClassifier | str:
    """The task's classifier, or why there is none: the other tasks may still have theirs."""
    try:
        return WordClassifier.fit(task, train)
    except DataError as error:
        logger.warning("%s", error)
        return str(error)


def _asked(
    classifier: WordClassifier | str, task: GuardTask, examples: Sequence[GuardExample]
) -> list[Said]:
    """An answer for each; without a classifier, or without a response to look at, an error."""
    if isinstance(classifier, str):
        return [Said(None, error=classifier) for _ in examples]
    readable = [example for example in examples if example.applicable(task)]
    begin = time.perf_counter()
    found = iter(classifier.probabilities(readable).tolist() if readable else ())
    seconds = (time.perf_counter() - begin) / max(1, len(readable))
    missing = Said(None, error=f"{task} needs a response, and the row has none")
    return [
        Said(task.labels[(p := next(found)) < 0.5], p, seconds=seconds)
        if example.applicable(task)
        else missing
        for example in examples
    ]


@dataclass(frozen=True)
class WordClassifier:
    """TF-IDF of words and pairs of words, with logistic regression; deterministic.

    `rows`: how many conversations it learned from. The probabilities are of a world in which
    both classes are as frequent, for that is what it was trained on.
    """

    task: GuardTask
    rows: int
    pipeline: Any

    @classmethod
    def fit(cls, task: GuardTask, train: Sequence[GuardExample]) -> WordClassifier:
        """Learns from the rows whose gold for the task is known, each conversation once.

        Raises DataError where there are none, or only of one class, or without words.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        known = conversations(task, train)
        labels = [example.gold[task] == task.labels[0] for example in known]
        positive, negative = task.labels
        if len(set(labels)) < 2:
            counts = f"{sum(labels):,} {positive}, {len(labels) - sum(labels):,} {negative}"
            raise DataError(
                f"baseline={WORDS}: can't learn {task} from {len(train):,} training rows: of their "
                f"conversations {counts}; it needs both"
            )
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=RARE)
        weights = LogisticRegression(
            C=STRENGTH, class_weight="balanced", max_iter=1000, random_state=SEED
        )
        pipeline = make_pipeline(words, weights)
        try:
            pipeline.fit([read(task, example) for example in known], labels)
        except ValueError:
            # A vocabulary that is empty; nothing else of what it gets is in doubt here.
            raise DataError(
                f"baseline={WORDS}: can't learn {task}: of its {len(known)} conversations no "
                f"{RARE} share a word"
            ) from None
        return cls(task, len(known), pipeline)

    def probabilities(self, examples: Sequence[GuardExample]) -> np.ndarray:
        """Of the positive class, float64 (N,)."""
        found: np.ndarray = self.pipeline.predict_proba([read(self.task, e) for e in examples])
        return found[:, 1]


def conversations(task: GuardTask, train: Sequence[GuardExample]) -> list[GuardExample]:
    """The training rows whose gold for the task is known and which can be asked it, each
    conversation once: four traces of one say nothing more about its words."""
    first: dict[tuple[str, str | None], GuardExample] = {}
    for example in train:
        if task in example.gold and example.applicable(task):
            response = example.response if task.needs_response else None
            first.setdefault((example.prompt, response), example)
    return list(first.values())


def read(task: GuardTask, example: GuardExample) -> str:
    """What the classifier sees: a request's harm stands in the prompt, a refusal in the response,
    a response's harm in both."""
    if task is GuardTask.PROMPT_HARMFULNESS:
        return example.prompt
    if task is GuardTask.REFUSAL:
        return example.response or ""
    return f"{example.prompt}\n\n{example.response or ''}"
