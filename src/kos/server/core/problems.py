"""Errors as a client sees them: RFC 9457 problem details. A 500 carries an id, never an exception's text."""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from kos.abi.errors import KosError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(KosError):
    """A refusal with its HTTP status."""

    status = 400


class Unauthorized(Problem):
    status = 401


class Forbidden(Problem):
    status = 403


class NotFound(Problem):
    status = 404


class Conflict(Problem):
    status = 409


class TooLarge(Problem):
    status = 413


class TooMany(Problem):
    status = 429


class Unavailable(Problem):
    status = 503


class DatabaseAway(Unavailable):
    """What a request is told that the database did not serve."""

    def __init__(self) -> None:
        super().__init__("the database is away", hint="try again in a moment")


RETRY_AFTER = 2  # seconds: what is away is most often back soon
MORE_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_AFTER)}}
RETRY_HEADER = {
    "Retry-After": {"description": "Seconds until it is worth asking again", "schema": {"type": "integer"}}
}


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "hint": {"type": "string"},
        "id": {"type": "string"},
    },
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI `responses` of an endpoint that may answer with these problems."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": SCHEMA}},
            **({"headers": RETRY_HEADER} if status == 503 else {}),
        }
        for status in statuses
    }


def problem(status: int, detail: str = "", **more: str | None) -> JSONResponse:
    """One problem as a response."""
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        body["detail"] = detail
    body |= {key: value for key, value in more.items() if value}
    return JSONResponse(body, status, headers=MORE_HEADERS.get(status), media_type=MEDIA_TYPE)


async def on_kos_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, KosError)
    status = error.status if isinstance(error, Problem) else 400
    # `where` may be a path of this machine, which is nobody's business.
    return problem(status, error.message, hint=error.hint)


async def on_http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail))


async def on_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return problem(422, f"{where}: {first['msg']}")


async def on_bug(request: Request, _error: Exception) -> JSONResponse:
    number = secrets.token_hex(6)
    log.error("error %s in %s %s", number, request.method, request.url.path)
    return problem(500, "the server failed; its log has more", id=number)


def install(app: FastAPI) -> None:
    """Give every error of `app` this shape."""
    app.add_exception_handler(KosError, on_kos_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_bug)
