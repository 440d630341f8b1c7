"""How far each device's spools have come, so that no record is taken twice."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spool_position",
        sa.Column("device_id", sa.String(32), nullable=False),
        sa.Column("spool", sa.String(12), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("device_id", "spool", name="pk_spool_position"),
    )


def downgrade() -> None:
    op.drop_table("spool_position")
