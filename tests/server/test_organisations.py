"""Nothing is visible or changeable from another organisation: every route, tried with the other's ids."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from kos.abi import nkey
from kos.server.app import create_app
from kos.server.core.auth.limits import RateLimit
from kos.server.core.auth.passwords import TOTP_STEP, hash_password, totp_code
from kos.server.core.db.models import (
    Alarm,
    AlarmRule,
    ApiToken,
    Artifact,
    AuditEntry,
    Base,
    Device,
    DeviceEvent,
    DeviceGroup,
    LogLine,
    Membership,
    Notification,
    NotificationChannel,
    Organisation,
    Overlay,
    Point,
    PreauthorisedKey,
    Release,
    ReleaseArtifact,
    RetentionRule,
    Rollout,
    RolloutDevice,
    Series,
    TunnelPeer,
    User,
    now,
)
from kos.server.settings import Settings
from tests.server.running import DEADLINE, PASSWORD, Server

pytestmark = pytest.mark.group("server")

SECRET = "belongs-to-the-other"  # in every text of the other organisation's rows
DEVICE, DIGEST, NUMBER = "ab" * 16, "cd" * 32, 777_000
# These need no log-in and know no organisation; a log-out would end the session of the other tests.
OPEN = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/login",
    "/api/openapi.json",
    "/api/v1/login",
    "/api/v1/logout",
    "/oidc/login",
    "/oidc/callback",
}
APP = create_app(Settings(data=Path("unused"), product="fleet"))


def walk(routes: Sequence[BaseRoute]) -> Iterator[BaseRoute]:
    """All routes, also those of routers that were included."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from walk(inner.routes)


ALL = tuple(walk(APP.routes))
SOCKETS = sorted(route.path for route in ALL if isinstance(route, WebSocketRoute))
# Every route that there is: the API, downloads, pages.
ROUTES = sorted(
    (method, route.path)
    for route in ALL
    if isinstance(route, Route) and route.path not in OPEN
    for method in route.methods or ()
)


@pytest.fixture(scope="module")
def other(fleet: Server) -> Iterator[Server]:
    """An organisation with one row of everything, and a person of each."""
    with fleet.services.database.write() as session:
        organisation = Organisation(id=NUMBER, slug="other", name=SECRET, created_at=now())
        user = User(
            id=NUMBER,
            email=f"{SECRET}@example.org",
            name=SECRET,
            password_hash=hash_password(PASSWORD),
            created_at=now(),
        )
        session.add_all([organisation, user])
        session.flush()
        common: dict[str, Any] = {"id": NUMBER, "organisation_id": NUMBER}
        session.add_all(
            [
                Membership(**common, user_id=NUMBER, role="admin"),
                DeviceGroup(**common, name=SECRET, query="*"),
                PreauthorisedKey(**common, public_key=SECRET, name=SECRET, tags=[], created_at=now()),
                Artifact(sha256=DIGEST, size=1, created_at=now()),
                Overlay(
                    **common,
                    name=SECRET,
                    sha256=DIGEST,
                    document={},
                    signatures=[],
                    uploaded_by=SECRET,
                    created_at=now(),
                ),
                AlarmRule(**common, name=SECRET, series=SECRET, above=True, raise_at=1, clear_at=0),
                NotificationChannel(
                    **common,
                    name=SECRET,
                    kind="webhook",
                    severity="info",
                    shown=SECRET,
                    sealed=SECRET,
                    enabled=False,
                    created_by=SECRET,
                    created_at=now(),
                ),
                RetentionRule(**common, pattern=SECRET, days=1),
                TunnelPeer(
                    device_id=DEVICE, organisation_id=NUMBER, public_key=SECRET, network="10.99.0.0/28"
                ),
                AuditEntry(
                    **common, at=now(), actor=SECRET, action=SECRET, target="", detail={}, remote="", seal=""
                ),
                ApiToken(
                    **common,
                    user_id=NUMBER,
                    name=SECRET,
                    secret_hash=SECRET,
                    scopes=[],
                    created_at=now(),
                    expires_at=now(),
                ),
                Release(
                    **common,
                    manifest=DIGEST,
                    manifest_size=1,
                    system=SECRET,
                    version=SECRET,
                    platform=SECRET,
                    apps=[],
                    signatures=[],
                    signers=[],
                    assurance={},
                    size=1,
                    uploaded_by=SECRET,
                    created_at=now(),
                ),
            ]
        )
        session.flush()
        session.add_all(
            [
                ReleaseArtifact(release_id=NUMBER, sha256=DIGEST),
                Device(
                    id=DEVICE,
                    organisation_id=NUMBER,
                    public_key=nkey.encode(b"k" * 32),
                    status="accepted",
                    name=SECRET,
                    tags=[SECRET],
                    created_at=now(),
                    online=False,
                    system=SECRET,
                ),
                Rollout(
                    **common,
                    name=SECRET,
                    release_id=NUMBER,
                    target="*",
                    plan={"phases": ["100%"]},
                    state="paused",
                    phase_at=now(),
                    reason=SECRET,
                    created_by=SECRET,
                    created_at=now(),
                ),
            ]
        )
        session.flush()
        session.add_all(
            [
                RolloutDevice(
                    rollout_id=NUMBER, device_id=DEVICE, phase=0, state="healthy", since=now(), reason=SECRET
                ),
                Notification(
                    **common,
                    channel_id=NUMBER,
                    key=SECRET,
                    event={"id": SECRET, "kind": SECRET, "severity": "info", "title": SECRET},
                    state="waiting",
                    created_at=now(),
                    next_at=now(),
                    error=SECRET,
                ),
                Series(id=NUMBER, device_id=DEVICE, name=SECRET),
                Point(id=NUMBER, series_id=NUMBER, at=now(), value=1.0),
                LogLine(
                    id=NUMBER, device_id=DEVICE, at=now(), boot="b", seconds=1.0, app=SECRET, text=SECRET
                ),
                DeviceEvent(id=NUMBER, device_id=DEVICE, at=now(), kind=SECRET, app=SECRET, text=SECRET),
                Alarm(id=NUMBER, rule_id=NUMBER, device_id=DEVICE, raised_at=now(), value=1.0),
            ]
        )
    yield fleet


