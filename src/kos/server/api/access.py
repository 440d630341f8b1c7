"""Users, roles, API tokens of an organisation; the audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.server.api.common import (
    ERRORS,
    Body,
    CanManageAccess,
    CanReadAudit,
    Limit,
    Own,
    RowId,
    View,
    own_row,
)
from kos.server.core.auth import audit
from kos.server.core.auth.login import TOKEN_PREFIX
from kos.server.core.auth.passwords import hash_password, hash_secret, new_secret
from kos.server.core.auth.permissions import PERMISSIONS, ROLES
from kos.server.core.db.models import (
    ApiToken,
    AuditEntry,
    DeviceGroup,
    LoginSession,
    Membership,
    Organisation,
    User,
    now,
)
from kos.server.core.devices.login import DEFAULT_ORGANISATION
from kos.server.core.devices.readers import connection_name
from kos.server.core.problems import Conflict, Forbidden
from kos.server.core.services import Services

router = APIRouter(prefix="/api/v1", tags=["access"], responses=ERRORS)

DAYS_MAX = 366
Role = Annotated[str, Field(pattern="^(" + "|".join(ROLES) + ")$")]
EXPORT = {200: {"content": {"application/x-ndjson": {}}}}


class UserBody(Body):
    email: Annotated[str, Field(pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$", max_length=254)]
    name: Annotated[str, Field(min_length=1, max_length=128)]
    password: Annotated[str, Field(min_length=12, max_length=256)] | None = None
    role: Role
    group_id: Annotated[int, Field(ge=1, le=1 << 53)] | None = None


class RoleBody(Body):
    role: Role
    group_id: Annotated[int, Field(ge=1, le=1 << 53)] | None = None


class MemberView(View):
    id: int
    user_id: int
    email: str
    name: str
    role: str
    group_id: int | None
    totp: bool


class TokenBody(Body):
    name: Annotated[str, Field(min_length=1, max_length=128)]
    scopes: Annotated[list[str], Field(min_length=1, max_length=32)]
    days: Annotated[int, Field(ge=1, le=DAYS_MAX)] = 90


class TokenView(View):
    id: int
    name: str
    scopes: list[str]
    created_at: int
    expires_at: int
    last_used_at: int | None


class NewToken(TokenView):
    token: str


class AuditView(View):
    id: int
    at: int
    actor: str
    action: str
    target: str
    detail: dict[str, Any]
    remote: str


def _view(membership: Membership) -> MemberView:
    user = membership.user
    return MemberView(
        id=membership.id,
        user_id=user.id,
        email=user.email,
        name=user.name,
        role=membership.role,
        group_id=membership.group_id,
        totp=user.totp_secret is not None,
    )


@router.get("/members")
def list_members(own: Own, principal: CanManageAccess) -> list[MemberView]:
    """Who belongs to the organisation."""
    with own.database.read() as session:
        chosen = select(Membership).where(Membership.organisation_id == principal.organisation_id)
        return [_view(row) for row in session.scalars(chosen.order_by(Membership.id))]


def _person(own: Services, session: Session, email: str, name: str, password: str | None) -> User:
    """Who has this address; whoever is not known yet is made."""
    user = session.scalar(select(User).where(User.email == email.lower()))
    if user is None:
        if password is None and not own.settings.oidc_issuer:
            raise KosError("a new person needs a password")
        user = User(email=email.lower(), name=name, password_hash=password, created_at=now())
        session.add(user)
        session.flush()
    return user


@router.post("/members", status_code=201)
def add_member(own: Own, principal: CanManageAccess, body: UserBody) -> MemberView:
    """Give a person a role; who is not known yet needs a first password, or an identity provider."""
    password = None if body.password is None else hash_password(body.password)
    with own.database.write() as session:
        if body.group_id is not None:
            own_row(session, principal, DeviceGroup, body.group_id, "group")
        user = _person(own, session, body.email, body.name, password)
        belongs = select(Membership).where(
            Membership.user_id == user.id, Membership.organisation_id == principal.organisation_id
        )
        if session.scalar(belongs):
            raise Conflict("this person belongs to the organisation already")
        row = Membership(
            user_id=user.id,
            organisation_id=principal.organisation_id,
            role=body.role,
            group_id=body.group_id,
        )
        session.add(row)
        session.flush()
        audit.record(session, principal, "member.add", user.email, role=body.role)
        return _view(row)


@router.put("/members/{member_id}")
def change_role(own: Own, principal: CanManageAccess, member_id: RowId, body: RoleBody) -> MemberView:
    """Change a role. The last administrator stays one."""
    with own.database.write() as session:
        row = own_row(session, principal, Membership, member_id, "member")
        if body.group_id is not None:
            own_row(session, principal, DeviceGroup, body.group_id, "group")
        if row.role == "admin" and body.role != "admin":
            _keep_an_admin(session, principal.organisation_id)
        row.role, row.group_id = body.role, body.group_id
        audit.record(session, principal, "member.role", row.user.email, role=body.role)
        _log_readers_out(own, session, row)
        return _view(row)


@router.delete("/members/{member_id}", status_code=204)
def remove_member(own: Own, principal: CanManageAccess, member_id: RowId) -> None:
    """Take a person out; their sessions and tokens here end."""
    with own.database.write() as session:
        row = own_row(session, principal, Membership, member_id, "member")
        if row.role == "admin":
            _keep_an_admin(session, principal.organisation_id)
        audit.record(session, principal, "member.remove", row.user.email)
        here = principal.organisation_id
        _log_readers_out(own, session, row)
        for table in (ApiToken, LoginSession):
            session.execute(delete(table).where(table.user_id == row.user_id, table.organisation_id == here))
        session.delete(row)


def _log_readers_out(own: Services, session: Session, member: Membership) -> None:
    """MQTT readers with this person's tokens log in anew, if they still may."""
    theirs = ApiToken.user_id == member.user_id, ApiToken.organisation_id == member.organisation_id
    for token in session.scalars(select(ApiToken.id).where(*theirs)):
        own.bus.disconnect_device(connection_name(token))


