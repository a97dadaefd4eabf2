"""Databases of hard samples made from a seed, which `tests/bench/inspector.py` measures."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import Engine, func, select, text

from db import jobs
from db.models import HardSampleRow, Job
from db.samples import SampleFilter
from db.session import Database, open_database
from pipelines.hard_samples import find_all_wrong, find_hard_sample, weigh
from pipelines.jobs import curation
from pipelines.jobs.sample_rows import store_samples
from pipelines.schema import GuardExample, GuardTask, HardSample, Verdict

POSTGRES = "postgresql://postgres@127.0.0.1:5432"
SOURCES = ("WildGuardTrainR", "AegisTrainR", "BeaverTailsTrainR", "ToxicChatTrainR")
MODELS = tuple(f"jobs/{number}/adapter" for number in (3, 5, 7, 9))
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


@contextmanager
def a_database(count: int, postgres: bool, keep: Path | None, alone: bool) -> Iterator[Database]:
    """A database with a job of so many samples, and beside it another unless it shall be alone;
    one that was kept is taken as it is.

    SQLite's is a file in the folder `keep` or in a temporary one; PostgreSQL's is a database of its
    own, which is dropped afterwards where nothing is to be kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{(keep or Path(folder)).resolve() / f'{count}.db'}"
        if postgres:
            url = f"{POSTGRES}/{_made(f'guardui_bench_{count}')}"
        database = open_database(url)
        try:
            with database.read() as session:
                there = len(session.scalars(select(HardSampleRow.job_id).distinct()).all())
            if not there:
                fill(database, count)
            if there < 2 and not alone:
                beside(database)
            yield database
        finally:
            database.dispose()
            if postgres and keep is None:
                with psycopg.connect(f"{POSTGRES}/postgres", autocommit=True) as admin:
                    admin.execute(f'DROP DATABASE "guardui_bench_{count}"'.encode())


def _made(name: str) -> str:
    with psycopg.connect(f"{POSTGRES}/postgres", autocommit=True) as admin:
        known = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if known.fetchone() is None:
            admin.execute(f'CREATE DATABASE "{name}"'.encode())
    return name


def fill(database: Database, count: int) -> None:
    """A job with so many samples, a third of which are accepted."""
    with database.write() as session:
        job_id = jobs.add_job(session, stage="mine", config={}).id
    found = make_samples(count)
    matching = SampleFilter(job_id=job_id)
    for what, action in (
        ("stored with their near-duplicates", lambda: store_samples(database, job_id, found)),
        ("dropped all that match", lambda: curation.drop(database, matching, "bench")),
        ("restored them", lambda: curation.restore(database, matching)),
    ):
        begun = time.perf_counter()
        action()
        print(f"{count:,} samples: {what} in {time.perf_counter() - begun:.1f} s", flush=True)
    curation.accept(database, SampleFilter(job_id=job_id, wrong=2))


def beside(database: Database) -> None:
    """The first job's samples once more, under another job."""
    with database.write() as session:
        other = jobs.add_job(session, stage="mine", config={}).id
        assert other == session.scalar(select(func.max(Job.id)))
        low, high = session.execute(
            select(func.min(HardSampleRow.id), func.max(HardSampleRow.id))
        ).one()
        names = [column.name for column in HardSampleRow.__table__.columns]
        further = high - low + 1
        changed = {"id": f"id + {further}", "job_id": str(other)}
        values = ", ".join(changed.get(name, name) for name in names)
        session.execute(
            text(f"INSERT INTO hard_samples ({', '.join(names)}) SELECT {values} FROM hard_samples")
        )
        if database.is_sqlite:
            line = "(rowid, words) SELECT rowid + {}, words FROM sample_search"
        else:
            swapped = f"ts_delete(words, '\\:1') || array_to_tsvector(ARRAY['\\:{other}'])"
            line = f"SELECT sample_id + {{}}, {swapped} FROM sample_search"
            past = f"SELECT setval(pg_get_serial_sequence('hard_samples', 'id'), {high + further})"
            session.execute(text(past))
        session.execute(text(f"INSERT INTO sample_search {line.format(further)}"))
    tidy(database.engine)


def tidy(engine: Engine) -> None:
    """What either database does by itself some time after many rows came."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        line = "ANALYZE" if engine.dialect.name == "sqlite" else "VACUUM ANALYZE"
        connection.execute(text(line))