TABLES = [
    table
    for table in Base.metadata.sorted_tables
    if "organisation_id" in table.columns and table.name not in ("audit_entry", "login_session")
]


def snapshot(server: Server) -> str:
    """Everything that the other organisation has, as text."""
    with server.services.database.read() as session:
        found = {
            table.name: [
                {key: str(value) for key, value in row.items()}
                for row in session.execute(
                    select(table).where(table.c.organisation_id == NUMBER).order_by(*table.primary_key)
                ).mappings()
            ]
            for table in TABLES
        }
    return json.dumps(found, sort_keys=True)


def test_the_other_organisation_has_one_of_everything(other: Server) -> None:
    """A new table must have a row here, or nothing below would notice that it leaks."""
    found = json.loads(snapshot(other))
    assert not [name for name, rows in found.items() if not rows]


def test_every_route_is_tried() -> None:
    others = [route for route in ALL if not isinstance(route, (Route, WebSocketRoute))]
    assert [(type(route), getattr(route, "path", "")) for route in others] == [(Mount, "/static")]
    described = {
        (method.upper(), path)
        for path, methods in APP.openapi()["paths"].items()
        for method in methods
        if path not in OPEN
    }
    assert described <= set(ROUTES)
    for expected in (
        ("GET", "/artifacts/sha256/{digest}"),
        ("HEAD", "/artifacts/sha256/{digest}"),
        ("GET", "/devices/{device_id}"),
        ("GET", "/notifications"),
        ("GET", "/api/v1/export"),
    ):
        assert expected in ROUTES
    assert SOCKETS == ["/api/v1/devices/{device_id}/streams/{kind}/{app}"]


BODIES: dict[str, Any] = {
    "POST /api/v1/rollouts": {"name": "x", "release_id": NUMBER, "group_id": NUMBER},
    "POST /api/v1/members": {
        "email": "x@y.z",
        "name": "x",
        "role": "viewer",
        "group_id": NUMBER,
        "password": PASSWORD,
    },
    "PUT /api/v1/members/{member_id}": {"role": "viewer", "group_id": NUMBER},
    "PATCH /api/v1/devices/{device_id}": {"name": "taken over"},
    "PUT /api/v1/me/organisation": {"organisation_id": NUMBER},
    "PUT /api/v1/groups/{group_id}/overlay": {"overlay_id": NUMBER},
    "PUT /api/v1/devices/{device_id}/release": {"release_id": NUMBER},
    "PUT /api/v1/devices/{device_id}/overlay": {"overlay_id": NUMBER},
    "PUT /api/v1/devices/{device_id}/settings": {"settings": {"x": 1}},
    "POST /api/v1/devices/{device_id}/restart": {"app": "sensor"},
    "POST /api/v1/devices/{device_id}/rotate": {"public_key": "x"},
    "POST /api/v1/claims": {"code": "AAAAA-AAAAA"},
    "POST /api/v1/keys": {"keys": []},
}
IDS = {"device_id": DEVICE, "digest": DIGEST, "kind": "shell", "app": "sensor"}


def filled(path: str) -> str:
    """A route's path with the other organisation's ids."""
    while "{" in path:
        name = path.partition("{")[2].partition("}")[0]
        path = path.replace("{" + name + "}", str(IDS.get(name.partition(":")[0], NUMBER)))
    return path


