from __future__ import annotations

import threading
from collections import Counter
from random import Random

import pytest
from sqlalchemy.exc import IntegrityError

from db import studies
from db.models import Assignment, Rating
from db.session import Database


@pytest.fixture
def study(database: Database) -> int:
    """Six pairs; the trace of arm 0 begins with `first`."""
    pairs = [(f"prompt {n}", None, f"first {n}", f"second {n}") for n in range(6)]
    with database.write() as session:
        return studies.create(session, "tuned against not", ["plain", "tuned"], pairs).id


def show(
    database: Database, study: int, annotator: str = "ada", seed: int = 0
) -> studies.ShownPair | None:
    with database.write() as session:
        return studies.next_pair(session, study, annotator, Random(seed))


def rate(
    database: Database, pair: studies.ShownPair, annotator: str = "ada", score: int = 3
) -> Rating | None:
    with database.write() as session:
        return studies.add_rating(session, pair.pair_id, annotator, score, 1.5)


def test_a_study_has_two_arms_and_a_name_of_its_own(database: Database, study: int) -> None:
    def create(name: str, arms: list[str]) -> None:
        with database.write() as session:
            studies.create(session, name, arms, [])

    with pytest.raises(ValueError, match="must be two different names"):
        create("x", ["a", "a"])
    with pytest.raises(ValueError, match="must be two different names"):
        create("x", ["a", "b", "c"])
    with pytest.raises(IntegrityError):
        create("tuned against not", ["a", "b"])
    with database.read() as session:
        (found,) = studies.list_studies(session)
        assert studies.get_study(session, study) is found
    assert (found.arms, found.question) == (["plain", "tuned"], "Whose reasoning is better?")


def test_a_pair_stays_with_its_sides_until_it_is_rated(database: Database, study: int) -> None:
    first = show(database, study)
    for seed in range(1, 8):
        assert show(database, study, seed=seed) == first
    assert first is not None
    assert rate(database, first) is not None
    second = show(database, study)
    assert second is not None
    assert second.pair_id != first.pair_id


def test_everybody_sees_every_pair_once(database: Database, study: int) -> None:
    seen: list[int] = []
    while (pair := show(database, study, seed=len(seen))) is not None:
        assert {pair.left.split()[0], pair.right.split()[0]} == {"first", "second"}
        seen.append(pair.pair_id)
        rate(database, pair)
    assert len(set(seen)) == len(seen) == 6
    with database.read() as session:
        assert studies.progress(session, study, "ada") == (6, 6)
        assert studies.progress(session, study, "bob") == (0, 6)


def test_the_least_rated_comes_first(database: Database, study: int) -> None:
    rated = Counter[int]()
    for seed, annotator in enumerate("abcdefghi"):
        for _ in range(2):
            pair = show(database, study, annotator, seed)
            assert pair is not None
            assert rated[pair.pair_id] == min(rated[number] for number in range(1, 7))
            rate(database, pair, annotator)
            rated[pair.pair_id] += 1
    assert set(rated.values()) == {3}


def test_sides_are_drawn_evenly(database: Database, study: int) -> None:
    rng = Random(1)
    left = Counter[str]()
    with database.write() as session:
        for number in range(200):
            pair = studies.next_pair(session, study, f"person {number}", rng)
            assert pair is not None
            left[pair.left.split()[0]] += 1
    assert 70 < left["first"] < 130


def test_the_sides_are_not_told(database: Database, study: int) -> None:
    pair = show(database, study)
    assert pair is not None
    assert not hasattr(pair, "left_arm")


@pytest.mark.parametrize("score", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_results_are_told_by_arm(database: Database, study: int, score: int, seed: int) -> None:
    pair = show(database, study, seed=seed)
    assert pair is not None
    rate(database, pair, score=score)
    with database.read() as session:
        (found,) = studies.results(session, study)
    first_is_left = pair.left.startswith("first")
    assert found.score == (6 - score if first_is_left else score)
    assert found.left_arm == (0 if first_is_left else 1)
    assert (found.annotator, found.seconds) == ("ada", 1.5)


def test_one_rating_a_person_and_pair(database: Database, study: int) -> None:
    pair = show(database, study)
    assert pair is not None
    assert rate(database, pair, score=5) is not None
    assert rate(database, pair, score=1) is None
    with database.read() as session:
        (found,) = studies.results(session, study)
    assert found.score in (1, 5)
    assert found.score == (1 if pair.left.startswith("first") else 5)


def test_one_rating_holds_in_the_database(database: Database, study: int) -> None:
    def store() -> None:
        with database.write() as session:
            for _ in range(2):
                session.add(Rating(pair_id=1, annotator="ada", left_arm=0, score=1))

    with pytest.raises(IntegrityError):
        store()


def test_what_was_not_shown_is_not_rated(database: Database, study: int) -> None:
    pair = show(database, study)
    assert pair is not None
    with pytest.raises(LookupError, match="was not shown to bob"):
        rate(database, pair, "bob")
    with pytest.raises(ValueError, match="score=6"):
        rate(database, pair, score=6)


def test_two_tabs_at_once_get_one_pair(database: Database, study: int) -> None:
    start = threading.Barrier(4)
    got: list[studies.ShownPair | None] = []

    def ask(seed: int) -> None:
        start.wait()
        got.append(show(database, study, seed=seed))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        drawn = session.query(Assignment).count()
    assert len(got) == 4
    assert len(set(got)) == drawn == 1
