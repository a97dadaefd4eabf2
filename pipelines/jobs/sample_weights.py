"""The weights of a job's hard samples after their answers were held to another gold label."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db import jobs
from db.models import HardSampleRow, Job
from pipelines.hard_samples import Range, spread
from pipelines.pair_sets import describe_pair_set
from pipelines.pair_weights import Ranges, read_ranges
from pipelines.schema import GuardUIError

DIFFERENCE = HardSampleRow.k_incorrect - HardSampleRow.k_correct


def job_ranges(session: Session, job: Job) -> Ranges:
    """(model, source) -> range of d = wrong - right over all hard samples, dropped ones too, so
    that dropping one weighs no other anew.

    Those of a merged set are at least as wide as in the runs that were merged: its weights are
    spread before conversations that were mined twice are left out.
    """
    query = (
        select(
            HardSampleRow.model, HardSampleRow.source, func.min(DIFFERENCE), func.max(DIFFERENCE)
        )
        .where(HardSampleRow.job_id == job.id, HardSampleRow.hardness == "hard")
        .group_by(HardSampleRow.model, HardSampleRow.source)
    )
    found: Ranges = {
        (model, source): (low, high) for model, source, low, high in session.execute(query)
    }
    for group, known in _merged_ranges(session, job).items():
        low, high = found.get(group, known)
        found[group] = (min(low, known[0]), max(high, known[1]))
    return found


def _merged_ranges(session: Session, job: Job) -> Ranges:
    if job.stage != "merge":
        return {}
    for made in jobs.artifacts(session, "pair_set", job.id)[::-1]:
        try:
            return read_ranges(describe_pair_set(made.path))
        except GuardUIError:  # its folder is gone: what is observed is the best there is
            continue
    return {}


def gamma_of(job: Job) -> float:
    """The spread of the job's weights; the authors' where the stage has no such setting."""
    return float(job.config.get("gamma", 0.2))


def reweigh(session: Session, job: Job, model: str, source: str) -> None:
    """Spreads the weights of one model's samples of one source anew (paper's weighting)."""
    session.flush()
    over: Range | None = job_ranges(session, job).get((model, source))
    group = (
        HardSampleRow.job_id == job.id,
        HardSampleRow.model == model,
        HardSampleRow.source == source,
    )
    is_hard = HardSampleRow.hardness == "hard"
    differences = session.scalars(select(DIFFERENCE).where(*group, is_hard).distinct()).all()
    weights = spread(differences, gamma_of(job), over)
    both = zip(differences, weights, strict=True)
    targets = [(weight, is_hard & (d == DIFFERENCE)) for d, weight in both]
    for weight, those in (*targets, (1.0, ~is_hard)):
        to = update(HardSampleRow).where(*group, those, HardSampleRow.weight != weight)
        # `fetch` keeps the objects of this session true to what the statement did.
        session.execute(
            to.values(weight=weight), execution_options={"synchronize_session": "fetch"}
        )
