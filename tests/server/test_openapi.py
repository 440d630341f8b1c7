"""Generated requests over the whole OpenAPI: no 5xx, no answer that is not described."""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kos.server.app import create_app
from kos.server.settings import Settings
from tests.server.running import Server

pytestmark = pytest.mark.group("server")

# Streams have no end; a log-out would end the session that all others use, as would a new password.
LEFT_OUT = (
    "/api/v1/live",
    "/api/v1/devices/{device_id}/console",
    "/api/v1/login",
    "/api/v1/logout",
    "/api/v1/me/password",
)
DOCUMENT = create_app(Settings(data=Path("unused"), product="fleet")).openapi()
# An archive is not generated: uploads have tests of their own.
NO_BODY = (("/api/v1/releases", "post"), ("/api/v1/overlays/archive", "post"))
ROUTES = [
    (path, method)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if path not in LEFT_OUT and (path, method) not in NO_BODY
]
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.mark.parametrize(("path", "method"), ROUTES, ids=[f"{method} {path}" for path, method in ROUTES])
def test_every_route(fleet: Server, path: str, method: str) -> None:
    client = fleet.login()
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method.upper()]

    @settings(
        max_examples=10,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        headers = {"x-csrf-token": client.headers["x-csrf-token"]}
        response = case.call(base_url=fleet.url, headers=headers, cookies=dict(client.cookies))
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=CHECKS)

    check()
