"""Studies of several arms: items, traces, places that are leased, people and their names

Revision: 0004, after 0003
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, MetaData, Table, UniqueConstraint

from db.migrations.old_studies import newer, older

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
INT, TEXT, JSON, BOOL, REAL = sa.Integer, sa.Text, sa.JSON(none_as_null=True), sa.Boolean, sa.Float
MOMENT = sa.DateTime(timezone=True)
Row = Mapping[str, Any]


def must(name: str, kind: Any, *more: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, *more, nullable=False, **options)


def refer(table: str, name: str, gone: str = "CASCADE", **options: Any) -> Column[Any]:
    options = {"nullable": gone != "CASCADE"} | options
    return Column(name, INT, ForeignKey(f"{table}.id", ondelete=gone), **options)


def new_tables() -> MetaData:
    made = MetaData(naming_convention=NAMES)
    Table("jobs", made, Column("id", INT, primary_key=True))  # to refer to; it is there

    def table(name: str, *parts: Any) -> None:
        Table(name, made, Column("id", INT, primary_key=True), *parts)

    table(
        "studies",
        *(must("name", sa.String(200), unique=True), must("state", sa.String(20), index=True)),
        *(must("arms", JSON), must("design", JSON), Column("design_hash", sa.String(64))),
        *(refer("jobs", "job_id", "SET NULL", index=True), must("created_at", MOMENT)),
        *(Column("opened_at", MOMENT), Column("closed_at", MOMENT)),
        must("close_reason", sa.String(200)),
        CheckConstraint("state in ('draft', 'open', 'paused', 'closed')", name="state"),
    )
    table(
        "study_items",
        *(refer("studies", "study_id"), must("position", INT), must("kind", sa.String(20))),
        *(must("prompt", TEXT), Column("response", TEXT), must("source", sa.String(200))),
        *(must("row_id", sa.String(200)), must("topic", sa.String(100), index=True)),
        *(must("gold", JSON), Column("expected_arm", INT), must("feedback", TEXT)),
        CheckConstraint("kind in ('main', 'practice', 'attention')", name="kind"),
        UniqueConstraint("study_id", "position"),
    )
    table(
        "study_traces",
        *(refer("study_items", "item_id"), must("arm", INT), must("text", TEXT)),
        *(must("verdicts", JSON), Column("right", BOOL), Column("quality", REAL)),
        UniqueConstraint("item_id", "arm"),
    )
    table(
        "study_pairs",
        *(refer("studies", "study_id", index=True), refer("study_items", "item_id")),
        *(must("first_arm", INT), must("second_arm", INT), must("stratum", sa.String(20))),
        must("wanted", INT),
        UniqueConstraint("item_id", "first_arm", "second_arm"),
        CheckConstraint("first_arm <> second_arm", name="arms"),
    )
    table(
        "annotators",
        *(refer("studies", "study_id"), must("key_hash", sa.String(64))),
        *(must("state", sa.String(20)), Column("consented_at", MOMENT)),
        *(must("excluded_topics", JSON), Column("practised_at", MOMENT)),
        *(must("created_at", MOMENT), Column("joined_at", MOMENT), Column("ended_at", MOMENT)),
        UniqueConstraint("study_id", "key_hash"),
        CheckConstraint("state in ('invited', 'active', 'stopped', 'withdrawn')", name="state"),
    )
    Table(
        "annotator_names",
        made,
        refer("annotators", "annotator_id", primary_key=True, autoincrement=False),
        must("name", sa.String(200)),
    )
    table(
        "study_slots",
        *(refer("studies", "study_id"), refer("study_pairs", "pair_id"), must("number", INT)),
        *(must("kind", sa.String(20)), must("left_first", BOOL), must("with_criteria", BOOL)),
        refer("annotators", "annotator_id", "SET NULL", index=True),
        *(Column("token", sa.String(64), unique=True), Column("leased_at", MOMENT)),
        *(Column("lease_until", MOMENT), Column("shown_at", MOMENT), Column("done_at", MOMENT)),
        *(Column("draft", JSON), Column("drafted_at", MOMENT)),
        UniqueConstraint("pair_id", "number"),
        UniqueConstraint("pair_id", "annotator_id"),
        CheckConstraint("kind in ('regular', 'extra', 'overflow')", name="kind"),
        Index(
            "ix_study_slots_places",
            *("study_id", "kind", "pair_id", "left_first", "annotator_id", "lease_until"),
            "done_at",
        ),
    )
    table(
        "ratings",
        *(refer("studies", "study_id", index=True), refer("study_pairs", "pair_id")),
        *(refer("study_slots", "slot_id"), refer("annotators", "annotator_id")),
        *(must("revision", INT), must("submission", sa.String(80), unique=True)),
        *(must("overall", INT), must("criteria", JSON), must("note", TEXT), must("marks", JSON)),
        *(must("seconds", REAL), must("late", BOOL), must("created_at", MOMENT)),
        UniqueConstraint("pair_id", "annotator_id", "revision"),
        UniqueConstraint("slot_id", "revision"),
        Index("ix_ratings_annotator_created", "annotator_id", "created_at"),
        CheckConstraint("overall between 0 and 5", name="overall"),
    )
    table(
        "study_skips",
        *(refer("studies", "study_id", index=True), refer("study_pairs", "pair_id")),
        *(refer("annotators", "annotator_id", index=True), must("reason", sa.String(40))),
        *(must("note", TEXT), must("created_at", MOMENT)),
        UniqueConstraint("pair_id", "annotator_id"),
    )
    return made


def old_tables() -> MetaData:
    made = MetaData(naming_convention=NAMES)

    def table(name: str, *parts: Any) -> None:
        Table(name, made, Column("id", INT, primary_key=True), *parts)

    table(
        "studies",
        *(must("name", sa.String(200), unique=True), must("question", TEXT)),
        *(must("arms", JSON), must("created_at", MOMENT)),
    )
    table(
        "study_pairs",
        *(refer("studies", "study_id", index=True), must("prompt", TEXT), Column("response", TEXT)),
        *(must("first", TEXT), must("second", TEXT)),
    )
    table(
        "assignments",
        *(refer("study_pairs", "pair_id"), must("annotator", sa.String(100), index=True)),
        *(must("left_arm", INT), must("created_at", MOMENT)),
        UniqueConstraint("pair_id", "annotator"),
        CheckConstraint("left_arm in (0, 1)", name="left_arm"),
    )
    table(
        "ratings",
        *(refer("study_pairs", "pair_id"), must("annotator", sa.String(100))),
        *(must("left_arm", INT), must("score", INT), must("seconds", REAL)),
        must("created_at", MOMENT),
        UniqueConstraint("pair_id", "annotator"),
        CheckConstraint("score between 1 and 5", name="score"),
        CheckConstraint("left_arm in (0, 1)", name="left_arm"),
    )
    return made


def upgrade() -> None:
    old = old_tables()
    rows = {table.name: read(table) for table in old.sorted_tables}
    old.drop_all(op.get_bind())
    new = new_tables()
    new.create_all(op.get_bind())
    fill(new, newer(rows))


def downgrade() -> None:
    """Keeps what the older tables have words for: studies of two arms, and first opinions."""
    new, old = new_tables(), old_tables()
    mine = [table for table in new.sorted_tables if table.name != "jobs"]
    rows = {table.name: read(table) for table in mine}
    new.drop_all(op.get_bind(), mine)
    old.create_all(op.get_bind())
    fill(old, older(rows))


def read(table: Table) -> list[Row]:
    key = next(iter(table.primary_key))
    found = op.get_bind().execute(sa.select(table).order_by(key))
    return [dict(row) for row in found.mappings()]


def fill(tables: MetaData, rows: Mapping[str, Sequence[Row]]) -> None:
    bind = op.get_bind()
    for table in tables.sorted_tables:
        if table.name not in rows or not rows[table.name]:
            continue
        bind.execute(table.insert(), [dict(row) for row in rows[table.name]])
        if bind.dialect.name == "postgresql" and "id" in table.c:
            # Ids were given here, which its sequence knows nothing of.
            place = f"pg_get_serial_sequence('{table.name}', 'id')"
            op.execute(f"SELECT setval({place}, (SELECT max(id) FROM {table.name}))")
