"""Generated requests over the whole OpenAPI: no 5xx, no answer that is not described."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import select

from kos.server.app import create_app
from kos.server.core.auth.limits import RateLimit
from kos.server.core.auth.login import open_session
from kos.server.core.db.models import Membership, User
from kos.server.settings import Settings
from tests.server.archives import archive, overlay_archive
from tests.server.fixtures import fleet_server
from tests.server.running import PASSWORD, Server

pytestmark = pytest.mark.group("server")

DOCUMENT = create_app(Settings(data=Path("unused"), product="fleet")).openapi()
ROUTES = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
# Streams have no end: what they answer with and their first words are looked at.
STREAMS = ("/api/v1/live", "/api/v1/devices/{device_id}/console")
LOGIN = "/api/v1/login"
LOGOUT = "/api/v1/logout"
UNLIMITED = 1 << 30
UNGUESSED = 1_723_905_461


def _archives() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [archive(Path(folder)).read_bytes(), overlay_archive(Path(folder)).read_bytes()]


@st.composite
def _damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """An archive that was cut, changed, lengthened, or had a part of it doubled."""
    begin = draw(st.integers(0, len(good)))
    end = draw(st.integers(begin, len(good)))
    put_in = draw(st.binary(max_size=64) | st.just(good[begin:end]))
    return good[:begin] + put_in + good[end:]


GOOD = _archives()
schemathesis.openapi.media_type(
    "application/zip",
    st.one_of(st.binary(max_size=4096), *(st.just(one) | _damaged(one) for one in GOOD)),
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One whose limits do not hide what is behind them: that they hold has tests of its own."""
    with fleet_server(tmp_path_factory.mktemp("fleet")) as server:
        limits = [one for one in vars(server.services).values() if isinstance(one, RateLimit)]
        assert len(limits) >= 4
        for limit in limits:
            limit.burst = UNLIMITED
            limit.forget()
        with server.services.database.write() as session:
            (member,) = session.scalars(select(Membership)).all()
            member.id = UNGUESSED  # else a generated request makes a viewer of who sends the next one
        yield server


def every_case(path: str, method: str, check: Callable[[schemathesis.Case], None]) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method.upper()]

    @settings(
        max_examples=10,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def run(case: schemathesis.Case) -> None:
        check(case)

    run()


def judged(server: Server, case: schemathesis.Case, client: httpx.Client, **cookies: str) -> Any:
    """The answer, which must be one that is described."""
    headers = {"x-csrf-token": client.headers["x-csrf-token"]}
    response = case.call(base_url=server.url, headers=headers, cookies={**dict(client.cookies), **cookies})
    assert response.status_code < 500, response.text
    assert response.status_code != 429, "a limit hides what is behind it"
    case.validate_response(response, checks=CHECKS)
    return response


def a_session(server: Server) -> str:
    """The cookie of one more session, which may be ended."""
    with server.services.database.write() as session:
        admin = session.scalars(select(User).where(User.email == "admin@localhost")).one()
        return open_session(session, admin, "test")


@pytest.mark.parametrize(
    ("path", "method"),
    [one for one in ROUTES if one[0] not in STREAMS],
    ids=lambda one: one,
)
def test_every_route(fleet: Server, path: str, method: str) -> None:
    client = fleet.login()

    def check(case: schemathesis.Case) -> None:
        judged(fleet, case, client, **({"kos_session": a_session(fleet)} if path == LOGOUT else {}))

    every_case(path, method, check)


@pytest.mark.parametrize("path", STREAMS)
def test_every_stream(fleet: Server, path: str) -> None:
    client = fleet.login()
    described = DOCUMENT["paths"][path]["get"]["responses"]

    def check(case: schemathesis.Case) -> None:
        arguments = case.as_transport_kwargs(base_url=fleet.url)
        with client.stream("GET", arguments["url"], params=arguments.get("params")) as answer:
            status = str(answer.status_code)
            kind = answer.headers["content-type"].partition(";")[0]
            assert status in described and kind in described[status]["content"]
            if status == "200":
                assert next(answer.iter_text()).startswith("event: ")

    every_case(path, "get", check)


def test_a_stream_of_a_device_begins(fleet: Server) -> None:
    with fleet.login().stream("GET", "/api/v1/live") as answer:
        assert answer.status_code == 200 and next(answer.iter_text()).startswith("event: hello")


# --- what is generated seldom gets through: the same routes with bodies that are right ----------------------
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/releases", GOOD[0], 201),
        ("POST", "/api/v1/overlays/archive?name=x", GOOD[1], 201),
        ("POST", LOGIN, {"email": "admin@localhost", "password": PASSWORD}, 200),
        ("POST", LOGIN, {"email": "admin@localhost", "password": "wrong"}, 401),
        ("PUT", "/api/v1/me/password", {"old": PASSWORD, "new": PASSWORD}, 200),
        ("PUT", "/api/v1/me/password", {"old": "wrong", "new": PASSWORD}, 403),
        ("PUT", "/api/v1/retention", {"pattern": "sensor/*", "days": 1}, 200),
        ("PUT", "/api/v1/retention", {"pattern": "sensor/*", "days": 31}, 400),
        (
            "POST",
            "/api/v1/notifications/channels",
            {"name": "x", "kind": "webhook", "target": "https://example.org/hook"},
            201,
        ),
    ],
    ids=lambda one: str(one)[:60] if isinstance(one, str) else "",
)
def test_a_right_body(fleet: Server, method: str, path: str, body: Any, status: int) -> None:
    client = fleet.login()
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    if path == LOGIN:  # the client that all share must keep its session
        with fleet.client() as visitor:
            answer = visitor.request(method, path, **sent)
    else:
        answer = client.request(method, path, **sent)
    assert answer.status_code == status, answer.text
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path.partition("?")[0]][method]
    operation.validate_response(answer)
