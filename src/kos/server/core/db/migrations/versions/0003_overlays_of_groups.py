"""Overlays that bring apps, and overlays of groups.

Revision ID: 0003
Revises: 0002
"""

import hashlib

import rfc8785
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("overlay") as table:
        table.add_column(sa.Column("size", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("signers", JSON, nullable=False, server_default="[]"))
    op.create_table(
        "overlay_artifact",
        sa.Column("overlay_id", KEY, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["overlay_id"], ["overlay.id"], name=op.f("fk_overlay_artifact_overlay_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["sha256"], ["artifact.sha256"], name=op.f("fk_overlay_artifact_sha256")),
        sa.PrimaryKeyConstraint("overlay_id", "sha256", name=op.f("pk_overlay_artifact")),
    )
    op.create_index(op.f("ix_overlay_artifact_sha256"), "overlay_artifact", ["sha256"])
    with op.batch_alter_table("device_group") as table:
        table.add_column(sa.Column("overlay_id", KEY, nullable=True))
        table.create_foreign_key(op.f("fk_device_group_overlay_id"), "overlay", ["overlay_id"], ["id"])
    with op.batch_alter_table("device") as table:
        table.add_column(sa.Column("overlay_group_id", KEY, nullable=True))
        table.create_foreign_key(
            op.f("fk_device_overlay_group_id"),
            "device_group",
            ["overlay_group_id"],
            ["id"],
            ondelete="SET NULL",
        )
    _say_the_form()


def _say_the_form() -> None:
    """An overlay's document says its own form now, and is hashed and signed with it."""
    overlay = sa.table(
        "overlay", sa.column("id", KEY), sa.column("document", JSON), sa.column("sha256", sa.String)
    )
    connection = op.get_bind()
    for number, document in connection.execute(sa.select(overlay.c.id, overlay.c.document)).all():
        whole = {"format": "kos.overlay", "version": 1, **document}
        digest = hashlib.sha256(rfc8785.dumps(whole)).hexdigest()
        change = sa.update(overlay).where(overlay.c.id == number)
        connection.execute(change.values(document=whole, sha256=digest))


def downgrade() -> None:
    with op.batch_alter_table("device") as table:
        table.drop_constraint(op.f("fk_device_overlay_group_id"), type_="foreignkey")
        table.drop_column("overlay_group_id")
    with op.batch_alter_table("device_group") as table:
        table.drop_constraint(op.f("fk_device_group_overlay_id"), type_="foreignkey")
        table.drop_column("overlay_id")
    op.drop_index(op.f("ix_overlay_artifact_sha256"), table_name="overlay_artifact")
    op.drop_table("overlay_artifact")
    with op.batch_alter_table("overlay") as table:
        table.drop_column("signers")
        table.drop_column("size")
