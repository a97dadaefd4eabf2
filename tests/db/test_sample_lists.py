"""Lists, counts, facets and balance of hard samples against a slow reference in Python."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from db import jobs, sample_filters, samples
from db.models import HardSampleRow
from db.samples import FLAGS, ORDERS, Mix, SampleFilter
from db.session import Database

LISTED = 150  # samples of each of two jobs
WORDS = (
    *("café", "naïve", "Straße", "ÉCOLE", "and", "not", "near", "or", "kettle", "kite", "ki"),
    *("日", "本", "語", "don", "t", "x1", "über", "ﬁne"),
)
BETWEEN = (" ", '" ', " - ", "* ", " AND ", "'", "\n", "_", ": ")
Sample = dict[str, Any]


def plain(word: str) -> str:
    return {"ﬁne": "fine", "Straße": "strasse"}.get(word, word.lower())


def make(chance: random.Random, job_id: int, number: int) -> Sample:
    chosen = chance.sample(WORDS, chance.randint(1, 5))
    spaces = [chance.choice(BETWEEN) for _ in chosen]
    prompt = "".join(word + space for word, space in zip(chosen, spaces, strict=True))
    hardness = chance.choice(("hard", "hard", "hard", "all_wrong", "settled"))
    known = {plain(word) for word in chosen} | {"and" for space in spaces if "AND" in space}
    return {
        "job_id": job_id,
        "row_id": f"row-{number}",
        "prompt": prompt,
        "response": chance.choice((None, "the Answer")),
        "words": known,
        "gold": {},
        "source": chance.choice(("WildGuard", "Aegis", "")),
        "model": chance.choice(("jobs/1", "jobs/2")),
        "task": chance.choice(("refusal", "prompt_harmfulness")),
        "direction": chance.choice(("miss", "false_alarm", "")),
        "hardness": hardness,
        "k_correct": 1,
        "k_incorrect": chance.randint(0, 4),
        "unparsed": chance.choice((0, 0, 1)),
        "weight": chance.choice((0.8, 0.9, 1.0, 1.2)),
        "length": chance.randint(1, 60),
        "review": chance.choice(("new", "new", "accepted", "dropped")),
        "human_edited": chance.random() < 0.2,
        "duplicate": chance.random() < 0.2,
        "near_equal": chance.random() < 0.2,
        "length_gap": chance.random() < 0.2,
        "chosen_length": chance.randint(0, 900),
        "rejected_length": chance.randint(0, 900),
        "generations": [],
    }


@pytest.fixture
def stored(database: Database) -> list[Sample]:
    """What two jobs have stored, each with its id."""
    chance, found = random.Random(7), list[Sample]()
    with database.write() as session:
        both = [jobs.add_job(session, stage="mine", config={}).id for _ in range(2)]
        for start in range(0, LISTED, 50):  # the jobs' ids lie mixed
            for job_id in both:
                some = [make(chance, job_id, start + place) for place in range(50)]
                columns = [{k: v for k, v in one.items() if k != "words"} for one in some]
                samples.add_samples(session, job_id, columns)
                found += some
        ids = {(row.job_id, row.row_id): row.id for row in session.query(HardSampleRow)}
        for one in found:
            one["id"] = ids[one["job_id"], one["row_id"]]
            one["words"] |= {"the", "answer"} if one["response"] else set()
    return found


def flags(one: Sample) -> set[str]:
    found = {flag for flag in FLAGS[1:] if one[flag]}
    return found | {FLAGS[0]} if one["hardness"] == "all_wrong" else found


def matches(one: Sample, f: SampleFilter) -> bool:
    """As `SampleFilter` says it, word for word."""
    begun = [any(w.startswith(part) for w in one["words"]) for part in f.text.lower().split()]
    return (
        (f.job_id is None or one["job_id"] == f.job_id)
        and all(
            getattr(f, name) in ("", one[name]) for name in ("task", "source", "model", "direction")
        )
        and (f.parse == "" or (f.parse == "clean") == (one["unparsed"] == 0))
        and (f.wrong is None or one["k_incorrect"] == f.wrong)
        and (f.min_length is None or one["length"] >= f.min_length)
        and (f.max_length is None or one["length"] <= f.max_length)
        and (f.min_weight is None or one["weight"] >= f.min_weight)
        and (f.max_weight is None or one["weight"] <= f.max_weight)
        and (f.review in ("", one["review"]) or (f.review == "edited" and one["human_edited"]))
        and (f.flag == "" or f.flag in flags(one))
        and (f.hardness in ("", one["hardness"]) or f.flag == "label_suspect")
        and all(begun)
    )


def some_filter(chance: random.Random, job_id: int | None) -> SampleFilter:
    def now_and_then(*values: Any) -> Any:
        return chance.choice(values) if chance.random() < 0.3 else type(values[0])()

    low, high = sorted(chance.choices(range(60), k=2))
    ranged = chance.random() < 0.3
    return SampleFilter(
        job_id=job_id,
        task=now_and_then("refusal", "prompt_harmfulness"),
        source=now_and_then("WildGuard", "Aegis", "nowhere"),
        model=now_and_then("jobs/1", "jobs/2"),
        direction=now_and_then("miss", "false_alarm"),
        parse=now_and_then("clean", "failures"),
        wrong=chance.choice((None, None, None, 0, 2, 4)),
        min_length=low if ranged else None,
        max_length=high if ranged else None,
        min_weight=chance.choice((None, None, 0.85)),
        max_weight=chance.choice((None, None, 1.1)),
        review=now_and_then("new", "accepted", "dropped", "edited"),
        flag=now_and_then(*FLAGS),
        hardness=chance.choice(("hard", "hard", "", "all_wrong", "settled")),
        text=chance.choice(("", "", "", "k", "ki t", "caf", "日 k", "nothing")),
    )


def in_order(found: Sequence[Sample], order: str) -> list[int]:
    def keys(one: Sample) -> tuple[float, int]:
        name = {"wrong": "k_incorrect", "lightest": "weight", "shortest": "length"}.get(
            order, order
        )
        first = {"mined": -one["job_id"], "newest": 0}.get(order)
        return (one[name] if first is None else first, one["id"])

    down = order in ("newest", "weight", "wrong", "length")
    return [one["id"] for one in sorted(found, key=keys, reverse=down)]


def facets_of(stored: Sequence[Sample], f: SampleFilter) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for name in ("task", "source", "model", "direction"):
        without = replace(f, **{name: ""})
        found[name] = Counter(one[name] for one in stored if matches(one, without))
    rest = [one for one in stored if matches(one, replace(f, review=""))]
    found["review"] = Counter(one["review"] for one in rest)
    found["review"]["edited"] = sum(one["human_edited"] for one in rest)
    for name, values in (
        ("flag", FLAGS),
        ("parse", ("clean", "failures")),
        ("hardness", ("hard", "all_wrong", "settled")),
    ):
        found[name] = Counter()
        for value in values:
            wanted = replace(f, **{name: value})
            if name == "hardness" and f.flag == "label_suspect":
                wanted = replace(wanted, flag="")
            found[name][value] = sum(matches(one, wanted) for one in stored)
    return {name: {k: v for k, v in sorted(counts.items()) if v} for name, counts in found.items()}


def mix_of(found: Sequence[Sample]) -> Mix:
    labels: Counter[tuple[str, str]] = Counter()
    for one in found:
        pair = ("refusal", "compliance") if one["task"] == "refusal" else ("harmful", "unharmful")
        gold = {"miss": pair[0], "false_alarm": pair[1]}.get(one["direction"], "")
        labels[one["task"], gold] += 1
    means = [sum(one[name] for one in found) / (len(found) or 1) for name in SIDES]
    return Mix(len(found), dict(sorted(labels.items())), *means)


SIDES = ("chosen_length", "rejected_length")


@pytest.mark.parametrize("few", [0, 1_000_000])
def test_lists_and_counts_are_those_of_a_reference(
    database: Database, stored: list[Sample], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found words are gone through in two ways, by how many there are."""
    monkeypatch.setattr(sample_filters, "FEW", few)
    monkeypatch.setattr(samples, "FAR", 5)
    chance = random.Random(11)
    job_ids = (stored[0]["job_id"], stored[-1]["job_id"], None)
    for number in range(90):
        f = some_filter(chance, job_ids[number % 3])
        found = [one for one in stored if matches(one, f)]
        order = chance.choice(list(ORDERS))
        ids, start = in_order(found, order), chance.randint(0, len(found) + 1)
        with database.read() as session:
            assert samples.count_samples(session, f) == len(found), f
            assert samples.sample_ids(session, f, order=order) == ids, (f, order)
            page = samples.sample_ids(session, f, order=order, limit=4, offset=start)
            assert page == ids[start : start + 4], (f, order, start)
            facets = samples.facet_counts(session, f)
            assert {n: {k: v for k, v in c.items() if v} for n, c in facets.items()} == facets_of(
                stored, f
            ), f
            assert samples.count_samples(session, f) == len(found), "now told from the facets"
            wrong = Counter(o["k_incorrect"] for o in stored if matches(o, replace(f, wrong=None)))
            assert samples.wrong_histogram(session, f) == dict(sorted(wrong.items())), f


