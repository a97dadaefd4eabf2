"""What a person does to hard samples: accept, drop, pick another pair, edit, relabel, take back.

Each function is one short writing transaction and leaves a `SampleChange` a sample, from which
`undo` takes the last one back. Accepting and dropping, which are done to many at once, stand in
`pipelines/jobs/reviews.py`; freezing in `pipelines/jobs/freezing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import samples
from db.audit import record
from db.base import now
from db.models import GenerationRow, HardSampleRow, Job, SampleChange
from db.session import Database
from pipelines.hard_samples import Pairing, judge, rejudge
from pipelines.jobs.freezing import freeze as freeze
from pipelines.jobs.freezing import job_template
from pipelines.jobs.freezing import to_study as to_study
from pipelines.jobs.reviews import Reviewed as Reviewed
from pipelines.jobs.reviews import accept as accept
from pipelines.jobs.reviews import drop as drop
from pipelines.jobs.reviews import restore as restore
from pipelines.jobs.reviews import take_back as take_back
from pipelines.jobs.sample_rows import generation_values, judged_columns, sample_of
from pipelines.jobs.sample_weights import reweigh
from pipelines.schema import (
    Generation,
    GuardTask,
    HardSample,
    InputError,
    Label,
    NotFoundError,
)

JUDGED = (
    *("task", "gold", "mined_gold", "k_correct", "k_incorrect", "chosen", "rejected"),
    "human_edited",
)
"""What a change of the pair or of the gold label may change, beside what follows from it."""


def pick(
    database: Database, id: int, *, chosen: int | None = None, rejected: int | None = None
) -> None:
    """Makes other answers the pair, by their positions; None keeps the one that is.

    Raises InputError where a chosen one is not right or a rejected one not wrong on the sample's
    task, and NotFoundError.
    """
    with database.write() as session:
        row = _get(session, id)
        _need_pair(row)
        sample = sample_of(row)
        for side, place in (("chosen", chosen), ("rejected", rejected)):
            if place is not None:
                _check_side(row, side, _at(sample, side, place), place)
        new = replace(
            sample,
            chosen=sample.chosen if chosen is None else chosen,
            rejected=sample.rejected if rejected is None else rejected,
        )
        if (new.chosen, new.rejected) != (sample.chosen, sample.rejected):
            _change(session, row, "pick", new)


def edit(database: Database, id: int, side: str, text: str) -> None:
    """Writes the chosen or rejected answer anew, as one more answer; the old one stays.

    It is parsed as the model's answers are. Raises InputError where its verdict doesn't suit its
    side, for a pair must tell right from wrong, and NotFoundError.
    """
    if side not in ("chosen", "rejected"):
        raise InputError(f"side={side!r}: must be chosen or rejected")
    with database.write() as session:
        row = _get(session, id)
        _need_pair(row)
        sample = sample_of(row)
        old = sample.chosen if side == "chosen" else sample.rejected
        if old is not None and sample.generations[old].text == text:
            raise InputError(f"{side}: the text is what it was")
        verdict = job_template(session, row.job_id).parse(text, sample.example)
        # The text is what counts; `raw` alone would lack what the database can't store.
        right = judge(verdict, sample.example.gold, sample.task)
        written = Generation(text, verdict, right)
        place = len(sample.generations)
        _check_side(row, side, written, place)
        row.generations.append(GenerationRow(**generation_values(place, written, old)))
        new = replace(
            sample,
            generations=(*sample.generations, written),
            chosen=place if side == "chosen" else sample.chosen,
            rejected=place if side == "rejected" else sample.rejected,
        )
        _change(session, row, "edit", new, {"side": side, "position": place})


def relabel(database: Database, id: int, task: str, label: Label | None) -> None:
    """Corrects the gold label of one task; None says that it is not known.

    All that follows is told anew: the sample's task, which answers are right, the pair, flags, and
    the weights of all samples of its model and source. A pair that is still right against wrong on
    the same task stays. Raises InputError for a label that the task doesn't have, NotFoundError.
    """
    kinds = [one.value for one in GuardTask]
    if task not in kinds:
        raise InputError(f"task={task!r}: must be one of {', '.join(kinds)}")
    wanted = GuardTask(task)
    if label is not None and label not in wanted.labels:
        raise InputError(f"{task}={label!r}: must be {' or '.join(wanted.labels)}")
    with database.write() as session:
        row = _get(session, id)
        sample = sample_of(row)
        if not sample.example.applicable(wanted):
            raise InputError(f"{task}: is not applicable, the conversation has no response")
        gold = {one: known for one, known in sample.example.gold.items() if one is not wanted}
        if label is not None:
            gold[wanted] = label
        if gold == sample.example.gold:
            raise InputError(f"{task}: the gold label is {label or 'unknown'} already")
        job = session.get_one(Job, row.job_id)
        new = _rejudged(row, sample, gold, job.config)
        _change(session, row, "relabel", new, {"label": label, "of": task})
        reweigh(session, job, row.model, row.source)


def _rejudged(
    row: HardSampleRow,
    sample: HardSample,
    gold: Mapping[GuardTask, Label],
    config: Mapping[str, Any],
) -> HardSample:
    """The sample under other gold labels; people's edits are judged, but count in no k."""
    both = zip(row.generations, sample.generations, strict=True)
    mined = [answer for one, answer in both if one.edited_from is None]
    pairing: Pairing = "random" if config.get("pairing") == "random" else "longest"
    seed = int(config.get("seed", 0))
    new = rejudge(replace(sample, generations=tuple(mined)), gold, pairing, seed)
    judged = tuple(
        replace(one, correct=judge(one.verdict, gold, new.task)) for one in sample.generations
    )
    new = replace(new, generations=judged)
    if sample.chosen is None or sample.rejected is None or new.chosen is None:
        return new
    stays = judged[sample.chosen].correct is True and judged[sample.rejected].correct is False
    return replace(new, chosen=sample.chosen, rejected=sample.rejected) if stays else new


