"""People, roles, tokens, groups; the audit log; the log-in."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select

from kos.server.api.common import CanManageAccess, CanReadAudit, Own
from kos.server.core.auth.permissions import PERMISSIONS, ROLES
from kos.server.core.db.models import ApiToken, AuditEntry, DeviceGroup, Membership, Overlay, User
from kos.server.core.problems import NotFound
from kos.server.web.render import page, visitor

router = APIRouter()

SHOWN = 200


@router.get("/login", response_class=HTMLResponse)
def login_page(request: Request, own: Own) -> HTMLResponse:
    """The only page that nobody needs to be known for."""
    sso = own.settings.oidc_name if own.settings.oidc_issuer else ""
    return page(request, "login.html", None, sso=sso)


@router.get("/account", response_class=HTMLResponse)
def account_page(request: Request, own: Own) -> HTMLResponse:
    """One's own password, one-time codes and organisations."""
    principal = visitor(request)
    if principal.user_id is None:
        raise NotFound("Studio has no accounts")
    with own.database.read() as session:
        user = session.get_one(User, principal.user_id)
        memberships = [(row, row.organisation) for row in user.memberships]
        return page(request, "account.html", principal, user=user, memberships=memberships)


@router.get("/access", response_class=HTMLResponse)
def access_page(request: Request, own: Own, principal: CanManageAccess) -> HTMLResponse:
    """Members, tokens, groups."""
    with own.database.read() as session:
        here = principal.organisation_id
        members = session.scalars(select(Membership).where(Membership.organisation_id == here)).all()
        people = [(member, member.user) for member in members]
        groups = session.scalars(select(DeviceGroup).where(DeviceGroup.organisation_id == here)).all()
        return page(
            request,
            "access.html",
            principal,
            people=people,
            tokens=session.scalars(select(ApiToken).where(ApiToken.organisation_id == here)).all(),
            groups=groups,
            overlays=session.scalars(select(Overlay).where(Overlay.organisation_id == here)).all(),
            group_names={group.id: group.name for group in groups},
            roles=list(ROLES),
            scopes=sorted(PERMISSIONS),
        )


@router.get("/audit", response_class=HTMLResponse)
def audit_page(request: Request, own: Own, principal: CanReadAudit) -> HTMLResponse:
    """The newest entries."""
    with own.database.read() as session:
        chosen = select(AuditEntry).where(AuditEntry.organisation_id == principal.organisation_id)
        entries = session.scalars(chosen.order_by(AuditEntry.id.desc()).limit(SHOWN)).all()
        return page(request, "audit.html", principal, entries=entries)
