"""Keeping a study's conversations apart from those that its arms were trained to prefer.

A moderator that was rewarded for its reasoning on a conversation reasons better there than it
would elsewhere, so nobody is asked about those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.dataset_files import Faults, data_files, read_records
from pipelines.dataset_formats import TEMPLATE
from pipelines.hub import clean
from pipelines.inspection import nearly_among
from pipelines.learnt import learnt_by
from pipelines.mining import model_of
from pipelines.pair_sets import read_pairs
from pipelines.pair_writing import PAIRS
from pipelines.predictions import prompt_key
from pipelines.schema import GuardExample, GuardUIError, InputError
from pipelines.stored_predictions import conversation_of
from pipelines.studies.arms import Arm

_USERS = ("user", "human")


@dataclass
class Training:
    """What an arm learnt from: prompts of its preference training, keys (see `prompt_key`) of
    those of its R-SFT, and what of its preferences nobody can tell."""

    preferred: list[str] = field(default_factory=list)
    taught: set[int] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)


def training_of(arm: Arm, *, verify: bool = True) -> Training:
    """What can be read of an arm's training; `verify` sets the weights of a moderator that was
    evaluated beside those that are here now, which reads all of them."""
    kind, reference = arm.subject.kind, arm.subject.reference
    if kind == "base":
        return Training()
    if kind == "predictions":
        return Training(unknown=["stored answers, which don't say what wrote them"])
    # Remarks on it are frozen with the design and passed on: a folder is its name there.
    shown = str(clean(reference))
    try:
        if arm.answers and verify and model_of(reference).sha256 != arm.answers.info.model_sha256:
            return Training(unknown=[f"{shown}, which isn't what it was when evaluated"])
        learnt = learnt_by(reference)
    except GuardUIError:
        return Training(unknown=[f"{shown}, which isn't here any more"])
    taught = {prompt_key(one.prompt) for one in learnt.traces}
    return Training(learnt.preferred, taught, list(dict.fromkeys(learnt.unread_pairs)))


def check_known(
    arms: Sequence[Arm], trainings: Sequence[Training], declared: bool, unknown_ok: bool
) -> list[str]:
    """Remarks on arms whose preference training can't be read.

    Raises InputError for such an arm where the researcher neither `declared` its pairs nor said
    that the study goes on without (`unknown_ok`).
    """
    told = [
        f"{arm.name} ({'; '.join(training.unknown)})"
        for arm, training in zip(arms, trainings, strict=True)
        if training.unknown
    ]
    if not told:
        return []
    whose = ", ".join(told)
    if declared:
        return [f"the preference pairs of {whose} are those named by the researcher"]
    if unknown_ok:
        return [
            f"nobody can tell which preference pairs these were trained on: {whose}. Some items "
            "may be among them; the researcher went on all the same"
        ]
    raise InputError(
        f"arms: nobody can tell which preference pairs these were trained on: {whose}",
        advice="Name them with pairs_files, or set unknown_training_ok; the study says so for "
        "good then.",
    )


@dataclass(frozen=True)
class Named:
    """The prompts of preference pairs that the researcher named; `file` is a name, no path."""

    file: str
    prompts: list[str]

    @property
    def remarks(self) -> list[str]:
        """What was read; a prompt that is always the same was hardly meant."""
        told = [f"{len(self.prompts):,} prompts read of {self.file}"]
        if len(self.prompts) > 1 and len(set(map(prompt_key, self.prompts))) == 1:
            told.append(f"all prompts of {self.file} are the same: look at what stands in it")
        return told


def named_pairs(refs: Iterable[str]) -> list[Named]:
    """The prompts of each file or folder. Raises what `prompts_in` raises."""
    return [Named(Path(ref).expanduser().resolve().name, prompts_in(ref)) for ref in refs]


def prompts_in(ref: str) -> list[str]:
    """The prompts of a pair set, or of a file or folder of rows with `prompt`, `input`,
    `conversations` or `messages`, without any instruction around them. Of a list of turns it is
    the first turn of the user.

    Raises DataError with every `file:row: field: what`.
    """
    path = Path(ref).expanduser()
    if (path / PAIRS).is_file():
        return [str(row["prompt"]) for row in read_pairs(ref)]
    faults, found = Faults(), []
    for file in data_files(path):
        for record in read_records(file, file.name, faults):
            name, text = _prompt(record.values)
            if text:
                found.append(conversation_of(text, TEMPLATE)[0])
            else:
                what = "has no turn of a user" if record.values.get(name) else "is missing"
                faults.add(record.file, record.row, name, what)
    faults.raise_any(ref)
    return found


def _prompt(values: Mapping[str, Any]) -> tuple[str, str]:
    """(the field, what the user said first in it), as rows of preference training have it."""
    held = ((name, values.get(name)) for name in ("prompt", "input", "conversations", "messages"))
    name, value = next(((name, one) for name, one in held if one), ("prompt", None))
    if isinstance(value, str):
        return name, value if value.strip() else ""
    for turn in value if isinstance(value, list) else ():
        if isinstance(turn, dict) and (turn.get("role") or turn.get("from")) in _USERS:
            said = (turn.get(key) for key in ("content", "value"))
            if text := next((one for one in said if isinstance(one, str) and one.strip()), ""):
                return name, text
    return name, ""


@dataclass(frozen=True)
class Seen:
    """Conversations that fall out: their prompts are among the pairs, or nearly so. `files` tells
    of each file that the researcher named."""

    same: int
    near: int
    kept: list[GuardExample]
    files: tuple[str, ...] = ()

    @property
    def remarks(self) -> list[str]:
        told = list(self.files)
        if self.same:
            told.append(f"{self.same:,} conversations left out: their prompts are among the pairs")
        if self.near:
            told.append(f"{self.near:,} more left out: their prompts are nearly the same")
        return told


def without(
    examples: Sequence[GuardExample], preferred: Sequence[str], named: Sequence[Named] = ()
) -> Seen:
    """The conversations whose prompts are neither `preferred` nor in the `named` pairs, case and
    blanks aside, nor near-duplicates (see `nearly_among`) of them."""
    prompts = {prompt_key(one.prompt): one.prompt for one in examples}
    same, near = _matched(prompts, preferred)
    files: list[str] = []
    for one in named:
        equal, alike = _matched(prompts, one.prompts)
        same, near = same | equal, near | alike
        count = sum(prompt_key(each.prompt) in equal | alike for each in examples)
        read, *warning = one.remarks
        doubt = "" if count else ": if some should, look at what stands in it"
        files += [f"{read}, {count:,} conversations matched{doubt}", *warning]
    fresh = [one for one in examples if prompt_key(one.prompt) not in same]
    kept = [one for one in fresh if prompt_key(one.prompt) not in near]
    return Seen(len(examples) - len(fresh), len(fresh) - len(kept), kept, tuple(files))


def _matched(prompts: Mapping[int, str], pairs: Iterable[str]) -> tuple[set[int], set[int]]:
    """The keys of the prompts that are among those of the pairs, and of those that nearly are."""
    known = {prompt_key(prompt): prompt for prompt in pairs}
    same = prompts.keys() & known.keys()
    if not known:
        return same, set()
    fresh = [key for key in prompts if key not in same]
    found = nearly_among([prompts[key] for key in fresh], list(known.values()))
    return same, {key for key, near in zip(fresh, found, strict=True) if near}
