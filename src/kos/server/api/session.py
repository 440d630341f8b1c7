"""Log-in and log-out of browsers; one's own password and one-time codes."""

from __future__ import annotations

from typing import Annotated

import segno
from fastapi import APIRouter, Request, Response
from pydantic import Field
from sqlalchemy import delete, select, update

from kos.abi.errors import KosError
from kos.server.api.common import ERRORS, Body, Own, View
from kos.server.core.auth import audit
from kos.server.core.auth.guard import COOKIE, identify, remote_of
from kos.server.core.auth.login import SESSION_LIFE, check_password, close_session, open_session
from kos.server.core.auth.passwords import (
    hash_password,
    hash_secret,
    new_totp_secret,
    password_matches,
    totp_step,
    totp_uri,
)
from kos.server.core.auth.permissions import Principal
from kos.server.core.db.models import LoginSession, Membership, User
from kos.server.core.problems import Conflict, Forbidden, NotFound, Problem, Unauthorized
from kos.server.core.services import Services

router = APIRouter(prefix="/api/v1", tags=["session"], responses=ERRORS)


class Login(Body):
    email: Annotated[str, Field(max_length=254)]
    password: Annotated[str, Field(max_length=256)]
    code: Annotated[str, Field(max_length=8)] = ""


class NewPassword(Body):
    old: Annotated[str, Field(max_length=256)]
    new: Annotated[str, Field(max_length=256)]


class Totp(Body):
    secret: Annotated[str, Field(pattern="^[A-Z2-7]{32}$")]
    code: Annotated[str, Field(max_length=8)]


class Proof(Body):
    password: Annotated[str, Field(max_length=256)]
    code: Annotated[str, Field(max_length=8)]


class Chosen(Body):
    organisation_id: Annotated[int, Field(ge=1, le=1 << 53)]


@router.post("/login")
def login(request: Request, response: Response, own: Own, body: Login) -> dict[str, str]:
    """Begin a session; the cookie is the proof."""
    if own.settings.studio:
        raise Conflict("Studio has no log-in")
    origin = request.headers.get("origin")
    if origin and origin.partition("//")[2] != request.headers.get("host"):
        raise Forbidden("the request comes from another site")
    own.login_limit.spend(remote_of(request))
    refused: Problem | None = None
    with own.database.write() as session:
        try:
            user = check_password(session, body.email, body.password, body.code)
        except Unauthorized as error:
            refused = error  # the count of failures must stay, so the transaction does
        else:
            secret = open_session(session, user, remote_of(request))
    if refused is not None:
        raise refused
    set_session(response, own, secret)
    return {"status": "logged in"}


def set_session(response: Response, own: Services, secret: str) -> None:
    """The cookie of a session that was opened."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=SESSION_LIFE // 1000,
        httponly=True,
        samesite="strict",
        secure=own.settings.cookie_secure,
    )


@router.post("/logout")
def logout(request: Request, response: Response, own: Own) -> dict[str, str]:
    """End the session."""
    identify(request)
    if secret := request.cookies.get(COOKIE):
        with own.database.write() as session:
            close_session(session, secret)
    response.delete_cookie(COOKIE)
    return {"status": "logged out"}


def _me(request: Request) -> tuple[int, Principal]:
    principal = identify(request)
    if principal.user_id is None or not request.cookies.get(COOKIE):
        raise Forbidden("this needs a person who is logged in")
    return principal.user_id, principal


@router.put("/me/password")
def change_password(request: Request, own: Own, body: NewPassword) -> dict[str, str]:
    """Change one's own password; every other session ends."""
    user_id, principal = _me(request)
    own.login_limit.spend(remote_of(request))
    with own.database.write() as session:
        user = session.get_one(User, user_id)
        if not password_matches(user.password_hash, body.old):
            raise Forbidden("the old password is wrong")
        user.password_hash = hash_password(body.new)
        keep = hash_secret(request.cookies.get(COOKIE, ""))
        session.execute(
            delete(LoginSession).where(LoginSession.user_id == user_id, LoginSession.secret_hash != keep)
        )
        audit.record(session, principal, "user.password", user.email)
    return {"status": "changed"}


@router.post("/me/totp")
def propose_totp(request: Request, own: Own) -> dict[str, str]:
    """A fresh secret for an authenticator app; it counts once a code has confirmed it."""
    user_id, _ = _me(request)
    with own.database.read() as session:
        email = session.get_one(User, user_id).email
    secret = new_totp_secret()
    uri = totp_uri(secret, email)
    return {
        "secret": secret,
        "uri": uri,
        "picture": segno.make(uri, micro=False).svg_data_uri(scale=4, light="#fff"),
    }


@router.post("/me/totp/off")
def totp_off(request: Request, own: Own, body: Proof) -> dict[str, str]:
    """Turn one-time codes off, with the password and a code."""
    user_id, principal = _me(request)
    own.login_limit.spend(remote_of(request))
    with own.database.write() as session:
        user = session.get_one(User, user_id)
        if not user.totp_secret:
            raise Conflict("one-time codes are off")
        if not password_matches(user.password_hash, body.password):
            raise Forbidden("the password is wrong")
        totp_step(user.totp_secret, body.code, user.totp_step)
        user.totp_secret, user.totp_step = None, 0
        audit.record(session, principal, "user.totp_off", user.email)
    return {"status": "off"}


class Mine(View):
    id: int
    name: str
    slug: str
    role: str


@router.get("/me/organisations")
def my_organisations(request: Request, own: Own) -> list[Mine]:
    """The organisations that one belongs to."""
    user_id, _ = _me(request)
    with own.database.read() as session:
        chosen = select(Membership).where(Membership.user_id == user_id).order_by(Membership.id)
        return [
            Mine(
                id=row.organisation.id, name=row.organisation.name, slug=row.organisation.slug, role=row.role
            )
            for row in session.scalars(chosen)
        ]


@router.put("/me/organisation")
def change_organisation(request: Request, own: Own, body: Chosen) -> dict[str, str]:
    """Work in another organisation that one belongs to."""
    user_id, _ = _me(request)
    with own.database.write() as session:
        belongs = select(Membership.id).where(
            Membership.user_id == user_id, Membership.organisation_id == body.organisation_id
        )
        if session.scalar(belongs) is None:
            raise NotFound("no such organisation")
        secret = hash_secret(request.cookies.get(COOKIE, ""))
        here = update(LoginSession).where(LoginSession.secret_hash == secret)
        session.execute(here.values(organisation_id=body.organisation_id))
    return {"status": "changed"}


@router.put("/me/totp")
def confirm_totp(request: Request, own: Own, body: Totp) -> dict[str, str]:
    """Turn one-time codes on."""
    user_id, principal = _me(request)
    own.login_limit.spend(remote_of(request))
    try:
        step = totp_step(body.secret, body.code, 0)
    except ValueError as error:
        raise KosError("not a secret in base32") from error
    with own.database.write() as session:
        user = session.get_one(User, user_id)
        user.totp_secret, user.totp_step = body.secret, step
        audit.record(session, principal, "user.totp", user.email)
    return {"status": "on"}
