"""Tables of rollouts: the plan, and each device's way through it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from kos.server.core.db.base import Base, BigKey, JsonColumn, Key, Millis, Name, OrganisationKey


class Rollout(Base):
    """A release on its way to many devices. `plan` is `kos.server.fleet.plan.Plan` as JSON."""

    __tablename__ = "rollout"
    id: Mapped[Key]
    organisation_id: Mapped[OrganisationKey]
    name: Mapped[Name]
    release_id: Mapped[int] = mapped_column(BigKey, ForeignKey("release.id"))
    # The same software for other platforms: ids of releases, one for each platform.
    variants: Mapped[list[int]] = mapped_column(JsonColumn, default=list, server_default="[]")
    target: Mapped[str] = mapped_column(String(512))
    plan: Mapped[dict[str, Any]] = mapped_column(JsonColumn)
    state: Mapped[str] = mapped_column(String(16), index=True)
    phase: Mapped[int] = mapped_column(default=0)
    phase_at: Mapped[Millis]
    priority: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str] = mapped_column(String(1024), default="")
    created_by: Mapped[Name]
    approved_by: Mapped[str | None] = mapped_column(String(128))
    created_at: Mapped[Millis]
    finished_at: Mapped[int | None] = mapped_column(BigInteger)


class RolloutDevice(Base):
    """One device in one rollout."""

    __tablename__ = "rollout_device"
    __table_args__ = (Index("ix_rollout_device_device", "device_id"),)
    rollout_id: Mapped[int] = mapped_column(
        BigKey, ForeignKey("rollout.id", ondelete="CASCADE"), primary_key=True
    )
    device_id: Mapped[str] = mapped_column(
        String(32), ForeignKey("device.id", ondelete="CASCADE"), primary_key=True
    )
    phase: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    since: Mapped[Millis]
    offered_at: Mapped[int | None] = mapped_column(BigInteger)
    desired_version: Mapped[int | None] = mapped_column(BigInteger)
    previous_release_id: Mapped[int | None] = mapped_column(BigKey)
    reason: Mapped[str] = mapped_column(String(4096), default="")
