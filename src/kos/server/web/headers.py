"""Headers of every answer and the size of every request: plain ASGI, before anything is parsed."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kos.server.core.problems import problem

BODY_MAX = 1 << 20  # bytes of a request, except uploads, which count for themselves
UPLOADS = ("/api/v1/releases", "/api/v1/overlays/archive")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # uPlot and Cytoscape set sizes by style
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Headers:
    """Adds the headers and turns large requests away."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.pairs = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.pairs]
            await send(message)

        upload = scope["path"].startswith(UPLOADS)
        if not upload and _declared(scope) > BODY_MAX:
            await problem(413, f"at most {BODY_MAX} bytes")(scope, receive, send_more)
            return
        await self.app(scope, receive if upload else _counting(receive), send_more)


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _counting(receive: Receive) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message: dict[str, Any] = dict(await receive())
        seen += len(message.get("body", b""))
        if seen > BODY_MAX:
            # As if the client had gone: whatever reads the body stops here.
            return {"type": "http.disconnect"}
        return message

    return counted
