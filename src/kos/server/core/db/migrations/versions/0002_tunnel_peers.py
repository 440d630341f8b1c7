"""Tunnel peers"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "tunnel_peer",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("organisation_id", KEY, nullable=False),
        sa.Column("public_key", sa.String(length=44), nullable=False),
        sa.Column("network", sa.String(length=18), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisation.id"],
            name=op.f("fk_tunnel_peer_organisation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_tunnel_peer")),
        sa.UniqueConstraint("public_key", name=op.f("uq_tunnel_peer_public_key")),
        sa.UniqueConstraint("network", name=op.f("uq_tunnel_peer_network")),
    )
    with op.batch_alter_table("tunnel_peer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tunnel_peer_organisation_id"), ["organisation_id"], unique=False)


def downgrade() -> None:
    op.drop_table("tunnel_peer")
