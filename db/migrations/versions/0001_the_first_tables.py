"""The first tables

Revision: 0001, the first
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    active = sa.text("exclusive AND state IN ('starting', 'running', 'stopping')")
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=40), nullable=False),
        sa.Column("preset", sa.String(length=60)),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("position", sa.Float(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("resolved", sa.JSON()),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("device", sa.String(length=20), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("launcher", sa.String(length=20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("pid", sa.Integer()),
        sa.Column("pid_created", sa.Float()),
        sa.Column("boot_id", sa.String(length=40)),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("started_at", moment()),
        sa.Column("finished_at", moment()),
        sa.Column("heartbeat_at", moment()),
        sa.Column("stop_requested_at", moment()),
        sa.Column("stop_signal", sa.String(length=10)),
        sa.Column("stop_signal_at", moment()),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("total_steps", sa.Integer(), nullable=False),
        sa.Column("activity", sa.String(length=200), nullable=False),
        sa.Column("failure", sa.JSON()),
        sa.CheckConstraint(
            "state in ('queued', 'blocked', 'starting', 'running', 'stopping', "
            "'succeeded', 'failed', 'stopped', 'interrupted')",
            name=op.f("ck_jobs_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"])
    op.create_index(
        "uq_jobs_device_lease",
        "jobs",
        ["device"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )

    op.create_table(
        "studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("arms", sa.JSON(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
        sa.UniqueConstraint("name", name=op.f("uq_studies_name")),
    )
    op.create_table(
        "artifacts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer()),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_artifacts_job_id_jobs"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_artifacts_job_id"), "artifacts", ["job_id"])
    op.create_index(op.f("ix_artifacts_kind"), "artifacts", ["kind"])

    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("at", moment(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("step", sa.Integer()),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_events_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_job_kind_id", "events", ["job_id", "kind", "id"])

    op.create_table(
        "hard_samples",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("row_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("task", sa.String(length=30), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("response", sa.Text()),
        sa.Column("gold", sa.JSON(), nullable=False),
        sa.Column("k_correct", sa.Integer(), nullable=False),
        sa.Column("k_incorrect", sa.Integer(), nullable=False),
        sa.Column("chosen", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_hard_samples_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hard_samples")),
        sa.UniqueConstraint("job_id", "row_id", name=op.f("uq_hard_samples_job_id_row_id")),
    )
    op.create_index(op.f("ix_hard_samples_task"), "hard_samples", ["task"])

    op.create_table(
        "job_parents",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_parents_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["jobs.id"],
            name=op.f("fk_job_parents_parent_id_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "parent_id", name=op.f("pk_job_parents")),
    )
    op.create_index(op.f("ix_job_parents_parent_id"), "job_parents", ["parent_id"])

    op.create_table(
        "study_pairs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("response", sa.Text()),
        sa.Column("first", sa.Text(), nullable=False),
        sa.Column("second", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"],
            ["studies.id"],
            name=op.f("fk_study_pairs_study_id_studies"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study_pairs")),
    )
    op.create_index(op.f("ix_study_pairs_study_id"), "study_pairs", ["study_id"])

    op.create_table(
        "assignments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pair_id", sa.Integer(), nullable=False),
        sa.Column("annotator", sa.String(length=100), nullable=False),
        sa.Column("left_arm", sa.Integer(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.CheckConstraint("left_arm in (0, 1)", name=op.f("ck_assignments_left_arm")),
        sa.ForeignKeyConstraint(
            ["pair_id"],
            ["study_pairs.id"],
            name=op.f("fk_assignments_pair_id_study_pairs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sa.UniqueConstraint("pair_id", "annotator", name=op.f("uq_assignments_pair_id_annotator")),
    )
    op.create_index(op.f("ix_assignments_annotator"), "assignments", ["annotator"])

    op.create_table(
        "generations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hard_sample_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("correct", sa.Boolean()),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["hard_sample_id"],
            ["hard_samples.id"],
            name=op.f("fk_generations_hard_sample_id_hard_samples"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generations")),
        sa.UniqueConstraint(
            "hard_sample_id", "position", name=op.f("uq_generations_hard_sample_id_position")
        ),
    )
    op.create_table(
        "ratings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pair_id", sa.Integer(), nullable=False),
        sa.Column("annotator", sa.String(length=100), nullable=False),
        sa.Column("left_arm", sa.Integer(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.CheckConstraint("left_arm in (0, 1)", name=op.f("ck_ratings_left_arm")),
        sa.CheckConstraint("score between 1 and 5", name=op.f("ck_ratings_score")),
        sa.ForeignKeyConstraint(
            ["pair_id"],
            ["study_pairs.id"],
            name=op.f("fk_ratings_pair_id_study_pairs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ratings")),
        sa.UniqueConstraint("pair_id", "annotator", name=op.f("uq_ratings_pair_id_annotator")),
    )


def downgrade() -> None:
    op.drop_table("ratings")
    op.drop_table("generations")
    op.drop_table("assignments")
    op.drop_table("study_pairs")
    op.drop_table("job_parents")
    op.drop_table("hard_samples")
    op.drop_table("events")
    op.drop_table("artifacts")
    op.drop_table("studies")
    op.drop_table("jobs")