def ask(client: httpx.Client, method: str, path: str) -> tuple[int, str]:
    body = BODIES.get(f"{method} {path}", {} if method in ("POST", "PUT", "PATCH") else None)
    # A page shows again what one has searched for.
    api = method == "GET" and path.startswith("/api")
    query = {"series": SECRET, "query": SECRET} if api else None
    with client.stream(method, filled(path), json=body, params=query) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return answer.status_code, next(answer.iter_text())
        return answer.status_code, answer.read().decode()


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[f"{method} {path}" for method, path in ROUTES])
def test_another_organisation_is_not_there(other: Server, method: str, path: str) -> None:
    client = other.login()
    before = snapshot(other)
    status, text = ask(client, method, path)
    shown = text.replace(SECRET, "", 1) if f'"{SECRET}"' in text and status == 422 else text
    assert SECRET not in shown or (status in (400, 404) and "no such" in text)
    assert snapshot(other) == before
    if "{" in path:
        assert status in (400, 404, 422), "what names one thing of another organisation finds nothing"


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[f"{method} {path}" for method, path in ROUTES])
def test_nothing_without_a_log_in(other: Server, method: str, path: str) -> None:
    with other.client() as client:
        status, text = ask(client, method, path)
    # A path or body that cannot be is refused before anybody is asked who he is; that tells nothing.
    assert status in (401, 422)
    assert SECRET not in text


def handshake(server: Server, path: str, **headers: str) -> dict[str, Any]:
    """What a WebSocket says first."""
    url = server.url.replace("http", "ws", 1) + filled(path)
    with connect(url, additional_headers=headers, open_timeout=DEADLINE) as socket:
        return json.loads(socket.recv(DEADLINE))


@pytest.mark.parametrize("path", SOCKETS)
def test_no_socket_leads_to_another_organisation(other: Server, path: str) -> None:
    client = other.login()
    before = snapshot(other)
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    said = handshake(other, path, cookie=cookie)
    assert said["closed"] == "no such device" and SECRET not in json.dumps(said)
    assert snapshot(other) == before


@pytest.mark.parametrize("path", SOCKETS)
def test_no_socket_without_a_log_in(other: Server, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        handshake(other, path)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("role", "path", "body"),
    [
        ("viewer", "/api/v1/groups", {"name": "x", "query": "*"}),
        ("operator", "/api/v1/rollouts", {"name": "x", "release_id": 1}),
        (
            "deployer",
            "/api/v1/members",
            {"email": "a@b.c", "name": "x", "role": "admin", "password": PASSWORD},
        ),
        ("auditor", "/api/v1/claims", {"code": "x"}),
    ],
)
def test_a_role_may_not_do_more(other: Server, role: str, path: str, body: dict[str, Any]) -> None:
    admin = other.login()
    email = f"{role}@example.org"
    person = {"email": email, "name": role, "password": PASSWORD, "role": role}
    assert admin.post("/api/v1/members", json=person).status_code in (201, 409)
    client = other.login(email)
    answer = client.post(path, json=body)
    assert answer.status_code == 403 and "may not" in answer.json()["detail"]


def test_a_group_limits_what_a_role_sees(other: Server) -> None:
    admin = other.login()
    with other.services.database.write() as session:
        for number, tag in enumerate(("berlin", "paris")):
            identity = f"{number}" * 32
            if session.get(Device, identity) is None:
                session.add(
                    Device(
                        id=identity,
                        organisation_id=1,
                        public_key="U",
                        status="accepted",
                        name=tag,
                        tags=[tag],
                        created_at=now(),
                    )
                )
    group = admin.post("/api/v1/groups", json={"name": "Berlin", "query": "tag:berlin"}).json()
    person = {
        "email": "berlin@example.org",
        "name": "B",
        "password": PASSWORD,
        "role": "operator",
        "group_id": group["id"],
    }
    assert admin.post("/api/v1/members", json=person).status_code == 201
    client = other.login("berlin@example.org")
    assert [one["name"] for one in client.get("/api/v1/devices").json()["devices"]] == ["berlin"]
    assert client.get(f"/api/v1/devices/{'1' * 32}").status_code == 404


