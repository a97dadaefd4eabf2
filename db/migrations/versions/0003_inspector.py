"""The inspector: what lists of hard samples filter by, an index of it, and a search by words

Revision: 0003, after 0002
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FACETS = (
    *("job_id", "hardness", "task", "source", "model", "direction", "review", "human_edited"),
    *("duplicate", "near_equal", "length_gap", "unparsed", "k_incorrect"),
    *("length", "weight", "chosen_length", "rejected_length", "id"),
)
INDEXES = {
    "ix_hard_samples_facets": FACETS,
    "ix_hard_samples_mined": ("job_id", "id", "hardness"),
    "ix_hard_samples_weight": ("job_id", "weight", "id", "hardness"),
    "ix_hard_samples_wrong": ("job_id", "k_incorrect", "id", "hardness"),
    "ix_hard_samples_length": ("job_id", "length", "id", "hardness"),
}
BATCH = 1000
SQLITE_SEARCH = (
    # Words come in one spelling and apart by blanks, so the plainest tokenizer does.
    "CREATE VIRTUAL TABLE sample_search USING fts5"
    "(words, tokenize='ascii', detail='none', prefix='1 2 3')",
    "CREATE TRIGGER sample_search_forgets AFTER DELETE ON hard_samples "
    "BEGIN DELETE FROM sample_search WHERE rowid = old.id; END",
)
POSTGRES_SEARCH = (
    "CREATE TABLE sample_search (sample_id INTEGER PRIMARY KEY "
    "REFERENCES hard_samples (id) ON DELETE CASCADE, words TSVECTOR NOT NULL)",
    "CREATE INDEX ix_sample_search_words ON sample_search USING gin (words)",
    # Texts go beside the table even when short: lists that scan it then read a tenth of it.
    "ALTER TABLE hard_samples SET (toast_tuple_target = 128)",
)
DERIVED = """
UPDATE hard_samples SET
  length = length(prompt) + coalesce(length(response), 0),
  unparsed = (SELECT count(*) FROM generations AS g
              WHERE g.hard_sample_id = hard_samples.id AND g.error IS NOT NULL),
  chosen_length = coalesce((SELECT length(g.text) FROM generations AS g
    WHERE g.hard_sample_id = hard_samples.id AND g.position = hard_samples.chosen), 0),
  rejected_length = coalesce((SELECT length(g.text) FROM generations AS g
    WHERE g.hard_sample_id = hard_samples.id AND g.position = hard_samples.rejected), 0)
"""
LENGTH_GAP = """
UPDATE hard_samples SET length_gap = true
WHERE abs(chosen_length - rejected_length) > 300 AND chosen_length > 0 AND rejected_length > 0
  AND (chosen_length > 2 * rejected_length OR rejected_length > 2 * chosen_length)
"""


def on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def upgrade() -> None:
    with op.batch_alter_table(
        "hard_samples",
        recreate="always" if on_sqlite() else "auto",
        table_kwargs={"sqlite_autoincrement": True},
    ) as table:
        table.drop_index(op.f("ix_hard_samples_task"))
        for name, kind, default in (
            ("duplicate", sa.Boolean(), "false"),
            ("chosen_length", sa.Integer(), "0"),
            ("rejected_length", sa.Integer(), "0"),
        ):
            table.add_column(sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
    for line in SQLITE_SEARCH if on_sqlite() else POSTGRES_SEARCH:
        op.execute(line)
    op.execute(DERIVED)
    op.execute(LENGTH_GAP)
    for rows in old_rows():
        fill(rows)
    for name, columns in INDEXES.items():
        op.create_index(name, "hard_samples", list(columns))
    op.execute("ANALYZE hard_samples")


def old_rows() -> Iterator[Sequence[sa.Row]]:
    """The samples that were mined before, some at a time."""
    query = sa.text(
        "SELECT id, job_id, task, gold, prompt, response FROM hard_samples "
        "WHERE id > :last ORDER BY id LIMIT :batch"
    )
    last = 0
    while rows := op.get_bind().execute(query, {"last": last, "batch": BATCH}).all():
        yield rows
        last = rows[-1].id


def fill(rows: Sequence[sa.Row]) -> None:
    """Which way the wrong answers went, and the words. Near-duplicates of old rows stay unknown."""
    bind = op.get_bind()
    to = "UPDATE hard_samples SET direction = :direction WHERE id = :id"
    found = [{"id": row.id, "direction": direction(row.task, row.gold)} for row in rows]
    bind.execute(sa.text(to), found)
    searched = [(row.id, words_of(f"{row.prompt} {row.response or ''}")) for row in rows]
    if on_sqlite():
        to = "INSERT INTO sample_search (rowid, words) VALUES (:id, :words)"
        bind.execute(sa.text(to), [{"id": i, "words": " ".join(words)} for i, words in searched])
    else:
        to = "INSERT INTO sample_search VALUES (:id, array_to_tsvector(CAST(:words AS text[])))"
        jobs = (f":{row.job_id}" for row in rows)
        both = zip(searched, jobs, strict=True)
        bind.execute(sa.text(to), [{"id": i, "words": [*words, job]} for (i, words), job in both])


def direction(task: str, gold: object) -> str:
    labels = json.loads(gold) if isinstance(gold, str) else gold
    label = labels.get(task) if isinstance(labels, dict) else None
    return {None: "", "harmful": "miss", "refusal": "miss"}.get(label, "false_alarm")


def words_of(text: str) -> list[str]:
    """As `db.sample_filters.words_of` did when this was written."""
    one_each = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    plain = unicodedata.normalize("NFKC", text).casefold()
    found = re.findall(rf"[{one_each}]|[^\W_{one_each}]+", plain)
    return list(dict.fromkeys(word[:100] for word in found))[:20_000]


def downgrade() -> None:
    if on_sqlite():
        op.execute("DROP TRIGGER sample_search_forgets")
    op.execute("DROP TABLE sample_search")
    with op.batch_alter_table("hard_samples") as table:
        for name in INDEXES:
            table.drop_index(name)
        for name in ("duplicate", "chosen_length", "rejected_length"):
            table.drop_column(name)
        table.create_index(op.f("ix_hard_samples_task"), ["task"])