def undo(database: Database, id: int) -> str:
    """Takes back the last change of a sample; what it was: accept, drop, pick, edit, relabel, ...

    Raises InputError where there is none, NotFoundError.
    """
    with database.write() as session:
        row = _get(session, id)
        if not row.changes:
            raise InputError(f"sample={id}: there is nothing to take back")
        change = row.changes[-1]
        if "review" in change.before:
            row.review, row.reason = change.before["review"], change.before["reason"]
        else:
            _take_back(session, row, change)
        row.reviewed_at = now()
        session.delete(change)
        record(session, "sample.undo", f"sample:{id}", change=change.action)
        return change.action


def _take_back(session: Session, row: HardSampleRow, change: SampleChange) -> None:
    before = change.before
    if change.action == "edit":
        row.generations = [g for g in row.generations if g.position != change.after["position"]]
    for name in JUDGED:
        setattr(row, name, before[name])
    sample = sample_of(row)
    gold, task = sample.example.gold, sample.task
    judged = tuple(replace(g, correct=judge(g.verdict, gold, task)) for g in sample.generations)
    _store(row, replace(sample, generations=judged))
    if change.action == "relabel":
        reweigh(session, session.get_one(Job, row.job_id), row.model, row.source)


def _change(
    session: Session,
    row: HardSampleRow,
    action: str,
    new: HardSample,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Stores what a sample has become, and how it was."""
    before = {name: row.__dict__[name] for name in JUDGED}
    if action == "relabel":
        mined = row.mined_gold if row.mined_gold is not None else row.gold
        gold = {task.value: label for task, label in new.example.gold.items()}
        row.mined_gold = None if gold == mined else mined
    _store(row, new)
    row.reviewed_at = now()
    after = {name: row.__dict__[name] for name in JUDGED} | dict(more or {})
    session.add(SampleChange(hard_sample_id=row.id, action=action, before=before, after=after))
    told = {name: after[name] for name in ("of", "label", "side") if name in after}
    record(session, f"sample.{action}", f"sample:{row.id}", **told)
    session.flush()


def _store(row: HardSampleRow, sample: HardSample) -> None:
    edited = [one.position for one in row.generations if one.edited_from is not None]
    for name, value in judged_columns(sample, edited).items():
        setattr(row, name, value)
    for one, judged in zip(row.generations, sample.generations, strict=True):
        one.correct = judged.correct
    row.human_edited = sample.chosen in edited or sample.rejected in edited


def _get(session: Session, id: int) -> HardSampleRow:
    # One person at a time: what is read here is what is changed.
    session.execute(select(HardSampleRow.id).where(HardSampleRow.id == id).with_for_update())
    row = samples.get_sample(session, id)
    if row is None:
        raise NotFoundError(f"sample={id}: there is no such hard sample; its job was run again")
    return row


def _need_pair(row: HardSampleRow) -> None:
    if row.chosen is None or row.rejected is None:
        raise InputError(
            f"sample={row.id}: has no pair, its answers are "
            f"{'all wrong' if row.hardness == 'all_wrong' else 'not mixed'}; "
            "only another gold label could give it one"
        )


def _at(sample: HardSample, side: str, place: int) -> Generation:
    if not 0 <= place < len(sample.generations):
        raise InputError(f"{side}={place}: must be 0 to {len(sample.generations) - 1}")
    return sample.generations[place]


def _check_side(row: HardSampleRow, side: str, answer: Generation, place: int) -> None:
    if answer.correct is (side == "chosen"):
        return
    gold = row.gold.get(row.task)
    if answer.correct is None:
        said = answer.verdict.error or "it gives no label that can be read"
    else:
        said = f"it says {answer.verdict.label(GuardTask(row.task))}, the gold label is {gold}"
    must = "right" if side == "chosen" else "wrong"
    raise InputError(f"{side}: answer {place + 1} must be {must} on {row.task}, but {said}")
