"""Notifications of alarms and rollouts; how long an organisation keeps which streams.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def _organisation(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_organisation_id")
    return sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name=name, ondelete="CASCADE")


def upgrade() -> None:
    with op.batch_alter_table("alarm_rule") as table:
        table.add_column(sa.Column("severity", sa.String(16), nullable=False, server_default="warning"))
    op.create_table(
        "notification_channel",
        sa.Column("id", KEY, nullable=False),
        sa.Column("organisation_id", KEY, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("shown", sa.String(1024), nullable=False),
        sa.Column("sealed", sa.String(4096), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("claim", sa.String(32), nullable=False),
        sa.Column("claimed_until", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(256), nullable=False),
        sa.Column("dropped", sa.Integer(), nullable=False),
        _organisation("notification_channel"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_channel")),
    )
    op.create_index(
        op.f("ix_notification_channel_organisation_id"), "notification_channel", ["organisation_id"]
    )
    op.create_table(
        "notification",
        sa.Column("id", KEY, nullable=False),
        sa.Column("organisation_id", KEY, nullable=False),
        sa.Column("channel_id", KEY, nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("batch", sa.String(32), nullable=False),
        sa.Column("event", JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(256), nullable=False),
        _organisation("notification"),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["notification_channel.id"],
            name=op.f("fk_notification_channel_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
    )
    op.create_index(op.f("ix_notification_organisation_id"), "notification", ["organisation_id"])
    op.create_index(op.f("ix_notification_batch"), "notification", ["batch"])
    op.create_index("ix_notification_state_next_at", "notification", ["state", "next_at"])
    op.create_index("ix_notification_channel_state", "notification", ["channel_id", "state", "id"])
    op.create_table(
        "retention_rule",
        sa.Column("id", KEY, nullable=False),
        sa.Column("organisation_id", KEY, nullable=False),
        sa.Column("pattern", sa.String(128), nullable=False),
        sa.Column("days", sa.Double(), nullable=False),
        _organisation("retention_rule"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_rule")),
        sa.UniqueConstraint("organisation_id", "pattern", name=op.f("uq_retention_rule_organisation_id")),
    )
    op.create_index(op.f("ix_retention_rule_organisation_id"), "retention_rule", ["organisation_id"])


def downgrade() -> None:
    op.drop_table("retention_rule")
    op.drop_table("notification")
    op.drop_table("notification_channel")
    with op.batch_alter_table("alarm_rule") as table:
        table.drop_column("severity")
