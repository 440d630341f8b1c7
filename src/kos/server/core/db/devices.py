"""Tables of devices: identity, what they last said, what they should be, groups, pre-authorised keys,
tunnels.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from kos.server.core.db.base import Base, BigKey, JsonColumn, Key, Millis, Name, OrganisationKey


class Device(Base):
    """One device. `status` is ours to decide; everything below "reported" is the device's word."""

    __tablename__ = "device"
    __table_args__ = (Index("ix_device_organisation_status", "organisation_id", "status"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    organisation_id: Mapped[OrganisationKey]
    public_key: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    name: Mapped[Name]
    tags: Mapped[list[str]] = mapped_column(JsonColumn, default=list)
    created_at: Mapped[Millis]
    # desired
    desired_version: Mapped[int] = mapped_column(BigInteger, default=0)
    release_id: Mapped[int | None] = mapped_column(BigKey, ForeignKey("release.id"))
    overlay_id: Mapped[int | None] = mapped_column(BigKey, ForeignKey("overlay.id"))
    # The group whose overlay this is; none where a person chose it for this device.
    overlay_group_id: Mapped[int | None] = mapped_column(
        BigKey, ForeignKey("device_group.id", ondelete="SET NULL")
    )
    settings: Mapped[dict[str, Any]] = mapped_column(JsonColumn, default=dict)
    mqtt_hash: Mapped[str | None] = mapped_column(String(64))  # of the password of this device's MQTT clients
    # reported
    online: Mapped[bool] = mapped_column(default=False)
    last_seen_at: Mapped[int] = mapped_column(BigInteger, default=0)
    boot: Mapped[str] = mapped_column(String(64), default="")
    report_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    platform: Mapped[str] = mapped_column(String(64), default="")
    system: Mapped[str] = mapped_column(String(64), default="")
    agent: Mapped[str] = mapped_column(String(64), default="")
    generation: Mapped[int] = mapped_column(default=0)
    running: Mapped[str | None] = mapped_column(String(64))  # SHA-256 of the manifest that runs
    running_overlay: Mapped[str | None] = mapped_column(String(64))
    healthy: Mapped[bool] = mapped_column(default=True)
    update_version: Mapped[int] = mapped_column(BigInteger, default=0)
    update_state: Mapped[str] = mapped_column(String(16), default="idle")
    update_progress: Mapped[float] = mapped_column(default=0.0)
    update_reason: Mapped[str] = mapped_column(String(4096), default="")
    apps: Mapped[dict[str, Any]] = mapped_column(JsonColumn, default=dict)
    metrics: Mapped[dict[str, Any]] = mapped_column(JsonColumn, default=dict)


class DeviceGroup(Base):
    """A named query over devices: target of rollouts, scope of roles."""

    __tablename__ = "device_group"
    __table_args__ = (UniqueConstraint("organisation_id", "name"),)
    id: Mapped[Key]
    organisation_id: Mapped[OrganisationKey]
    name: Mapped[Name]
    query: Mapped[str] = mapped_column(String(512))
    overlay_id: Mapped[int | None] = mapped_column(BigKey, ForeignKey("overlay.id"))


class PreauthorisedKey(Base):
    """A key that is accepted the first time it shows up."""

    __tablename__ = "preauthorised_key"
    id: Mapped[Key]
    organisation_id: Mapped[OrganisationKey]
    public_key: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[Name]
    tags: Mapped[list[str]] = mapped_column(JsonColumn, default=list)
    created_at: Mapped[Millis]


class TunnelPeer(Base):
    """The tunnel of a device: the key that its end has, and the addresses that are its own.

    It may be there before the device is: an announced device needs its tunnel in order to show up.
    """

    __tablename__ = "tunnel_peer"
    device_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    organisation_id: Mapped[OrganisationKey]
    public_key: Mapped[str] = mapped_column(String(44), unique=True)  # X25519, base64
    network: Mapped[str] = mapped_column(String(18), unique=True)
