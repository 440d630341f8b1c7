"""Tables of what devices send: points, console lines, events, alarms; and how far ingest has come."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from kos.server.core.db.base import Base, BigKey, JsonColumn, Key, Millis, Name, OrganisationKey

DEVICE = "device.id"


class Series(Base):
    """One time series of one device."""

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("device_id", "name"),)
    id: Mapped[Key]
    device_id: Mapped[str] = mapped_column(String(32), ForeignKey(DEVICE, ondelete="CASCADE"))
    name: Mapped[Name]


class Point(Base):
    """One value. No foreign key: this is the table that grows, and retention empties it by time."""

    __tablename__ = "point"
    __table_args__ = (Index("ix_point_series_at", "series_id", "at"), Index("ix_point_at", "at"))
    id: Mapped[Key]
    series_id: Mapped[int] = mapped_column(BigKey)
    at: Mapped[Millis]
    value: Mapped[float]


class LogLine(Base):
    """One console line."""

    __tablename__ = "log_line"
    __table_args__ = (Index("ix_log_line_device", "device_id", "id"), Index("ix_log_line_at", "at"))
    id: Mapped[Key]
    device_id: Mapped[str] = mapped_column(String(32))
    at: Mapped[Millis]  # when it arrived
    boot: Mapped[str] = mapped_column(String(64))
    seconds: Mapped[float]  # since the device started
    app: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(String(4096))


class DeviceEvent(Base):
    """Something that happened on a device once."""

    __tablename__ = "device_event"
    __table_args__ = (Index("ix_device_event_device", "device_id", "id"),)
    id: Mapped[Key]
    device_id: Mapped[str] = mapped_column(String(32), ForeignKey(DEVICE, ondelete="CASCADE"))
    at: Mapped[Millis]
    kind: Mapped[str] = mapped_column(String(64))
    app: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(String(4096))
    detail: Mapped[dict[str, Any]] = mapped_column(JsonColumn, server_default="{}")  # a crash: its record


class AlarmRule(Base):
    """Raise when a series crosses `raise_at` for `hold` seconds, clear when it is back past `clear_at`."""

    __tablename__ = "alarm_rule"
    id: Mapped[Key]
    organisation_id: Mapped[OrganisationKey]
    name: Mapped[Name]
    series: Mapped[Name]  # "online" and "healthy" are series too: 0 or 1
    above: Mapped[bool]  # True: high is bad
    raise_at: Mapped[float]
    clear_at: Mapped[float]
    hold: Mapped[float] = mapped_column(default=0.0)
    target: Mapped[str] = mapped_column(String(512), default="")
    severity: Mapped[str] = mapped_column(String(16), default="warning", server_default="warning")


class Alarm(Base):
    """One time that a rule was broken by a device."""

    __tablename__ = "alarm"
    __table_args__ = (Index("ix_alarm_device", "device_id"),)
    id: Mapped[Key]
    rule_id: Mapped[int] = mapped_column(BigKey, ForeignKey("alarm_rule.id", ondelete="CASCADE"))
    device_id: Mapped[str] = mapped_column(String(32), ForeignKey(DEVICE, ondelete="CASCADE"))
    raised_at: Mapped[Millis]
    cleared_at: Mapped[int | None] = mapped_column(BigInteger)
    value: Mapped[float]


class RetentionRule(Base):
    """How long an organisation keeps the streams whose names match."""

    __tablename__ = "retention_rule"
    __table_args__ = (UniqueConstraint("organisation_id", "pattern"),)
    id: Mapped[Key]
    organisation_id: Mapped[OrganisationKey]
    pattern: Mapped[Name]
    days: Mapped[float]


class IngestOffset(Base):
    """The last stream sequence that is in the database: written in the same transaction as the data."""

    __tablename__ = "ingest_offset"
    stream: Mapped[str] = mapped_column(String(64), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)
    made: Mapped[str] = mapped_column(String(40), default="", server_default="")  # when the stream was


class SpoolPosition(Base):
    """The last record of a device's spool that is in the database: written in the same transaction."""

    __tablename__ = "spool_position"
    device_id: Mapped[str] = mapped_column(
        String(32), ForeignKey(DEVICE, ondelete="CASCADE"), primary_key=True
    )
    spool: Mapped[str] = mapped_column(String(12), primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[Millis]


class Lease(Base):
    """Who does a job that only one process may do, and until when."""

    __tablename__ = "lease"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[Millis]
