"""Many people, tabs and late answers at the same moment."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from db import study_ratings
from db.models import StudySlot
from db.session import Database
from tests.study_cases import (
    Sitting,
    counted,
    new_item,
    opened,
    sitting,
    worst_gap,
)


def test_two_tabs_at_once_get_one_pair(database: Database) -> None:
    study = opened(database, 6)
    (ada,) = sitting(database, study)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda _: ada.take().token, range(4)))
    assert len(set(got)) == 1
    with database.read() as session:
        held = session.scalars(select(StudySlot).where(StudySlot.annotator_id.is_not(None)))
        assert len(held.all()) == 1


def test_a_late_rating_and_the_next_person_at_the_same_moment(database: Database) -> None:
    """Whoever is first, each pair counts once and nothing that was rated is lost."""
    study = opened(database, 12)
    ada, bob = sitting(database, study, 2)
    given = set()
    for _ in range(12):
        lease = ada.take(lease_seconds=-1)
        with ThreadPoolExecutor(2) as pool:
            late = pool.submit(ada.submit, lease.token)
            other = pool.submit(bob.next)
        assert late.result().late
        given.add((ada.person, lease.pair_id))
        got = other.result()
        if got is not None:
            bob.submit(got.token)
            given.add((bob.person, got.pair_id))
        if ada.next() is None:
            break
    with database.read() as session:
        rated = study_ratings.ratings_of(session, study)
        progress = study_ratings.progress(session, study)
    assert {(one.annotator.id, one.pair.id) for one in rated} == given
    assert progress.done == progress.wanted == 12
    assert sorted(one.pair.id for one in counted(database, study)) == list(range(1, 13))


def test_many_at_once_lose_nothing_and_count_nothing_twice(database: Database) -> None:
    """600 places, some sent twice at the same instant, some lost and sent too late."""
    items = [new_item(n, wanted=3 if n % 10 == 0 else 1) for n in range(500)]
    study = opened(database, items)
    people = sitting(database, study, 12)
    sent: list[tuple[int, str]] = []
    repeats = Counter[bool]()
    deadline = time.monotonic() + 240

    def rate(one: Sitting, pool: ThreadPoolExecutor) -> None:
        late: list[str] = []
        while time.monotonic() < deadline:
            loses = one.rng.random() < 0.03
            lease = one.next(lease_seconds=-1 if loses else 3600)
            if lease is None:
                with database.read() as session:
                    progress = study_ratings.progress(session, study)
                if progress.done == progress.wanted:
                    break
                time.sleep(0.02)  # others have the last ones
                continue
            if loses and lease.token not in late:
                late.append(lease.token)
                one.wait(1)
                continue
            twice = 2 if one.rng.random() < 0.2 else 1
            answers = list(pool.map(one.submit, [lease.token] * twice))
            sent.append((one.person, lease.token))
            repeats.update(answer.repeated for answer in answers)
            assert len({answer.rating_id for answer in answers}) == 1
        for token in late:
            if (one.person, token) not in sent:
                one.submit(token)
                sent.append((one.person, token))

    with ThreadPoolExecutor(8) as pool, ThreadPoolExecutor(len(people)) as crowd:
        for done in [crowd.submit(rate, one, pool) for one in people]:
            done.result()
    with database.read() as session:
        rated = study_ratings.ratings_of(session, study)
        progress = study_ratings.progress(session, study)
    assert (progress.done, progress.wanted) == (600, 600)
    assert sorted(one.rating.submission for one in rated) == sorted({token for _, token in sent})
    assert repeats[True] > 50
    counting = [one for one in rated if study_ratings.counts(one)]
    per_pair = Counter(one.pair.id for one in counting)
    assert all(per_pair[one.pair.id] == one.pair.wanted for one in counting)
    assert len({(one.pair.id, one.annotator.id) for one in rated}) == len(rated)
    assert worst_gap(counting) == 1
