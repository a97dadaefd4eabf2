"""Making something lasting of curated samples: a frozen pair set, or a preference study."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from db import jobs, pair_sets
from db.models import HardSampleRow, Job, PairSetVersion
from db.samples import SampleFilter, sample_ids
from db.session import Database
from pipelines.jobs.pair_versions import check_name, register_folder, version_folder
from pipelines.jobs.sample_rows import sample_of
from pipelines.jobs.sample_weights import gamma_of, job_ranges
from pipelines.jobs.study_import import make_draft
from pipelines.pair_sets import describe_pair_set, read_template
from pipelines.pair_writing import write_pair_set
from pipelines.schema import GuardUIError, HardSample, InputError, NotFoundError
from pipelines.settings import get_settings
from pipelines.studies.arms import Row
from pipelines.studies.artifact import ArmInfo, StudyInfo
from pipelines.studies.design import StudyDesign
from pipelines.studies.items import main_items
from pipelines.studies.known import PRACTICE, known_items
from pipelines.template import GuardTemplate

READ_TOGETHER = 1000
ARMS = ("chosen", "rejected")
CHOSEN = "the items are what was mined: the first arm's trace is the one that has the label right"


def job_template(session: Session, job_id: int) -> GuardTemplate:
    """What the job's pair set was written with; the default where it has none any more."""
    for made in jobs.artifacts(session, "pair_set", job_id):
        try:
            return read_template(made.path) or GuardTemplate.default()
        except GuardUIError:
            continue
    return GuardTemplate.default()


def freeze(
    database: Database, job_id: int, *, name: str = "", note: str = "", only_accepted: bool = False
) -> PairSetVersion:
    """The next version of a pair set from what a job's hard samples have become.

    Dropped samples are left out; with `only_accepted` new ones too. `name` is empty for the set
    that the job made. Where the pairs are the same as in the newest version of that set, no other
    one is made and that version is returned. Raises NotFoundError, and InputError where no pair is
    left or the name can't be one.
    """
    settings = get_settings()
    with database.read() as session:
        job = session.get(Job, job_id)
        if job is None:
            raise NotFoundError(f"job={job_id}: there is no such job")
        name = check_name(name.strip() or _own_name(session, job_id))
        parent = pair_sets.find_version(session, name) or _made_by(session, job_id)
        kept = list(_kept(session, job_id, only_accepted))
        if not kept:
            raise InputError(
                f"job={job_id}: no hard sample is left to freeze",
                advice="Accept some, or freeze all that aren't dropped."
                if only_accepted
                else "Restore some of the dropped ones.",
            )
        folder, number = version_folder(settings, session, name)
        parent_name = f"{parent.pair_set.name}@v{parent.version}" if parent else None
        info = write_pair_set(
            folder,
            [sample for sample, _ in kept],
            job_template(session, job_id),
            gamma=gamma_of(job),
            pairing="random" if job.config.get("pairing") == "random" else "longest",
            ranges=job_ranges(session, job),
            record=_record(session, job, only_accepted, [row for _, row in kept]),
            human_edited=[row.row_id for _, row in kept if row.human_edited],
            name=name,
            version=number,
            parent=parent_name,
        )
    newest = parent if parent is not None and parent.pair_set.name == name else None
    if newest is not None and newest.sha256 == info["sha256"]:
        shutil.rmtree(folder)
        return newest
    record = info["record"]
    return register_folder(
        database,
        folder,
        info,
        label=f"{name}@v{info['version']}, {info['rows']} curated pairs",
        details={
            "set_name": name,
            "curated": record["counts"],
            "curated_job": job_id,
            "mined_benchmark": record["mined_benchmark"],
        },
        name=name,
        note=note.strip(),
        job_id=job_id,
    )


def _own_name(session: Session, job_id: int) -> str:
    """The name of the set that the job made; `job N` where it made none."""
    made = _made_by(session, job_id)
    return made.pair_set.name if made is not None else f"job {job_id}"


