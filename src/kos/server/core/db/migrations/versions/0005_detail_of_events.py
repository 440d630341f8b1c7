"""What is known of an event, such as a crash."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("device_event") as table:
        table.add_column(sa.Column("detail", JSON, nullable=False, server_default="{}"))


def downgrade() -> None:
    with op.batch_alter_table("device_event") as table:
        table.drop_column("detail")