def test_the_balance_is_that_of_a_reference(database: Database, stored: list[Sample]) -> None:
    chance, job_id = random.Random(5), stored[0]["job_id"]
    for _ in range(30):
        f = some_filter(chance, job_id)
        f = replace(f, flag="" if f.flag == "label_suspect" else f.flag)
        pairs = [one for one in stored if matches(one, SampleFilter(job_id=job_id))]
        new = {one["id"] for one in stored if matches(one, replace(f, hardness="hard"))}
        accepted = [one for one in pairs if one["review"] == "accepted"]
        kept = [one for one in pairs if one["review"] != "dropped"]
        then = [one for one in pairs if one in accepted or one["id"] in new]
        kept_then = [one for one in pairs if one in kept or one["id"] in new]
        with database.read() as session:
            told = samples.balance(session, f)
        both = zip(
            (told.accepted, told.kept, told.accepted_then, told.kept_then),
            map(mix_of, (accepted, kept, then, kept_then)),
            strict=True,
        )
        for one, expected in both:
            assert (one.pairs, one.labels) == (expected.pairs, expected.labels), f
            means = (expected.mean_chosen, expected.mean_rejected)
            assert (one.mean_chosen, one.mean_rejected) == pytest.approx(means), f


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("f", [SampleFilter(), SampleFilter(hardness=""), SampleFilter(text="k")])
def test_pages_are_a_partition(
    database: Database,
    stored: list[Sample],
    order: str,
    f: SampleFilter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each sample stands on one page, past the middle too, where pages are read backwards."""
    monkeypatch.setattr(samples, "FAR", 20)
    f = replace(f, job_id=stored[0]["job_id"])
    expected = in_order([one for one in stored if matches(one, f)], order)
    pages = []
    for offset in range(0, len(expected) + 14, 7):
        with database.read() as session:
            lines = samples.sample_lines(session, f, order=order, limit=7, offset=offset)
            pages += [line.id for line in lines]
    assert pages == expected
