"""How fast the inspector's lists are refreshed, beside the plain queries that they replace.

    PYTHONPATH=. python tests/bench/inspector.py [--samples N] [--postgres] [--times N]

Makes a database of samples from a seed (1,000 characters of conversation, four answers of 1,500)
in a temporary folder, or in a schema of its own at 127.0.0.1:5432. A refresh is what the page asks
for after a click, in one transaction: count, one page of 25, histogram and facets. The plain
queries ask for the same, a statement each, of the tables without the inspector's index and words.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from db import jobs, samples
from db.models import HardSampleRow
from db.sample_filters import conditions
from db.samples import SampleFilter
from db.session import Database, open_database
from pipelines.hard_samples import find_all_wrong, find_hard_sample, weigh
from pipelines.jobs import curation
from pipelines.jobs.sample_rows import store_samples
from pipelines.schema import GuardExample, GuardTask, HardSample, Verdict

POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
SOURCES = ("WildGuardTrainR", "AegisTrainR", "BeaverTailsTrainR", "ToxicChatTrainR")
MODELS = tuple(f"jobs/{number}/adapter" for number in (3, 5, 7, 9))
PAGE = 25
K = 4


class Writer:
    """Texts of made-up words, some of which are far more common than others."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        syllables = [a + b for a in "bdfgklmnprstv" for b in ("a", "e", "i", "o", "u", "ar", "en")]
        pick = self.random.choices
        self.words = list(dict.fromkeys("".join(pick(syllables, k=3)) for _ in range(30_000)))
        self.shares = [1 / (rank + 3) for rank in range(len(self.words))]
        total = 0.0
        for rank, share in enumerate(self.shares):
            total += share
            self.shares[rank] = total
        self.sentences = [self.prose(90) for _ in range(5000)]

    def prose(self, characters: int) -> str:
        words = self.random.choices(self.words, cum_weights=self.shares, k=characters // 7 + 1)
        return " ".join(words).capitalize() + "."

    def trace(self, characters: int) -> str:
        return "\n".join(self.random.choices(self.sentences, k=max(1, characters // 90)))


def make_samples(count: int, seed: int = 0) -> list[HardSample]:
    writer, found = Writer(seed), list[HardSample]()
    chance = writer.random
    while len(found) < count:
        number = len(found)
        length = int(chance.lognormvariate(6.5, 0.6)) + 40
        if number % 20 == 7:  # some conversations come twice
            old = found[chance.randrange(number)].example
            prompt, response = old.prompt + " Please.", old.response
        else:
            prompt = writer.prose(length // 3)
            response = writer.prose(length - length // 3) if number % 4 else None
        gold = {task: chance.choice(task.labels) for task in GuardTask}
        if response is None:
            gold = {GuardTask.PROMPT_HARMFULNESS: gold[GuardTask.PROMPT_HARMFULNESS]}
        source = chance.randrange(len(SOURCES))
        example = GuardExample(prompt, response, gold, None, SOURCES[source], f"row-{number}")
        hard = chance.choice(list(gold))
        verdicts = [answer(writer, gold, hard) for _ in range(K)]
        model = MODELS[(source + chance.randrange(2)) % len(MODELS)]
        sample = find_hard_sample(example, verdicts, model=model)
        sample = sample or find_all_wrong(example, verdicts, model=model)
        if sample:
            found.append(sample)
    return weigh(found, 0.2)


def answer(writer: Writer, gold: dict[GuardTask, str], hard: GuardTask) -> Verdict:
    chance = writer.random
    raw = writer.trace(int(chance.lognormvariate(7.25, 0.35)))
    if chance.random() < 0.03:
        return Verdict({}, raw, raw, "answers: there is no `Answers:` block")
    labels = dict(gold)
    if chance.random() < 0.4:
        labels[hard] = next(one for one in hard.labels if one != gold[hard])
    return Verdict(labels, raw, raw, tokens=len(raw) // 4)


def cases(job_id: int, common: str, rare: str) -> dict[str, tuple[SampleFilter, str]]:
    """Name -> (filter, order)."""
    f = SampleFilter(job_id=job_id)
    single = {
        "no filter": f,
        "all jobs": replace(f, job_id=None),
        "task": replace(f, task="refusal"),
        "source": replace(f, source=SOURCES[1]),
        "model": replace(f, model=MODELS[2]),
        "false alarms": replace(f, direction="false_alarm"),
        "parse failures": replace(f, parse="failures"),
        "3 of 4 wrong": replace(f, wrong=3),
        "length": replace(f, min_length=500, max_length=1500),
        "weight": replace(f, min_weight=0.9, max_weight=1.1),
        "accepted": replace(f, review="accepted"),
        "label suspects": replace(f, flag="label_suspect"),
        "duplicates": replace(f, flag="duplicate"),
        "length gap": replace(f, flag="length_gap"),
        "every hardness": replace(f, hardness=""),
        "most of it": replace(f, task="refusal", direction="miss", wrong=2, min_length=300),
    }
    named = {name: (found, "mined") for name, found in single.items()}
    orders = ("newest", "weight", "wrong", "length")
    named |= {f"no filter, by {order}": (f, order) for order in orders}
    named |= {
        f"{name} + a {kind} word": (replace(found, text=word), order)
        for name, (found, order) in tuple(named.items())
        for kind, word in (("common", common), ("rare", rare))
    }
    return named


def refresh(database: Database, f: SampleFilter, order: str, offset: int) -> int:
    with database.read() as session:
        total = samples.count_samples(session, f)
        samples.sample_lines(session, f, order=order, limit=PAGE, offset=offset)
        samples.wrong_histogram(session, f)
        samples.facet_counts(session, f)
    return total


def plain(database: Database, f: SampleFilter, order: str, offset: int) -> None:
    with database.read() as session:
        session.scalar(select(func.count()).select_from(HardSampleRow).where(*like(session, f)))
        query = select(HardSampleRow).where(*like(session, f)).order_by(*samples.ORDERS[order])
        session.scalars(query.limit(PAGE).offset(offset)).all()
        for column, without in (
            (HardSampleRow.k_incorrect, replace(f, wrong=None)),
            (HardSampleRow.task, replace(f, task="")),
            (HardSampleRow.source, replace(f, source="")),
            (HardSampleRow.model, replace(f, model="")),
            (HardSampleRow.direction, replace(f, direction="")),
            (HardSampleRow.review, replace(f, review="")),
        ):
            where = like(session, without)
            session.execute(select(column, func.count()).where(*where).group_by(column)).all()
        for flag in samples.FLAGS:
            where = like(session, replace(f, flag=flag))
            session.scalar(select(func.count()).select_from(HardSampleRow).where(*where))


def like(session: Session, f: SampleFilter) -> list[object]:
    wanted: list[object] = list(conditions(session, replace(f, text="")))
    for word in f.text.split():
        in_prompt = HardSampleRow.prompt.icontains(word)
        wanted.append(or_(in_prompt, HardSampleRow.response.icontains(word)))
    return wanted


def timed(action: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each of so many runs."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        action()
        found.append((time.perf_counter() - begun) * 1000)
    return found


def p95(found: list[float]) -> float:
    return sorted(found)[max(0, -(-len(found) * 95 // 100) - 1)]


@contextmanager
def a_database(postgres: bool) -> Iterator[Database]:
    if not postgres:
        with tempfile.TemporaryDirectory() as folder:
            database = open_database(f"sqlite:///{Path(folder) / 'bench.db'}")
            yield database
            database.dispose()
        return
    schema = f"guardui_bench_{uuid4().hex[:8]}"
    with psycopg.connect(POSTGRES, autocommit=True) as admin:
        admin.execute(f'CREATE SCHEMA "{schema}"'.encode())
        database = open_database(f"{POSTGRES}?options=-csearch_path%3D{schema}")
        try:
            yield database
        finally:
            database.dispose()
            admin.execute(f'DROP SCHEMA "{schema}" CASCADE'.encode())


def fill(database: Database, count: int) -> int:
    with database.write() as session:
        job_id = jobs.add_job(session, stage="mine", config={}).id
    found = make_samples(count)
    (spent,) = timed(lambda: store_samples(database, job_id, found), 1)
    print(f"stored {count:,} samples with their near-duplicates in {spent / 1000:.1f} s")
    matching = SampleFilter(job_id=job_id)
    (spent,) = timed(lambda: curation.drop(database, matching, "bench"), 1)
    print(f"dropped all that match in {spent / 1000:.1f} s", end=", ")
    (spent,) = timed(lambda: curation.restore(database, matching), 1)
    print(f"restored them in {spent / 1000:.1f} s")
    curation.accept(database, replace(matching, wrong=2))
    return job_id


def measure(database: Database, job_id: int, times: int, plain_times: int) -> None:
    words = Writer(0).words
    table = cases(job_id, words[10], words[20_000])
    fast, totals = {}, {}
    for name, (f, order) in table.items():
        totals[name] = refresh(database, f, order, 0)
        for place, offset in (("", 0), (", last page", max(0, totals[name] - PAGE))):
            run = lambda f=f, order=order, offset=offset: refresh(database, f, order, offset)  # noqa: E731
            fast[name + place] = timed(run, times)
    with database.write() as session:
        session.execute(text("DROP INDEX ix_hard_samples_facets"))
    print(f"{'refresh':58} {'rows':>8} {'median':>7} {'p95':>7} {'plain':>8} {'ratio':>6}   (ms)")
    for name, found in fast.items():
        key = name.removesuffix(", last page")
        f, order = table[key]
        offset = max(0, totals[key] - PAGE) if name != key else 0
        run = lambda f=f, order=order, offset=offset: plain(database, f, order, offset)  # noqa: E731
        slow = statistics.median(timed(run, plain_times)) if plain_times else float("nan")
        middle = statistics.median(found)
        print(
            f"{name:58} {totals[key]:8,} {middle:7.1f} {p95(found):7.1f} {slow:8.0f} "
            f"{slow / middle:6.1f}",
            flush=True,
        )
    slowest = max(fast, key=lambda name: p95(fast[name]))
    every = [one for found in fast.values() for one in found]
    print(f"slowest p95: {p95(fast[slowest]):.0f} ms ({slowest}); of all: {p95(every):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=30, help="refreshes of each filter")
    parser.add_argument("--plain-times", type=int, default=1, help="runs of the plain queries")
    parser.add_argument("--postgres", action="store_true")
    given = parser.parse_args()
    with a_database(given.postgres) as database:
        job_id = fill(database, given.samples)
        measure(database, job_id, given.times, given.plain_times)


if __name__ == "__main__":
    main()