def _made_by(session: Session, job_id: int) -> PairSetVersion | None:
    """The newest version that the job itself made, by mining or merging."""
    for made in jobs.artifacts(session, "pair_set", job_id):
        version = pair_sets.version_of_artifact(session, made.id)
        if version is not None:
            return version
    return None


def _kept(
    session: Session, job_id: int, only_accepted: bool
) -> Iterator[tuple[HardSample, HardSampleRow]]:
    """The samples that go in, in the order in which they were mined."""
    review = "accepted" if only_accepted else ""
    ids = sample_ids(session, SampleFilter(job_id=job_id, review=review))
    for row in _whole(session, ids):
        if row.review != "dropped":
            yield sample_of(row), row


def _whole(session: Session, ids: Sequence[int]) -> Iterator[HardSampleRow]:
    """The samples with their generations; the session forgets each batch before the next."""
    for start in range(0, len(ids), READ_TOGETHER):
        query = (
            select(HardSampleRow)
            .where(HardSampleRow.id.in_(ids[start : start + READ_TOGETHER]))
            .order_by(HardSampleRow.id)
            .options(selectinload(HardSampleRow.generations))
        )
        yield from session.scalars(query).all()
        session.expunge_all()


def _record(
    session: Session,
    job: Job,
    only_accepted: bool,
    kept: Sequence[HardSampleRow],
) -> dict[str, Any]:
    """What people did to what was mined, counted over all of the job's samples."""
    query = select(
        HardSampleRow.review,
        HardSampleRow.reason,
        HardSampleRow.human_edited,
        HardSampleRow.mined_gold.is_not(None),
        HardSampleRow.hardness,
    ).where(HardSampleRow.job_id == job.id)
    rows = session.execute(query).all()
    dropped = [reason for review, reason, *_ in rows if review == "dropped"]
    return {
        "stage": "curation",
        "job": job.id,
        "only_accepted": only_accepted,
        "counts": {
            "samples": len(rows),
            "pairs": len(kept),
            "accepted": sum(review == "accepted" for review, *_ in rows),
            "dropped": len(dropped),
            "edited": sum(edited for _, _, edited, *_ in rows),
            "relabelled": sum(relabelled for *_, relabelled, _ in rows),
            "without_pair": sum(hardness != "hard" for *_, hardness in rows),
        },
        "drop_reasons": dict(Counter(dropped).most_common()),
        "mined_benchmark": _mined_benchmark(_made_by(session, job.id)),
    }


def _mined_benchmark(made: PairSetVersion | None) -> list[str]:
    """The warning of what the job itself made; its set's name may be other jobs' too."""
    try:
        info = describe_pair_set(made.artifact.path) if made is not None else {}
    except GuardUIError:
        return []
    return list(info.get("record", {}).get("mined_benchmark", []))


def to_study(database: Database, ids: Sequence[int] | SampleFilter, name: str) -> int:
    """The id of a draft study: is the chosen trace really preferred to the rejected one?

    Samples without a pair are left out. Raises InputError where none is left or the name is empty
    or taken.
    """
    name = name.strip()
    if not name or len(name) > 200:
        raise InputError(f"name={name[:40]!r}: a study needs a name of 1 to 200 characters")
    with database.read() as session:
        wanted = sample_ids(session, ids) if isinstance(ids, SampleFilter) else list(ids)
        samples = [sample_of(row) for row in _whole(session, wanted)]
    rows = [
        Row(
            one.example,
            (one.generations[one.chosen].verdict, one.generations[one.rejected].verdict),
        )
        for one in samples
        if one.chosen is not None and one.rejected is not None
    ]
    if not rows:
        raise InputError("samples: none of them has a chosen and a rejected answer to compare")
    design = StudyDesign(attention_every=0, remarks=[CHOSEN])
    arms = [ArmInfo(name=arm, kind="mined", reference="") for arm in ARMS]
    items = [*known_items(PRACTICE, "practice"), *main_items(rows, design, 0, design.seed)]
    try:
        with database.write() as session:
            return make_draft(session, StudyInfo(name=name, arms=arms, design=design), items).id
    except IntegrityError:
        raise InputError(f"name={name}: there is a study of this name already") from None