def _keep_an_admin(session: Any, organisation_id: int) -> None:
    admins = select(func.count()).where(
        Membership.organisation_id == organisation_id, Membership.role == "admin"
    )
    if (session.scalar(admins) or 0) <= 1:
        raise Conflict("the organisation needs an administrator", hint="make another person admin first")


class OrganisationBody(Body):
    slug: Annotated[str, Field(pattern="^[a-z][a-z0-9-]{1,62}$")]
    name: Annotated[str, Field(min_length=1, max_length=128)]
    email: Annotated[str, Field(pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$", max_length=254)]
    password: Annotated[str, Field(min_length=12, max_length=256)] | None = None


class OrganisationView(View):
    id: int
    slug: str
    name: str


@router.post("/organisations", status_code=201)
def create_organisation(own: Own, principal: CanManageAccess, body: OrganisationBody) -> OrganisationView:
    """Make an organisation with its first administrator. Administrators of the first one may."""
    password = None if body.password is None else hash_password(body.password)
    with own.database.write() as session:
        here = session.get_one(Organisation, principal.organisation_id)
        if here.slug != DEFAULT_ORGANISATION:
            raise Forbidden("only administrators of the first organisation make others")
        if session.scalar(select(Organisation).where(Organisation.slug == body.slug)):
            raise Conflict("there is an organisation of this name")
        user = _person(own, session, body.email, body.name, password)
        made = Organisation(slug=body.slug, name=body.name, created_at=now())
        session.add(made)
        session.flush()
        session.add(Membership(user_id=user.id, organisation_id=made.id, role="admin"))
        audit.record(session, principal, "organisation.create", body.slug, admin=user.email)
        return OrganisationView.model_validate(made)


@router.get("/tokens")
def list_tokens(own: Own, principal: CanManageAccess) -> list[TokenView]:
    """API tokens, without their secrets."""
    with own.database.read() as session:
        chosen = select(ApiToken).where(ApiToken.organisation_id == principal.organisation_id)
        return [TokenView.model_validate(row) for row in session.scalars(chosen.order_by(ApiToken.id))]


@router.post("/tokens", status_code=201)
def create_token(own: Own, principal: CanManageAccess, body: TokenBody) -> NewToken:
    """Make a token; its secret is shown once. It can do what its owner can, at most."""
    strange = sorted(set(body.scopes) - PERMISSIONS)
    if strange:
        raise KosError(f"no such scope: {strange[0][:60]!r}", hint="one of " + ", ".join(sorted(PERMISSIONS)))
    if principal.user_id is None:
        raise Forbidden("Studio needs no tokens")
    beyond = sorted(set(body.scopes) - principal.permissions)
    if beyond:
        raise Forbidden(f"you may not give what you do not have: {beyond[0]}")
    secret = new_secret(TOKEN_PREFIX)
    with own.database.write() as session:
        row = ApiToken(
            organisation_id=principal.organisation_id,
            user_id=principal.user_id,
            name=body.name,
            secret_hash=hash_secret(secret),
            scopes=sorted(set(body.scopes)),
            created_at=now(),
            expires_at=now() + body.days * 24 * 3600 * 1000,
        )
        session.add(row)
        session.flush()
        audit.record(session, principal, "token.create", body.name, scopes=row.scopes)
        return NewToken(**TokenView.model_validate(row).model_dump(), token=secret)


@router.delete("/tokens/{token_id}", status_code=204)
def delete_token(own: Own, principal: CanManageAccess, token_id: RowId) -> None:
    """Make a token worthless."""
    with own.database.write() as session:
        row = own_row(session, principal, ApiToken, token_id, "token")
        audit.record(session, principal, "token.delete", row.name)
        session.delete(row)
    own.bus.disconnect_device(connection_name(token_id))


@router.get("/audit")
def audit_log(
    own: Own,
    principal: CanReadAudit,
    before: Annotated[int, Query(ge=0, le=1 << 53)] = 0,
    limit: Limit = 100,
) -> list[AuditView]:
    """Who did what, newest first."""
    with own.database.read() as session:
        chosen = select(AuditEntry).where(AuditEntry.organisation_id == principal.organisation_id)
        if before:
            chosen = chosen.where(AuditEntry.id < before)
        rows = session.scalars(chosen.order_by(AuditEntry.id.desc()).limit(limit))
        return [AuditView.model_validate(row) for row in rows]


@router.get("/audit/export", response_class=StreamingResponse, responses=EXPORT)
def export_audit(own: Own, principal: CanReadAudit) -> StreamingResponse:
    """The whole audit log as JSON lines with seals; a broken seal is an error."""
    with own.database.read() as session:
        audit.verify(session, principal.organisation_id)

    def lines() -> Iterator[str]:
        with own.database.read() as session:
            chosen = select(AuditEntry).where(AuditEntry.organisation_id == principal.organisation_id)
            for row in session.scalars(chosen.order_by(AuditEntry.id).execution_options(yield_per=1000)):
                entry = {**AuditView.model_validate(row).model_dump(), "seal": row.seal}
                yield json.dumps(entry) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")
