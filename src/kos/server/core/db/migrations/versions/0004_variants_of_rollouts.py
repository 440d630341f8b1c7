"""Rollouts over several platforms."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("rollout") as table:
        table.add_column(sa.Column("variants", JSON, nullable=False, server_default="[]"))


def downgrade() -> None:
    with op.batch_alter_table("rollout") as table:
        table.drop_column("variants")
