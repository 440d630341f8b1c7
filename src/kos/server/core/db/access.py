"""Tables of access control: organisations, users, memberships, log-ins, tokens, the audit log."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from kos.server.core.db.base import Base, BigKey, Digest, JsonColumn, Key, Millis, Name, OrganisationKey


class Organisation(Base):
    """Owns devices, releases and data; nothing is visible from another one."""

    __tablename__ = "organisation"
    id: Mapped[Key]
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[Name]
    created_at: Mapped[Millis]


class User(Base):
    """A person who may log in."""

    __tablename__ = "user_account"
    id: Mapped[Key]
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[Name]
    password_hash: Mapped[str | None] = mapped_column(String(256))
    totp_secret: Mapped[str | None] = mapped_column(String(64))
    totp_step: Mapped[int] = mapped_column(BigInteger, default=0)  # the last step used: a code works once
    oidc_subject: Mapped[str | None] = mapped_column(String(512), unique=True)
    disabled: Mapped[bool] = mapped_column(default=False)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[Millis]
    memberships: Mapped[list[Membership]] = relationship(back_populates="user", cascade="all, delete-orphan")


class Membership(Base):
    """A user's role in an organisation; with a group, only for that group's devices."""

    __tablename__ = "membership"
    __table_args__ = (UniqueConstraint("user_id", "organisation_id"),)
    id: Mapped[Key]
    user_id: Mapped[int] = mapped_column(BigKey, ForeignKey("user_account.id", ondelete="CASCADE"))
    organisation_id: Mapped[OrganisationKey]
    role: Mapped[str] = mapped_column(String(16))
    group_id: Mapped[int | None] = mapped_column(BigKey, ForeignKey("device_group.id", ondelete="CASCADE"))
    user: Mapped[User] = relationship(back_populates="memberships")
    organisation: Mapped[Organisation] = relationship()


class LoginSession(Base):
    """A browser's log-in. Only the hash of the cookie is stored."""

    __tablename__ = "login_session"
    id: Mapped[Key]
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(BigKey, ForeignKey("user_account.id", ondelete="CASCADE"))
    organisation_id: Mapped[int | None] = mapped_column(
        BigKey, ForeignKey("organisation.id", ondelete="SET NULL")
    )
    csrf: Mapped[Digest]
    created_at: Mapped[Millis]
    expires_at: Mapped[Millis]
    remote: Mapped[Name]


class ApiToken(Base):
    """A program's access: hash only, with scopes and an end."""

    __tablename__ = "api_token"
    id: Mapped[Key]
    organisation_id: Mapped[OrganisationKey]
    user_id: Mapped[int] = mapped_column(BigKey, ForeignKey("user_account.id", ondelete="CASCADE"))
    name: Mapped[Name]
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JsonColumn)
    created_at: Mapped[Millis]
    expires_at: Mapped[Millis]
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)


class AuditEntry(Base):
    """Who did what to what, when. Append-only; each row seals the one before."""

    __tablename__ = "audit_entry"
    id: Mapped[Key]
    organisation_id: Mapped[int | None] = mapped_column(BigKey, index=True)
    at: Mapped[Millis]
    actor: Mapped[Name]
    action: Mapped[Name]
    target: Mapped[str] = mapped_column(String(256))
    detail: Mapped[dict[str, Any]] = mapped_column(JsonColumn)
    remote: Mapped[Name]
    seal: Mapped[Digest]
