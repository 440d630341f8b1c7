"""All tables in one place, so that metadata is complete whoever imports it."""

from kos.server.core.db.access import ApiToken, AuditEntry, LoginSession, Membership, Organisation, User
from kos.server.core.db.base import Base, now
from kos.server.core.db.data import (
    Alarm,
    AlarmRule,
    DeviceEvent,
    IngestOffset,
    Lease,
    LogLine,
    Point,
    RetentionRule,
    Series,
    SpoolPosition,
)
from kos.server.core.db.devices import Device, DeviceGroup, PreauthorisedKey, TunnelPeer
from kos.server.core.db.notifications import Notification, NotificationChannel
from kos.server.core.db.releases import Artifact, Overlay, OverlayArtifact, Release, ReleaseArtifact
from kos.server.core.db.rollouts import Rollout, RolloutDevice

__all__ = [
    "Alarm",
    "AlarmRule",
    "ApiToken",
    "Artifact",
    "AuditEntry",
    "Base",
    "Device",
    "DeviceEvent",
    "DeviceGroup",
    "IngestOffset",
    "Lease",
    "LogLine",
    "LoginSession",
    "Membership",
    "Notification",
    "NotificationChannel",
    "Organisation",
    "Overlay",
    "OverlayArtifact",
    "Point",
    "PreauthorisedKey",
    "Release",
    "ReleaseArtifact",
    "RetentionRule",
    "Rollout",
    "RolloutDevice",
    "Series",
    "SpoolPosition",
    "TunnelPeer",
    "User",
    "now",
]
