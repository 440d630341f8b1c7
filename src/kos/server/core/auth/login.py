"""Log-in of people: password and one-time code to a session, cookie to a principal, token to a principal."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.server.core.auth import audit
from kos.server.core.auth.oidc import Claims
from kos.server.core.auth.passwords import hash_secret, new_secret, password_matches, totp_step
from kos.server.core.auth.permissions import ROLES, Principal
from kos.server.core.db.models import ApiToken, DeviceGroup, LoginSession, Membership, User, now
from kos.server.core.problems import Forbidden, Unauthorized

SESSION_LIFE = 12 * 3600 * 1000  # ms
TOKEN_PREFIX = "kos_"
FAILURES_MAX = 8  # wrong passwords in a row, then the account is locked for a while
LOCK_TIME = 15 * 60 * 1000  # ms
TOKEN_USE_STEP = 60_000  # ms between two notes of a token's last use


class CodeNeeded(Unauthorized):
    """The password was right; a one-time code is still needed."""


def check_password(session: Session, email: str, password: str, code: str) -> User:
    """The user who logs in.

    Raises:
        Unauthorized: wrong e-mail, password or code, always in the same words.
        CodeNeeded: the code is missing.
    """
    user = session.scalar(select(User).where(User.email == email.strip().lower()))
    right = password_matches(user.password_hash if user else None, password)
    if user is None or user.disabled or user.locked_until > now() or not right:
        if user is not None:
            _count_failure(user)
        raise Unauthorized("wrong e-mail address or password")
    if user.totp_secret:
        if not code:
            raise CodeNeeded("a one-time code is needed")
        try:
            user.totp_step = totp_step(user.totp_secret, code, user.totp_step)
        except KosError as error:
            _count_failure(user)
            raise Unauthorized(error.message, hint=error.hint) from error
    user.failures = 0
    return user


def user_of_claims(session: Session, claims: Claims) -> User:
    """The user that an identity provider names: known by its subject, or by an address that it has verified.

    Raises:
        Forbidden: nobody has given this person a role.
    """
    user = session.scalar(select(User).where(User.oidc_subject == claims.subject))
    if user is None and claims.email and claims.email_verified:
        user = session.scalar(select(User).where(User.email == claims.email, User.oidc_subject.is_(None)))
        if user is not None:
            user.oidc_subject = claims.subject
    if user is None or user.disabled:
        raise Forbidden("nobody has given you a role here", hint="ask an administrator")
    return user


def _count_failure(user: User) -> None:
    user.failures += 1
    if user.failures >= FAILURES_MAX:
        user.locked_until, user.failures = now() + LOCK_TIME, 0


def open_session(session: Session, user: User, remote: str) -> str:
    """Begin a browser session; the answer is the cookie's value, which is stored nowhere."""
    secret = new_secret()
    first = session.scalar(
        select(Membership.organisation_id).where(Membership.user_id == user.id).order_by(Membership.id)
    )
    session.execute(delete(LoginSession).where(LoginSession.expires_at < now()))
    session.add(
        LoginSession(
            secret_hash=hash_secret(secret),
            user_id=user.id,
            organisation_id=first,
            csrf=hash_secret(new_secret()),
            created_at=now(),
            expires_at=now() + SESSION_LIFE,
            remote=remote[:128],
        )
    )
    if first is not None:
        who = Principal(user.email, first, "", frozenset(), user.id, remote=remote)
        audit.record(session, who, "login")
    return secret


def close_session(session: Session, secret: str) -> None:
    session.execute(delete(LoginSession).where(LoginSession.secret_hash == hash_secret(secret)))


def principal_of_cookie(session: Session, secret: str, remote: str) -> Principal:
    """Raises Unauthorized."""
    row = session.scalar(select(LoginSession).where(LoginSession.secret_hash == hash_secret(secret)))
    if row is None or row.expires_at < now():
        raise Unauthorized("not logged in")
    return _principal(session, row.user_id, row.organisation_id, remote, csrf=row.csrf)


def principal_of_token(session: Session, secret: str, remote: str) -> tuple[Principal, int | None]:
    """The principal of an API token, and the token's id when its last use should be noted."""
    row = session.scalar(select(ApiToken).where(ApiToken.secret_hash == hash_secret(secret)))
    if row is None or row.expires_at < now():
        raise Unauthorized("the token is wrong or has expired")
    principal = _principal(session, row.user_id, row.organisation_id, remote)
    # A token can never do more than its owner can today.
    narrowed = principal.permissions & frozenset(row.scopes)
    stale = row.last_used_at is None or row.last_used_at < now() - TOKEN_USE_STEP
    named = f"{principal.name} ({row.name})"[:128]
    return (
        Principal(
            named,
            principal.organisation_id,
            principal.role,
            narrowed,
            principal.user_id,
            principal.device_query,
            remote=remote,
        ),
        row.id if stale else None,
    )


def _principal(
    session: Session, user_id: int, organisation_id: int | None, remote: str, csrf: str = ""
) -> Principal:
    user = session.get(User, user_id)
    if user is None or user.disabled:
        raise Unauthorized("the account is disabled")
    membership = session.scalar(
        select(Membership).where(Membership.user_id == user_id, Membership.organisation_id == organisation_id)
    )
    if membership is None:
        raise Forbidden("you belong to no organisation", hint="ask an administrator for a role")
    group = None if membership.group_id is None else session.get(DeviceGroup, membership.group_id)
    return Principal(
        name=user.email,
        organisation_id=membership.organisation_id,
        role=membership.role,
        permissions=ROLES[membership.role],
        user_id=user_id,
        device_query=group.query if group else "",
        csrf=csrf,
        remote=remote,
    )
