"""Tables of notifications: where they go, and the queue of what is still to be sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from kos.server.core.db.base import Base, BigKey, JsonColumn, Key, Millis, Name, OrganisationKey


class NotificationChannel(Base):
    """Where an organisation's notifications go. `sealed` is encrypted: an address may be a secret too."""

    __tablename__ = "notification_channel"
    id: Mapped[Key]
    organisation_id: Mapped[OrganisationKey]
    name: Mapped[Name]
    kind: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(16))  # nothing milder is sent
    shown: Mapped[str] = mapped_column(String(1024))  # what people may see of the address
    sealed: Mapped[str] = mapped_column(String(4096))
    enabled: Mapped[bool] = mapped_column(default=True)
    created_by: Mapped[Name]
    created_at: Mapped[Millis]
    # One delivery of a channel is under way at a time: who sends it, and until when that counts.
    claim: Mapped[str] = mapped_column(String(32), default="")
    claimed_until: Mapped[int] = mapped_column(BigInteger, default=0)
    sent_at: Mapped[int | None] = mapped_column(BigInteger)
    error: Mapped[str] = mapped_column(String(256), default="")  # of the last delivery; "" where it arrived
    dropped: Mapped[int] = mapped_column(default=0)  # not taken because the queue was full


class Notification(Base):
    """One event on its way to one channel; written in the transaction of the event itself."""

    __tablename__ = "notification"
    __table_args__ = (
        Index("ix_notification_state_next_at", "state", "next_at"),
        Index("ix_notification_channel_state", "channel_id", "state", "id"),
    )
    id: Mapped[Key]
    organisation_id: Mapped[OrganisationKey]
    channel_id: Mapped[int] = mapped_column(BigKey, ForeignKey("notification_channel.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(32))  # of the event; the same however often it is sent
    batch: Mapped[str] = mapped_column(String(32), default="", index=True)  # events sent together, for good
    event: Mapped[dict[str, Any]] = mapped_column(JsonColumn)
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Millis]
    next_at: Mapped[Millis]
    ended_at: Mapped[int | None] = mapped_column(BigInteger)
    error: Mapped[str] = mapped_column(String(256), default="")
