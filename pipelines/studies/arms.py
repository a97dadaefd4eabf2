"""What the arms of a study answered, joined on the conversations that they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines import base_models, demo_base
from pipelines.asking import NO_LABEL
from pipelines.dataset_files import SUFFIXES
from pipelines.evaluations import INFO, ROWS, Evaluation, read_evaluation
from pipelines.predictions import Prediction
from pipelines.schema import GuardExample, GuardTask, InputError, Label, Verdict
from pipelines.scoring.reading import authors_verdict
from pipelines.shown_reasoning import shown_reasoning
from pipelines.subjects import Subject, named, subject_of, told_apart
from pipelines.template import GuardTemplate

MODES = ("reason", "stored")
"""How an evaluation must have been asked to have traces."""
# Reads outputs of any template: the layout of answers is the same for all.
_READER = GuardTemplate.default()

Key = tuple[str, str]


@dataclass(frozen=True)
class Arm:
    """One of those compared. `answers` is its evaluation, None for one that has yet to answer."""

    subject: Subject
    reference: str
    answers: Evaluation | None = None

    @property
    def name(self) -> str:
        return self.subject.name


@dataclass(frozen=True)
class Row:
    """A conversation with its gold labels and, in the order of the arms, what each said of it."""

    example: GuardExample
    verdicts: tuple[Verdict, ...]

    def right(self, arm: int) -> bool | None:
        """Whether the arm met every gold label; None where there is none."""
        gold, verdict = self.example.gold, self.verdicts[arm]
        return all(verdict.label(task) == gold[task] for task in gold) if gold else None

    def same(self, first: int, second: int) -> bool:
        """Whether people would be shown the same of two arms, but for blanks."""
        return _as_shown(self.verdicts[first]) == _as_shown(self.verdicts[second])


def arms_of(references: Sequence[str], names: Sequence[str] = ()) -> list[Arm]:
    """The arms, in their order, that these references name.

    Each is an adapter's folder or Hub id, the demo base, the folder of an evaluation, or a file
    or folder of stored answers. Raises InputError for fewer than two, for one that is named
    twice, and for an evaluation without traces.
    """
    check_references(references)
    found = [arm_of(reference) for reference in references]
    subjects = told_apart(named([one.subject for one in found], names))
    return [replace(one, subject=subject) for one, subject in zip(found, subjects, strict=True)]


def check_references(references: Sequence[str]) -> None:
    """Raises InputError for fewer than two, and for one that is named twice."""
    if len(references) < 2:
        raise InputError(
            f"arms={', '.join(references) or 'none'}: two or more are needed (artifact:ID, job:ID, "
            "a folder, a Hub id, or a file of stored answers)"
        )
    if twice := sorted({one for one in references if references.count(one) > 1}):
        raise InputError(f"arms={', '.join(twice)}: named twice; arms must differ")


def arm_of(reference: str) -> Arm:
    """One arm, by the name that its reference gives it; `arms_of` tells what it may be."""
    path = Path(reference).expanduser()
    if (path / INFO).is_file() or (path / ROWS).is_file():
        answers = read_evaluation(path)
        info = answers.info
        if info.mode not in MODES:
            raise InputError(
                f"arms={reference}: {info.name} was {info.mode}, without a trace to compare; "
                "evaluate it with mode=reason"
            )
        return Arm(Subject(info.name, info.kind, info.reference), reference, answers)
    if reference in demo_base.ALIASES:
        return Arm(subject_of("base", reference), reference)
    if path.is_file() or (path.is_dir() and _holds_rows(path)):
        return Arm(subject_of("predictions", reference), reference)
    base_models.read_adapter(reference)
    return Arm(subject_of("adapter", reference), reference)


def _holds_rows(folder: Path) -> bool:
    """Whether a folder is one of stored answers: a model's has a config beside its weights."""
    if any((folder / name).is_file() for name in ("adapter_config.json", "config.json")):
        return False
    return any(file.suffix.lower() in SUFFIXES for file in folder.rglob("*"))


