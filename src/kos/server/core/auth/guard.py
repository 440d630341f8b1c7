"""Who is asking: from a request to a principal, and the checks that every change passes.

Studio on loopback needs no log-in; there the checks of host and origin keep other web sites out.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import Request, WebSocket
from sqlalchemy import select, update
from starlette.requests import HTTPConnection

from kos.server.core.auth.login import TOKEN_PREFIX, principal_of_cookie, principal_of_token
from kos.server.core.auth.permissions import ROLES, Principal
from kos.server.core.db.models import ApiToken, Organisation, now
from kos.server.core.problems import Forbidden, Unauthorized
from kos.server.core.services import Services

COOKIE = "kos_session"
CSRF_HEADER = "x-csrf-token"
SAFE = ("GET", "HEAD", "OPTIONS")
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


def services(request: HTTPConnection) -> Services:
    """The running parts of this server."""
    found: Services = request.app.state.services
    return found


def remote_of(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""


def identify(request: Request) -> Principal:
    """The principal of a request. Raises Unauthorized, and Forbidden for a change nobody meant."""
    principal = _principal(request)
    if request.method not in SAFE and not request.headers.get("authorization"):
        check_csrf(request, principal)
    return principal


def identify_socket(socket: WebSocket) -> Principal:
    """The principal of a WebSocket, which a browser opens for any site: the page must be one of ours."""
    origin = socket.headers.get("origin")
    if origin and urlsplit(origin).netloc != socket.headers.get("host"):
        raise Forbidden("the request comes from another site")
    return _principal(socket)


def _principal(request: HTTPConnection) -> Principal:
    own = services(request)
    remote = remote_of(request)
    authorization = request.headers.get("authorization", "")
    if authorization:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.startswith(TOKEN_PREFIX):
            raise Unauthorized("expected a bearer token", hint="make one under Access → Tokens")
        principal = _token(own, secret, remote)
        own.request_limit.spend(principal.name)
        return principal
    if own.settings.studio:
        principal = _local(request, own, remote)
    else:
        secret = request.cookies.get(COOKIE, "")
        if not secret:
            raise Unauthorized("not logged in")
        with own.database.read() as session:
            principal = principal_of_cookie(session, secret, remote)
        own.request_limit.spend(principal.name)
    return principal


def check_csrf(request: Request, principal: Principal) -> None:
    """A change from a browser carries the page's token and comes from our own pages."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden("the request comes from another site")
    shown = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(shown.encode(), principal.csrf.encode()):
        raise Forbidden("the page's token is missing or old", hint="reload the page")


def _token(own: Services, secret: str, remote: str) -> Principal:
    with own.database.read() as session:
        principal, stale = principal_of_token(session, secret, remote)
    if stale is not None:
        with own.database.write() as session:
            session.execute(update(ApiToken).where(ApiToken.id == stale).values(last_used_at=now()))
    return principal


def _local(request: HTTPConnection, own: Services, remote: str) -> Principal:
    """Studio's one user. The host header must name this machine, or another site could come by DNS."""
    host = urlsplit("//" + request.headers.get("host", "")).hostname
    if remote not in LOOPBACK_NAMES or host not in LOOPBACK_NAMES:
        raise Forbidden(
            "Studio answers on this machine only", hint="use the Fleet Server for access from elsewhere"
        )
    with own.database.read() as session:
        organisation = session.scalar(select(Organisation.id).order_by(Organisation.id).limit(1))
    if organisation is None:
        raise Unauthorized("the server is not ready")
    # A program on this machine (kos-tool) is no browser and needs no token of a page.
    browser = "sec-fetch-site" in request.headers or "origin" in request.headers
    csrf = own.studio_csrf if browser else request.headers.get(CSRF_HEADER, "")
    return Principal("developer", organisation, "admin", ROLES["admin"], None, "", csrf, remote)


def need(permission: str) -> Callable[[Request], Principal]:
    """A dependency: the principal, who must have `permission`."""

    def check(request: Request) -> Principal:
        principal = identify(request)
        if not principal.may(permission):
            raise Forbidden(f"your role {principal.role} may not do this", hint=f"needs {permission}")
        return principal

    return check
