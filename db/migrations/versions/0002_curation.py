"""Curated hard samples, frozen pair sets, and jobs in groups

Revision: 0002, after 0001
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


STATES = (
    *("queued", "blocked", "starting", "running", "stopping"),
    *("succeeded", "failed", "stopped", "interrupted"),
)


def moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def new(name: str, kind: sa.types.TypeEngine, default: str) -> sa.Column:
    """A column that is never null; rows that are there already get the default."""
    return sa.Column(name, kind, nullable=False, server_default=sa.text(default))


def sample_columns() -> Sequence[sa.Column]:
    return (
        new("model", sa.Text(), "''"),
        new("sampling", sa.JSON(), "'{}'"),
        sa.Column("mined_gold", sa.JSON()),
        new("review", sa.String(length=10), "'new'"),
        new("reason", sa.Text(), "''"),
        new("human_edited", sa.Boolean(), "false"),
        sa.Column("reviewed_at", moment()),
        new("hardness", sa.String(length=10), "'hard'"),
        new("direction", sa.String(length=12), "''"),
        new("unparsed", sa.Integer(), "0"),
        new("length", sa.Integer(), "0"),
        sa.Column("duplicate_of", sa.Integer()),
        new("near_equal", sa.Boolean(), "false"),
        new("length_gap", sa.Boolean(), "false"),
    )


def altered_jobs() -> AbstractContextManager[BatchOperations]:
    """SQLite makes the table anew, and would forget what can't be read off the old one."""
    checked = sa.CheckConstraint(f"state in {STATES!r}", name=op.f("ck_jobs_state"))
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    return op.batch_alter_table(
        "jobs",
        table_args=(checked,) if on_sqlite else (),
        table_kwargs={"sqlite_autoincrement": True},
    )


def upgrade() -> None:
    op.create_table(
        "job_groups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("field", sa.String(length=60), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_groups")),
    )
    with altered_jobs() as table:
        table.add_column(sa.Column("group_id", sa.Integer()))
        table.add_column(new("group_key", sa.String(length=60), "''"))
        table.create_foreign_key(
            op.f("fk_jobs_group_id_job_groups"),
            "job_groups",
            ["group_id"],
            ["id"],
            ondelete="SET NULL",
        )
        table.create_index(op.f("ix_jobs_group_id"), ["group_id"])
    with op.batch_alter_table("hard_samples") as table:
        for column in sample_columns():
            table.add_column(column)
        table.alter_column("chosen", existing_type=sa.Integer(), nullable=True)
        table.alter_column("rejected", existing_type=sa.Integer(), nullable=True)
    with op.batch_alter_table("generations") as table:
        table.add_column(sa.Column("edited_from", sa.Integer()))
    op.create_table(
        "sample_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hard_sample_id", sa.Integer(), nullable=False),
        sa.Column("at", moment(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["hard_sample_id"],
            ["hard_samples.id"],
            name=op.f("fk_sample_changes_hard_sample_id_hard_samples"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sample_changes")),
    )
    op.create_index(op.f("ix_sample_changes_hard_sample_id"), "sample_changes", ["hard_sample_id"])
    op.create_table(
        "pair_sets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("job_id", sa.Integer()),
        sa.Column("created_at", moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_pair_sets_job_id_jobs"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pair_sets")),
        sa.UniqueConstraint("name", name=op.f("uq_pair_sets_name")),
    )
    op.create_table(
        "pair_set_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pair_set_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("artifact_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"],
            ["artifacts.id"],
            name=op.f("fk_pair_set_versions_artifact_id_artifacts"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["pair_set_id"],
            ["pair_sets.id"],
            name=op.f("fk_pair_set_versions_pair_set_id_pair_sets"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pair_set_versions")),
        sa.UniqueConstraint("artifact_id", name=op.f("uq_pair_set_versions_artifact_id")),
        sa.UniqueConstraint(
            "pair_set_id", "version", name=op.f("uq_pair_set_versions_pair_set_id_version")
        ),
    )


def downgrade() -> None:
    op.drop_table("pair_set_versions")
    op.drop_table("pair_sets")
    op.drop_table("sample_changes")
    with op.batch_alter_table("generations") as table:
        table.drop_column("edited_from")
    op.execute("DELETE FROM hard_samples WHERE chosen IS NULL OR rejected IS NULL")
    with op.batch_alter_table("hard_samples") as table:
        for column in sample_columns():
            table.drop_column(column.name)
        table.alter_column("chosen", existing_type=sa.Integer(), nullable=False)
        table.alter_column("rejected", existing_type=sa.Integer(), nullable=False)
    with altered_jobs() as table:
        table.drop_index(op.f("ix_jobs_group_id"))
        table.drop_constraint(op.f("fk_jobs_group_id_job_groups"), type_="foreignkey")
        table.drop_column("group_key")
        table.drop_column("group_id")
    op.drop_table("job_groups")