def test_another_organisation_with_people_of_its_own(other: Server) -> None:
    admin = other.login()
    made = {"slug": "second", "name": "Second", "email": "second@example.org", "password": PASSWORD}
    answer = admin.post("/api/v1/organisations", json=made)
    assert answer.status_code == 201, answer.text
    assert admin.post("/api/v1/organisations", json={**made, "email": "x@y.z"}).status_code == 409
    second = other.login("second@example.org")
    assert second.get("/api/v1/devices").json()["total"] == 0
    refused = second.post("/api/v1/organisations", json={**made, "slug": "third"})
    assert refused.status_code == 403, "only the first organisation makes others"
    # One person in two organisations works in one at a time.
    person = {"email": "admin@localhost", "name": "Administrator", "role": "viewer"}
    assert second.post("/api/v1/members", json=person).status_code == 201
    mine = {one["slug"]: one for one in admin.get("/api/v1/me/organisations").json()}
    assert mine.keys() == {"default", "second"} and mine["second"]["role"] == "viewer"
    chosen = {"organisation_id": mine["second"]["id"]}
    admin.put("/api/v1/me/organisation", json=chosen).raise_for_status()
    try:
        assert admin.get("/api/v1/whoami").json()["role"] == "viewer"
        assert admin.get("/api/v1/devices").json()["total"] == 0
        assert admin.get("/api/v1/members").status_code == 403
        assert admin.put("/api/v1/me/organisation", json={"organisation_id": NUMBER}).status_code == 404
    finally:
        back = {"organisation_id": mine["default"]["id"]}
        admin.put("/api/v1/me/organisation", json=back).raise_for_status()


def test_one_time_codes_from_begin_to_end(other: Server) -> None:
    admin = other.login()
    person = {"email": "codes@example.org", "name": "C", "password": PASSWORD, "role": "viewer"}
    assert admin.post("/api/v1/members", json=person).status_code == 201
    client = other.login("codes@example.org")
    made = client.post("/api/v1/me/totp").json()
    assert made["secret"] in made["uri"] and made["picture"].startswith("data:image/svg+xml")

    # Both stay good when the next step begins meanwhile.
    now_step = int(time.time() // TOTP_STEP)
    first, second = (totp_code(made["secret"], now_step + later) for later in (0, 1))
    assert client.put("/api/v1/me/totp", json={"secret": made["secret"], "code": "000"}).status_code == 400
    client.put("/api/v1/me/totp", json={"secret": made["secret"], "code": first}).raise_for_status()
    with other.client() as fresh:
        login = {"email": "codes@example.org", "password": PASSWORD}
        assert "one-time code" in fresh.post("/api/v1/login", json=login).json()["detail"]
        assert fresh.post("/api/v1/login", json={**login, "code": first}).status_code == 401, "it was used"
        assert fresh.post("/api/v1/login", json={**login, "code": second}).status_code == 200
        assert fresh.post("/api/v1/login", json={**login, "code": second}).status_code == 401
    with other.services.database.write() as session:  # as if half a minute had passed
        session.execute(update(User).where(User.email == "codes@example.org").values(totp_step=0))
    off = {"password": "not the password", "code": second}
    assert client.post("/api/v1/me/totp/off", json=off).status_code == 403
    client.post("/api/v1/me/totp/off", json={**off, "password": PASSWORD}).raise_for_status()
    with other.client() as fresh:
        assert fresh.post("/api/v1/login", json=login).status_code == 200


def test_a_person_of_a_group_decides_for_that_group_only(other: Server) -> None:
    admin = other.login()
    group = admin.post("/api/v1/groups", json={"name": "narrow", "query": "tag:narrow"}).json()
    person = {"email": "narrow@example.org", "name": "N", "password": PASSWORD, "role": "deployer"}
    made = admin.post("/api/v1/members", json={**person, "group_id": group["id"]})
    assert made.status_code == 201
    client = other.login("narrow@example.org")
    path = f"/api/v1/groups/{group['id']}"
    assert client.put(f"{path}/overlay", json={"overlay_id": None}).status_code == 403
    assert client.delete(path).status_code == 403
    assert client.post("/api/v1/groups", json={"name": "wide", "query": "*"}).status_code == 403


def test_one_client_does_not_take_all(other: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = other.login()
    made = admin.post("/api/v1/tokens", json={"name": "busy", "scopes": ["devices.read"]}).json()
    monkeypatch.setattr(other.services, "request_limit", RateLimit(burst=3, per_minute=0.001))
    with other.client(authorization=f"Bearer {made['token']}") as client:
        answers = [client.get("/api/v1/devices").status_code for _ in range(5)]
    assert answers == [200, 200, 200, 429, 429]
    assert admin.get("/api/v1/devices").status_code == 200, "the others go on"


def test_a_token_does_what_its_scopes_say_until_it_ends(other: Server) -> None:
    admin = other.login()
    made = admin.post("/api/v1/tokens", json={"name": "ci", "scopes": ["releases.read"]}).json()
    with other.client(authorization=f"Bearer {made['token']}") as client:
        assert client.get("/api/v1/releases").status_code == 200
        assert client.get("/api/v1/devices").status_code == 403
        assert client.get("/api/v1/members").status_code == 403
        assert admin.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
        assert client.get("/api/v1/releases").status_code == 401
    assert "token" not in admin.get("/api/v1/tokens").text.replace("tokens", "")
