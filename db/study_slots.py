"""Who rates which pair next: places are leased for a while, and come back.

A person gets what they have already; else practice; else, when it is due, an attention item; else
the pair that fewest have rated or have now. A pair's sides stay within 1 of even over its counted
ratings at any moment (`db.study_places.sides_for`), but for those of people who withdrew until the
place is filled again. A person's sides stay within 3 of even over their main items for as long as
there is a pair which may be shown the other way.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from random import Random
from secrets import token_urlsafe
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, exists, func, not_, or_, select
from sqlalchemy.orm import Session

from db.base import now as present
from db.models import Annotator, Study, StudyItem, StudyPair, StudySkip, StudySlot
from db.study_attention import attention_due
from db.study_counts import Had, unwanted_pairs, what_they_had
from db.study_leases import Lease as Lease
from db.study_leases import find_lease as find_lease
from db.study_leases import lease_of
from db.study_leases import reveal as reveal
from db.study_leases import save_draft as save_draft
from db.study_places import Refused as Refused
from db.study_places import (
    is_even,
    lesser,
    lock_pair,
    lock_person,
    lock_study,
    open_place,
    set_aside,
    take_back,
)

CANDIDATES = 20  # pairs that are looked at in a go
GOES = 5
LEANING = 2  # so many more on one side, and a person's sides come before the least rated pair

_HELD = (
    select(StudySlot)
    .where(StudySlot.annotator_id == bindparam("annotator"), StudySlot.done_at.is_(None))
    .where(
        ~exists().where(
            StudySkip.pair_id == StudySlot.pair_id,
            StudySkip.annotator_id == StudySlot.annotator_id,
        )
    )
    .order_by(StudySlot.leased_at.desc())
)


class _Giving(NamedTuple):
    session: Session
    study: Study
    person: Annotator
    moment: datetime
    until: datetime
    rng: Random


def next_slot(
    session: Session,
    study_id: int,
    annotator_id: int,
    *,
    lease_seconds: float,
    attention_every: int,
    practice: bool,
    daily_cap: int = 0,
    now: datetime | None = None,
    rng: Random | None = None,
) -> Lease | None:
    """What a person is to rate next, theirs for so many seconds; None where nothing is for them.

    Nothing may be for them now while others have the last pairs, or ever: they rated all, or
    excluded the topics of what is left. `daily_cap` ends a day at so many main ratings (0: never),
    UTC. Needs a writing session. Raises Refused for a study that isn't open and for a person who
    hasn't consented, stopped, withdrew or reached the cap; LookupError for one that isn't there.
    """
    moment = now or present()
    study = lock_study(session, study_id)
    if study.state == "paused":
        raise Refused("paused", "the study is paused; what you rated is kept")
    if study.state != "open":
        raise Refused("closed", "the study isn't open")
    person = lock_person(session, annotator_id)
    _may_rate(person, study_id)
    until = moment + timedelta(seconds=lease_seconds)
    giving = _Giving(session, study, person, moment, until, rng or Random())
    slot = _mine(giving)
    if slot is None:
        had = what_they_had(session, annotator_id, moment)
        if daily_cap and had.today >= daily_cap:
            raise Refused("cap", f"{had.today} ratings are enough for today")
        if practice and person.practised_at is None:
            slot = _extra(giving, "practice", had)
        due = attention_due(annotator_id, attention_every, had.rated)
        if slot is None and due > len(had.attention):
            slot = _extra(giving, "attention", had)
        slot = slot or _least_rated(giving, had)
    return lease_of(session, slot) if slot is not None else None


def _may_rate(person: Annotator, study_id: int) -> None:
    if person.study_id != study_id:
        raise Refused("not_yours", "you were invited to another study")
    if person.state in ("withdrawn", "stopped"):
        raise Refused(person.state, f"you have {person.state} from this study")
    if person.state != "active" or person.consented_at is None:
        raise Refused("invalid", "consent comes before the first item")


def _mine(giving: _Giving) -> StudySlot | None:
    """The place that they have, or had and may have again, its lease renewed."""
    held = giving.session.scalars(_HELD, {"annotator": giving.person.id}).all()
    for slot in held:
        with giving.session.begin_nested() as point:
            places = lock_pair(giving.session, slot.pair_id) or []
            if slot.kind == "overflow" and not take_back(
                giving.session, slot, places, giving.moment
            ):
                point.rollback()  # lets go of the lock
                continue
            slot.lease_until = giving.until
            return slot
    return None


def _extra(giving: _Giving, kind: str, had: Had) -> StudySlot | None:
    """A practice item, in their order, or an attention item, drawn; each once to a person."""
    given = had.practice if kind == "practice" else had.attention
    query = (
        select(StudyPair, StudyItem)
        .join(StudyItem, StudyItem.id == StudyPair.item_id)
        .where(StudyItem.study_id == giving.study.id, StudyItem.kind == kind)
        .where(StudyItem.topic.not_in(giving.person.excluded_topics), StudyPair.id.not_in(given))
        .order_by(StudyItem.position, StudyPair.id)
    )
    left = giving.session.execute(query).all()
    if not left:
        return None
    pair, item = left[0] if kind == "practice" else giving.rng.choice(left)
    better_left = lesser(had.attention_left, len(given) - had.attention_left, giving.rng)
    if kind == "practice":
        better_left = giving.rng.random() < 0.5
    slot = StudySlot(
        study_id=giving.study.id,
        pair_id=pair.id,
        number=giving.person.id,  # one each, so nobody else has this number
        kind="extra",
        left_first=better_left is (item.expected_arm == pair.first_arm),
        with_criteria=_asks_criteria(giving),
    )
    giving.session.add(slot)
    return _lease(giving, slot)


def _asks_criteria(giving: _Giving) -> bool:
    """As often as the main items do, so that nothing tells an attention item from them."""
    query = select(func.count(), func.sum(case((StudySlot.with_criteria, 1), else_=0))).where(
        StudySlot.study_id == giving.study.id, StudySlot.kind == "regular"
    )
    count, asking = giving.session.execute(query).one()
    return giving.rng.random() * count < (asking or 0)


def _least_rated(giving: _Giving, had: Had) -> StudySlot | None:
    for _ in range(GOES):
        found = _candidates(giving, had)
        # Those that another has the lock of are passed over at first, and then waited for.
        for wait in (False, True):
            for pair_id in found:
                with giving.session.begin_nested() as point:
                    slot = _take(giving, had, pair_id, wait)
                    if slot is not None:
                        return slot
                    point.rollback()  # lets go of the lock
        if not found:
            break
    return None


def _candidates(giving: _Giving, had: Had) -> list[int]:
    """Pairs that may have a place for this person, the best first, equal ones shuffled."""
    lean = max(-LEANING, min(LEANING, had.left - had.right))
    values = {
        "study": giving.study.id,
        "annotator": giving.person.id,
        "moment": giving.moment,
        "topics": giving.person.excluded_topics,
        "factor": giving.rng.randrange(1, 1 << 16),
        "shift": giving.rng.randrange(1 << 16),
    }
    query = _query_of_candidates(lean, some_excluded=bool(giving.person.excluded_topics))
    return list(giving.session.scalars(query, values))


@cache
def _query_of_candidates(lean: int, some_excluded: bool) -> Select[int]:
    """`lean`: how many more a person had on the left than on the right, at most LEANING."""

    def count(name: str, *conditions: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((and_(*conditions), 1), else_=0)).label(name)

    left, right = StudySlot.left_first.is_(True), StudySlot.left_first.is_(False)
    done, taken = StudySlot.done_at.is_not(None), StudySlot.annotator_id.is_not(None)
    mine = select(StudySlot.pair_id).where(StudySlot.annotator_id == bindparam("annotator"))
    query = select(
        StudySlot.pair_id,
        *(count("left", left, taken), count("right", right, taken)),
        *(count("left_done", left, done), count("right_done", right, done)),
        count("free", ~taken),
        count("over", ~done, taken, StudySlot.lease_until <= bindparam("moment")),
    ).where(
        StudySlot.study_id == bindparam("study"),
        StudySlot.kind == "regular",
        StudySlot.pair_id.not_in(mine),
    )
    if some_excluded:
        query = query.where(StudySlot.pair_id.not_in(unwanted_pairs()))
    pairs = query.group_by(StudySlot.pair_id).subquery().c
    # As `sides_for` has it; a free place is not taken, so it needn't be left out.
    may_left = pairs.left - pairs.right_done <= 0
    may_right = pairs.right - pairs.left_done <= 0
    may = or_(and_(pairs.free > 0, or_(may_left, may_right)), pairs.over > 0)
    order: list[ColumnElement[int]] = [pairs.left + pairs.right - pairs.over]
    if lean:
        left_goes = and_(may_left, or_(pairs.left <= pairs.right, not_(may_right)))
        right_goes = and_(may_right, or_(pairs.right <= pairs.left, not_(may_left)))
        order.append(case((left_goes if lean < 0 else right_goes, 0), else_=1))
    if abs(lean) >= LEANING:
        order.reverse()
    prime = 32749
    shuffled = (pairs.pair_id % prime * bindparam("factor") + bindparam("shift")) % prime
    return select(pairs.pair_id).where(may).order_by(*order, shuffled).limit(CANDIDATES)


def _take(giving: _Giving, had: Had, pair_id: int, wait: bool) -> StudySlot | None:
    """A place of the pair for this person; None where it is taken meanwhile."""
    places = lock_pair(giving.session, pair_id, wait=wait)
    found = open_place(places, giving.moment) if places else None
    if found is None or places is None:
        return None
    place, sides = found
    if place.annotator_id is not None:
        place = set_aside(giving.session, place, places)
        places = [*places, place]
    place.left_first = sides[0]
    if len(sides) == 2 and is_even(places, place):
        place.left_first = lesser(had.left, had.right, giving.rng)
    return _lease(giving, place)


def _lease(giving: _Giving, slot: StudySlot) -> StudySlot:
    slot.annotator_id = giving.person.id
    slot.token = token_urlsafe(24)
    slot.leased_at = giving.moment
    slot.lease_until = giving.until
    giving.session.flush()
    return slot
