"""Which stream an ingest offset counts in: one that was made anew begins at 1 again.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("ingest_offset") as table:
        table.add_column(sa.Column("made", sa.String(40), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("ingest_offset") as table:
        table.drop_column("made")
