from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest

from db import annotators, studies, study_ratings, study_slots
from db.session import Database
from db.study_attention import attention_due
from db.study_slots import Refused
from tests.study_cases import (
    START,
    Sitting,
    counted,
    new_item,
    opened,
    sitting,
    worst_gap,
)


def test_a_lease_stays_until_it_is_rated(database: Database) -> None:
    study = opened(database, 6)
    (ada,) = sitting(database, study)
    first = ada.take()
    assert {first.left, first.right} == {
        text.format(first.prompt[-1]) for text in ("plain {}", "tuned {}")
    }
    assert (first.kind, first.number_of, first.lease_until) == (
        "main", 1, START + timedelta(seconds=60),
    )  # fmt: skip
    ada.wait(50)
    again = ada.take()
    assert (again.token, again.left) == (first.token, first.left)
    assert again.lease_until == ada.now + timedelta(seconds=60)
    ada.submit(first.token)
    second = ada.take()
    assert second.pair_id != first.pair_id
    assert second.number_of == 2
    with database.read() as session:
        assert study_slots.find_lease(session, first.token, ada.person).number_of == 1


def test_everybody_rates_every_pair_once(database: Database) -> None:
    study = opened(database, [new_item(n, wanted=3) for n in range(4)])
    people = sitting(database, study, 3)
    seen = Counter[tuple[int, int]]()
    for _ in range(4):
        for one in people:
            lease = one.take()
            seen[one.person, lease.pair_id] += 1
            one.submit(lease.token)
    assert set(seen.values()) == {1}
    assert [one.next() for one in people] == [None] * 3


def test_the_least_rated_comes_first(database: Database) -> None:
    study = opened(database, [new_item(n, wanted=4) for n in range(5)])
    loads = Counter(dict.fromkeys(range(1, 6), 0))
    for one in sitting(database, study, 4):
        for _ in range(3):
            lease = one.take()
            assert loads[lease.pair_id] == min(loads.values())
            one.submit(lease.token)
            loads[lease.pair_id] += 1


@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_sides_are_even(database: Database, wanted: int) -> None:
    """By pair within 1 at any moment, by person within 3, whoever comes when."""
    study = opened(database, [new_item(n, wanted=wanted) for n in range(20)])
    people = sitting(database, study, 6)
    rng = Random(wanted)
    leans = Counter[int]()
    pending: list[tuple[Sitting, str]] = []
    while people or pending:
        if people and (rng.random() < 0.6 or not pending):
            one = rng.choice(people)
            if any(one is other for other, _ in pending):
                continue
            lease = one.next()
            if lease is None and not pending:
                people.remove(one)
            elif lease is not None:
                pending.append((one, lease.token))
                leans[one.person] += 1 if lease.left.startswith("plain") else -1
                assert abs(leans[one.person]) <= 3
        elif pending:
            one, token = pending.pop(rng.randrange(len(pending)))
            one.submit(token)
    rated = counted(database, study)
    assert len(rated) == 20 * wanted
    assert worst_gap(rated) == 1


def test_a_lease_that_ended_goes_to_another(database: Database) -> None:
    study = opened(database, 1)
    ada, bob = sitting(database, study, 2)
    first = ada.take()
    assert bob.next() is None
    bob.wait(61)
    second = bob.take()
    assert second.pair_id == first.pair_id
    assert second.token != first.token
    ada.wait(70)
    assert ada.next() is None  # it is another's now
    bob.wait(61)
    ada.now = bob.now
    back = ada.take()  # he lost it in his turn, so she has it again, with all that was in it
    assert (back.token, back.left) == (first.token, first.left)
    assert bob.next() is None


def test_a_lease_that_ended_is_still_ones_own(database: Database) -> None:
    study = opened(database, 1)
    (ada,) = sitting(database, study)
    first = ada.take()
    with database.write() as session:
        study_slots.save_draft(session, first.token, ada.person, {"overall": 4})
    ada.wait(7200)
    again = ada.take()
    assert (again.token, again.draft) == (first.token, {"overall": 4})


def test_showing_and_drafting_prolong_a_lease(database: Database) -> None:
    study = opened(database, 1)
    ada, bob = sitting(database, study, 2)
    token = ada.take().token
    with database.write() as session:
        shown = study_slots.reveal(session, token, ada.person, ada.now, lease_seconds=100)
    assert (shown.shown_at, shown.lease_until) == (START, START + timedelta(seconds=100))
    ada.wait(90)
    assert ada.reveal(token).shown_at == START
    with database.write() as session:
        kept = study_slots.save_draft(session, token, ada.person, {"note": "x"}, ada.now, 100)
    assert kept
    bob.wait(150)
    assert bob.next() is None
    ada.submit(token)
    with database.write() as session:
        assert not study_slots.save_draft(session, token, ada.person, {"note": "y"}, ada.now)
        assert study_slots.find_lease(session, token, ada.person).draft is None