def key_of(example: GuardExample | Prediction) -> Key:
    """What two rows of the same conversation share, whatever their blanks."""
    return _words(example.prompt), _words(example.response or "")


def _words(text: str) -> str:
    return " ".join(text.split())


def merged(examples: Iterable[GuardExample]) -> tuple[dict[Key, GuardExample], set[Key]]:
    """Each conversation once, with the gold labels of all its rows, and those whose rows give a
    task two labels, which are none of the first."""
    found: dict[Key, GuardExample] = {}
    torn: set[Key] = set()
    for one in examples:
        key = key_of(one)
        before = found.setdefault(key, one)
        if any(before.gold.get(task, label) != label for task, label in one.gold.items()):
            torn.add(key)
        category = before.category or one.category
        found[key] = replace(before, gold=before.gold | one.gold, category=category)
    return {key: one for key, one in found.items() if key not in torn}, torn


def verdicts_of(evaluation: Evaluation, wanted: Mapping[Key, GuardExample]) -> dict[Key, Verdict]:
    """What an evaluation says of these conversations, as far as it has them.

    Where several of its rows are the same conversation, the first one's text counts.
    """
    groups: dict[Key, list[Prediction]] = defaultdict(list)
    for row in evaluation.rows(range(evaluation.info.rows)):
        if (key := key_of(row)) in wanted:
            groups[key].append(row)
    authors = evaluation.info.reading == "authors"
    return {key: _verdict(rows, wanted[key], authors) for key, rows in groups.items()}


def _verdict(rows: Sequence[Prediction], example: GuardExample, authors: bool) -> Verdict:
    """The text parsed, with the labels that the evaluation itself read where it did."""
    raw = rows[0].raw
    parsed = _READER.parse(raw, example)
    tasks = [task for task in GuardTask if example.applicable(task)]
    labels: dict[GuardTask, Label | None] = dict(parsed.labels)
    if authors:
        labels |= {task: authors_verdict(raw, task) for task in tasks}
    labels |= {one.task: one.predicted for one in rows if one.raw == raw}
    unread = [task for task in example.gold if not labels.get(task)]
    error = (parsed.error or NO_LABEL) if unread else None
    return replace(parsed, labels=labels, error=error)


@dataclass(frozen=True)
class Joined:
    """The conversations that all arms answered. Of `identical` ones there is nothing to compare;
    `missing` counts those that an arm lacks; `empty` has, for each on which an arm gave no
    reasoning, the arms that did so."""

    rows: list[Row]
    identical: list[Row]
    missing: int
    empty: list[list[int]]

    def remarks(self, names: Sequence[str]) -> list[str]:
        """How many fell out, and why; `names` are the arms'."""
        told = {"not every arm answered them": self.missing}
        told |= {
            f"{name} gave no reasoning to show": sum(arm in one for one in self.empty)
            for arm, name in enumerate(names)
        }
        told["all arms wrote the same"] = len(self.identical)
        return [f"{count:,} conversations left out: {why}" for why, count in told.items() if count]


def joined(wanted: Mapping[Key, GuardExample], answers: Sequence[Mapping[Key, Verdict]]) -> Joined:
    """Sets side by side what the arms said.

    An answer without reasoning can't be shown; one whose verdict alone can't be read can, and
    counts as wrong.
    """
    found = Joined([], [], sum(any(key not in one for one in answers) for key in wanted), [])
    for key, example in wanted.items():
        if any(key not in one for one in answers):
            continue
        row = Row(example, tuple(one[key] for one in answers))
        empty = [arm for arm, verdict in enumerate(row.verdicts) if not _readable(verdict)]
        if empty:
            found.empty.append(empty)
        elif all(row.same(0, arm) for arm in range(1, len(answers))):
            found.identical.append(row)
        else:
            found.rows.append(row)
    return found


def _readable(verdict: Verdict) -> bool:
    """Whether there is reasoning to show, and not the answers alone."""
    return bool(shown_reasoning(verdict.raw))


def _as_shown(verdict: Verdict) -> list[tuple[str, list[str]]]:
    return [
        (title, [_words(step) for step in steps]) for title, steps in shown_reasoning(verdict.raw)
    ]
