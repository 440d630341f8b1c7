"""Log-in through the operator's identity provider: away to it, and back."""

from __future__ import annotations

import asyncio
import hmac
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from kos.server.api.common import ERRORS, Own
from kos.server.api.session import set_session
from kos.server.core.auth.guard import remote_of
from kos.server.core.auth.login import open_session, user_of_claims
from kos.server.core.auth.oidc import FLOW_LIFE, Flow
from kos.server.core.problems import NotFound, Unauthorized
from kos.server.core.services import Services
from kos.server.web.render import page

router = APIRouter(prefix="/oidc", tags=["session"], responses=ERRORS)

COOKIE = "kos_oidc"
REDIRECT = {303: {"description": "To the identity provider"}}


def _back(request: Request, own: Services) -> str:
    """The address that the provider sends the browser back to, as it is registered there."""
    base = own.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
    return f"{base}/oidc/callback"


@router.get("/login", response_class=RedirectResponse, status_code=303, responses=REDIRECT)
async def oidc_login(request: Request, own: Own) -> Response:
    """Go to the identity provider."""
    if not own.settings.oidc_issuer:
        raise NotFound("no identity provider is set up")
    own.login_limit.spend(remote_of(request))
    flow = Flow.begin()
    url = await asyncio.to_thread(own.oidc.redirect, flow, _back(request, own))
    response = RedirectResponse(url, 303)
    response.set_cookie(
        COOKIE,
        flow.sealed(own.tokens.secret),
        max_age=int(FLOW_LIFE),
        httponly=True,
        samesite="lax",  # the way back is a navigation from the provider's site
        secure=own.settings.cookie_secure,
        path="/oidc",
    )
    return response


@router.get("/callback", response_class=HTMLResponse)
async def oidc_callback(
    request: Request,
    own: Own,
    code: Annotated[str, Query(max_length=4096)] = "",
    state: Annotated[str, Query(max_length=256)] = "",
) -> Response:
    """Back from the identity provider: begin a session."""
    if not own.settings.oidc_issuer:
        raise NotFound("no identity provider is set up")
    own.login_limit.spend(remote_of(request))
    flow = Flow.opened(request.cookies.get(COOKIE, ""), own.tokens.secret)
    if not code or not hmac.compare_digest(state.encode(), flow.state.encode()):
        raise Unauthorized("the identity provider did not accept the log-in", hint="begin again")
    claims = await asyncio.to_thread(own.oidc.finish, flow, code, _back(request, own))

    def begin() -> str:
        with own.database.write() as session:
            return open_session(session, user_of_claims(session, claims), remote_of(request))

    secret = await asyncio.to_thread(begin)
    # Not a redirect: a strict cookie is not sent on a navigation that began on the provider's site.
    response = page(request, "logged_in.html", None)
    set_session(response, own, secret)
    response.delete_cookie(COOKIE, path="/oidc")
    return response