def test_excluded_topics_are_not_shown(database: Database) -> None:
    topics = ["self-harm", "", "weapons", "self-harm"]
    items = [new_item(n, topic=topic) for n, topic in enumerate(topics)]
    study = opened(database, [*items, new_item(9, kind="attention", topic="weapons")])
    ada, bob = sitting(database, study, 2)
    with database.write() as session:
        annotators.consent(session, ada.person, ["self-harm", "weapons"])
        annotators.consent(session, bob.person, ["self-harm", "weapons", ""])
        progress = study_ratings.progress(session, study, ada.person)
    assert (progress.done, progress.wanted) == (0, 1)
    lease = ada.take(attention_every=1)
    assert lease.topic == ""
    ada.submit(lease.token)
    assert ada.next(attention_every=1) is None
    assert bob.next() is None


def test_practice_comes_first_and_attention_in_between(database: Database) -> None:
    items = [new_item(n) for n in range(7)]
    extras = [new_item(20 + n, kind="practice", expected_arm=1) for n in range(2)]
    extras += [new_item(30 + n, kind="attention", expected_arm=0) for n in range(4)]
    study = opened(database, [*items, *extras], criteria_share=1.0)
    ada, bob = sitting(database, study, 2)
    kinds, numbers = [], []
    done = attention_due(ada.person, 2, 7)
    while (lease := ada.next(attention_every=2, practice=True)) is not None:
        assert ada.take(attention_every=2, practice=True).token == lease.token
        kinds.append(lease.kind)
        numbers.append(lease.number_of)
        better = {"left": lease.left, "right": lease.right}.get(lease.expected_side or "")
        if lease.kind == "main":
            assert better is None
        else:
            assert (better or "").startswith("tuned" if lease.kind == "practice" else "plain")
        assert lease.with_criteria
        ada.submit(lease.token)
    assert kinds[:2] == ["practice"] * 2
    assert kinds.count("main") == 7
    assert kinds.count("attention") == attention_due(ada.person, 2, 7) == done
    assert numbers == [1, 2, *range(1, 8 + done)]
    with database.write() as session:
        progress = study_ratings.progress(session, study, ada.person, START)
        assert (progress.done, progress.practice_done, progress.attention_done) == (7, 2, done)
        assert (progress.practice_wanted, progress.today) == (2, 7)
        annotators.practised(session, bob.person)
    assert bob.next(practice=True) is None  # no practice for who is done with it


def test_where_attention_items_stand_differs_by_person_and_block() -> None:
    """One in each block, and not after a number of ratings that could be counted."""
    gaps = Counter[int]()
    for person in range(1, 40):
        steps = [attention_due(person, 5, rated) for rated in range(51)]
        places = [at for at in range(1, 51) if steps[at] > steps[at - 1]]
        assert [(at - 1) // 5 for at in places] == list(range(10))
        gaps.update(second - first for first, second in pairwise(places))
    assert set(gaps) == set(range(1, 10))
    assert attention_due(1, 0, 100) == 0


def test_the_cap_ends_a_day(database: Database) -> None:
    study = opened(database, 5)
    (ada,) = sitting(database, study)
    for _ in range(2):
        ada.submit(ada.take(cap=2).token)
    with pytest.raises(Refused, match="enough for today") as refused:
        ada.next(cap=2)
    assert refused.value.reason == "cap"
    ada.wait(24 * 3600)
    ada.submit(ada.take(cap=2).token)
    assert ada.take(cap=2).number_of == 4


def test_who_may_not_rate_is_told_why(database: Database) -> None:
    study, other = opened(database, 3), opened(database, 3, name="other")
    ada, bob = sitting(database, study, 2)

    def reason(one: Sitting) -> str:
        with pytest.raises(Refused) as refused:
            one.next()
        return refused.value.reason

    assert reason(Sitting(database, other, ada.person)) == "not_yours"
    with database.write() as session:
        guest = annotators.invite(session, study, "guest").id
        annotators.stop(session, ada.person)
    assert reason(Sitting(database, study, guest)) == "invalid"
    assert reason(ada) == "stopped"
    with database.write() as session:
        annotators.resume(session, ada.person)
        studies.pause_study(session, study)
    assert reason(ada) == "paused"
    with database.write() as session:
        studies.resume_study(session, study)
    token = ada.take().token
    with database.write() as session:
        studies.close_study(session, study, "enough")
    assert reason(ada) == "closed"
    for wrong, who in (("forged", ada), (token, bob)):
        with pytest.raises(Refused) as refused, database.read() as session:
            study_slots.find_lease(session, wrong, who.person)
        assert refused.value.reason == ("unknown" if who is ada else "not_yours")
    with pytest.raises(Refused, match="closed before"):
        ada.reveal(token)
    with pytest.raises(LookupError):
        Sitting(database, 99, ada.person).next()


def test_sides_stay_even_when_leases_end(database: Database) -> None:
    """All have the pair that is wanted three times, all are late, the last one first."""
    study = opened(database, [new_item(0), new_item(1, wanted=3)])
    people = sitting(database, study, 4)
    held = []
    for one in people:
        while (lease := one.next(lease_seconds=60)) is not None and lease.prompt[-1] == "0":
            one.submit(lease.token)
        if lease is not None:
            held.append((one, lease.token))
            one.now = START + timedelta(seconds=30 * len(held))
    for one, token in reversed(held):
        one.wait(600)
        one.submit(token)
    for one in people:
        one.wait(3600)
        while (lease := one.next()) is not None:
            one.submit(lease.token)
    assert len(counted(database, study)) == 4
    assert worst_gap(counted(database, study)) == 1
