"""Templates: one environment, the values that every page has, and the little formats."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kos.abi.session import refused
from kos.abi.version import VERSION
from kos.server.core.auth.guard import identify, services
from kos.server.core.auth.permissions import Principal
from kos.server.core.problems import MORE_HEADERS, DatabaseAway, Problem, Unauthorized
from kos.server.web.crash import crash_of

FOLDER = Path(__file__).parent


def ago(at: int | None) -> str:
    """How long ago, in one unit."""
    if not at:
        return "never"
    seconds = max(0, time.time() - at / 1000)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now" if seconds < 5 else f"{seconds:.0f} s ago"


def size(number: float | None) -> str:
    """Bytes for people."""
    value = float(number or 0)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return ""


def metric(value: float, name: str) -> str:
    """A metric of a device, as its name says what it counts."""
    if any(word in name for word in ("memory", "storage", "network", "bytes")):
        return size(value)
    if "temperature" in name:
        return f"{value:.1f} °C"
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}" if abs(value) < 100 else f"{value:.3g}"


def when(at: int | None) -> str:
    """Date and time, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at / 1000)) if at else ""


ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {
    "ago": ago,
    "size": size,
    "when": when,
    "metric": metric,
    "short": lambda text: (text or "")[:12],
}
ENVIRONMENT.filters |= {"refused": refused, "crash": crash_of}


def page(request: Request, template: str, principal: Principal | None, **values: Any) -> HTMLResponse:
    """One page or fragment."""
    settings = services(request).settings
    text = ENVIRONMENT.get_template(template).render(
        principal=principal,
        studio=settings.studio,
        product=settings.product,
        version=VERSION,
        path=request.url.path,
        may=principal.may if principal else lambda _permission: False,
        **values,
    )
    return HTMLResponse(text, headers={"Cache-Control": "no-store"})


def visitor(request: Request) -> Principal:
    """The principal of a page."""
    return identify(request)


def problem_page(request: Request, error: Problem) -> Response:
    """A refusal as a page; whoever is not logged in goes to the log-in."""
    if isinstance(error, Unauthorized) and "hx-request" not in request.headers:
        return RedirectResponse(f"/login?next={quote(request.url.path)}", 303)
    response = page(request, "problem.html", None, error=error, waits=isinstance(error, DatabaseAway))
    response.status_code = error.status
    response.headers.update(MORE_HEADERS.get(error.status, {}))
    return response
