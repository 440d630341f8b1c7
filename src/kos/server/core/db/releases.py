"""Tables of what can be installed: artifacts by digest, releases, overlays."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from kos.server.core.db.base import Base, BigKey, Digest, JsonColumn, Key, Millis, Name, OrganisationKey


class Artifact(Base):
    """A stored blob, named by its SHA-256."""

    __tablename__ = "artifact"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[Millis]


class Release(Base):
    """A signed manifest with its blobs, verified when it was uploaded."""

    __tablename__ = "release"
    __table_args__ = (UniqueConstraint("organisation_id", "manifest"),)
    id: Mapped[Key]
    organisation_id: Mapped[OrganisationKey]
    manifest: Mapped[Digest]  # SHA-256 of manifest.json
    manifest_size: Mapped[int] = mapped_column(BigInteger)
    system: Mapped[Name]
    version: Mapped[Name]
    platform: Mapped[Name]
    apps: Mapped[list[str]] = mapped_column(JsonColumn)
    signatures: Mapped[list[dict[str, Any]]] = mapped_column(JsonColumn)
    signers: Mapped[list[str]] = mapped_column(JsonColumn)
    assurance: Mapped[dict[str, Any]] = mapped_column(JsonColumn)
    size: Mapped[int] = mapped_column(BigInteger)  # bytes of all blobs
    uploaded_by: Mapped[Name]
    created_at: Mapped[Millis]


class ReleaseArtifact(Base):
    """Which blobs a release needs: what its devices may download."""

    __tablename__ = "release_artifact"
    release_id: Mapped[int] = mapped_column(
        BigKey, ForeignKey("release.id", ondelete="CASCADE"), primary_key=True
    )
    sha256: Mapped[str] = mapped_column(
        String(64), ForeignKey("artifact.sha256"), primary_key=True, index=True
    )


class OverlayArtifact(Base):
    """Which blobs an overlay brings."""

    __tablename__ = "overlay_artifact"
    overlay_id: Mapped[int] = mapped_column(
        BigKey, ForeignKey("overlay.id", ondelete="CASCADE"), primary_key=True
    )
    sha256: Mapped[str] = mapped_column(
        String(64), ForeignKey("artifact.sha256"), primary_key=True, index=True
    )


class Overlay(Base):
    """A signed partial manifest that is laid over a release. Its canonical bytes are a blob of its digest."""

    __tablename__ = "overlay"
    __table_args__ = (UniqueConstraint("organisation_id", "sha256"),)
    id: Mapped[Key]
    organisation_id: Mapped[OrganisationKey]
    name: Mapped[Name]
    sha256: Mapped[Digest]
    document: Mapped[dict[str, Any]] = mapped_column(JsonColumn)
    size: Mapped[int] = mapped_column(default=0, server_default="0")  # bytes in canonical form
    signatures: Mapped[list[dict[str, Any]]] = mapped_column(JsonColumn)
    signers: Mapped[list[str]] = mapped_column(JsonColumn, default=list, server_default="[]")
    uploaded_by: Mapped[Name]
    created_at: Mapped[Millis]
