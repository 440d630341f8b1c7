"""Devices: list, show, decide about, edit, ask."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Interface
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import select

from kos.abi import nkey
from kos.abi.errors import KosError
from kos.abi.session import METHOD_GRAPH, METHOD_RESTART
from kos.server.api.common import (
    ERRORS,
    Body,
    CanManageDevices,
    CanOperateDevices,
    CanReadDevices,
    DeviceId,
    Limit,
    Offset,
    Own,
    View,
    count,
    device_of,
    devices_of,
    own_row,
)
from kos.server.core.auth import audit
from kos.server.core.auth.passwords import hash_secret, new_secret
from kos.server.core.db.models import Device, Overlay, PreauthorisedKey, Release
from kos.server.core.devices import actions
from kos.server.core.devices.desired import set_overlay, set_release, set_settings
from kos.server.core.devices.identity import ACCEPTED
from kos.server.core.devices.tunnels import Networks, set_tunnel
from kos.server.core.problems import Conflict, Unavailable

router = APIRouter(prefix="/api/v1", tags=["devices"], responses=ERRORS)

KEYS_AT_ONCE_MAX = 10_000
SilentError = Unavailable


class DeviceView(View):
    """A device as clients see it."""

    id: str
    name: str
    status: str
    tags: list[str]
    online: bool
    last_seen_at: int
    platform: str
    system: str
    agent: str
    generation: int
    running: str | None
    running_overlay: str | None
    healthy: bool
    release_id: int | None
    overlay_id: int | None
    overlay_group_id: int | None
    desired_version: int
    update_version: int
    update_state: str
    update_progress: float
    update_reason: str
    created_at: int


class DeviceDetail(DeviceView):
    """A device with everything it last said."""

    public_key: str
    claim_code: str
    boot: str
    apps: dict[str, Any]
    metrics: dict[str, Any]
    settings: dict[str, Any]


class DeviceList(View):
    total: int
    devices: list[DeviceView]


class DeviceEdit(Body):
    name: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    tags: Annotated[list[str], Field(max_length=32)] | None = None


class Claim(Body):
    code: Annotated[str, Field(max_length=32)]


class KeyEntry(Body):
    public_key: Annotated[str, Field(max_length=64)]
    name: Annotated[str, Field(max_length=128)] = ""
    tags: Annotated[list[str], Field(max_length=32, default_factory=list)]
    tunnel_key: Annotated[str, Field(max_length=64)] = ""
    network: Annotated[str, Field(max_length=18)] = ""


class Keys(Body):
    keys: Annotated[list[KeyEntry], Field(max_length=KEYS_AT_ONCE_MAX)]


class KeyView(View):
    public_key: str
    name: str
    tags: list[str]


class NewKey(Body):
    public_key: Annotated[str, Field(max_length=64)]


class WantedRelease(Body):
    release_id: Annotated[int, Field(ge=1, le=1 << 53)]


class WantedOverlay(Body):
    overlay_id: Annotated[int, Field(ge=1, le=1 << 53)] | None


class WantedSettings(Body):
    settings: dict[str, Any]


class RestartApp(Body):
    app: Annotated[str, Field(max_length=64)]


def detail(device: Device) -> DeviceDetail:
    code = nkey.claim_code(nkey.decode(device.public_key))
    plain = DeviceView.model_validate(device).model_dump()
    return DeviceDetail(
        **plain,
        public_key=device.public_key,
        claim_code=code,
        boot=device.boot,
        apps=device.apps,
        metrics=device.metrics,
        settings=device.settings,
    )


@router.get("/devices")
def list_devices(
    own: Own,
    principal: CanReadDevices,
    query: Annotated[str, Query(max_length=512)] = "",
    limit: Limit = 100,
    offset: Offset = 0,
) -> DeviceList:
    """Devices that match a query such as `tag:lab online:true`."""
    with own.database.read() as session:
        chosen = devices_of(principal, query)
        rows = session.scalars(chosen.order_by(Device.name, Device.id).limit(limit).offset(offset))
        return DeviceList(
            total=count(session, chosen), devices=[DeviceView.model_validate(row) for row in rows]
        )


@router.get("/devices/{device_id}")
def show_device(own: Own, principal: CanReadDevices, device_id: DeviceId) -> DeviceDetail:
    """One device with all that it last said."""
    with own.database.read() as session:
        return detail(device_of(session, principal, device_id))


@router.patch("/devices/{device_id}")
def edit_device(own: Own, principal: CanManageDevices, device_id: DeviceId, body: DeviceEdit) -> DeviceDetail:
    """Rename or tag."""
    with own.database.write() as session:
        device = device_of(session, principal, device_id)
        actions.edit(session, principal, device, body.name, body.tags)
        return detail(device)


async def _decide(own: Own, principal: CanManageDevices, device_id: str, action: str) -> DeviceDetail:
    def change() -> DeviceDetail:
        with own.database.write() as session:
            device = device_of(session, principal, device_id)
            actions.decide(session, principal, device, action)
            return detail(device)

    result = await asyncio.to_thread(change)
    # What a connection may do is fixed when it logs in: it must log in anew.
    own.bus.disconnect_device(device_id)
    own.devices_changed()
    await own.live.tell(principal.organisation_id, "device", device=device_id)
    return result


@router.post("/devices/{device_id}/accept")
async def accept_device(own: Own, principal: CanManageDevices, device_id: DeviceId) -> DeviceDetail:
    """Let a pending device in."""
    return await _decide(own, principal, device_id, "accept")


@router.post("/devices/{device_id}/reject")
async def reject_device(own: Own, principal: CanManageDevices, device_id: DeviceId) -> DeviceDetail:
    """Turn a pending device away."""
    return await _decide(own, principal, device_id, "reject")


@router.post("/devices/{device_id}/revoke")
async def revoke_device(own: Own, principal: CanManageDevices, device_id: DeviceId) -> DeviceDetail:
    """End a device's access, now and for good."""
    return await _decide(own, principal, device_id, "revoke")


@router.post("/devices/{device_id}/rotate")
async def rotate_key(
    own: Own, principal: CanManageDevices, device_id: DeviceId, body: NewKey
) -> DeviceDetail:
    """A new key for the same device; the old one is revoked."""

    def change() -> DeviceDetail:
        with own.database.write() as session:
            device = device_of(session, principal, device_id)
            successor = actions.rotate(session, principal, device, body.public_key)
            session.flush()
            return detail(successor)

    result = await asyncio.to_thread(change)
    own.bus.disconnect_device(device_id)
    own.devices_changed()
    return result


@router.post("/devices/{device_id}/mqtt", status_code=201)
def new_mqtt_password(own: Own, principal: CanManageDevices, device_id: DeviceId) -> dict[str, str]:
    """A password for the device's own MQTT clients, shown once. The user name is the device's id."""
    password = new_secret()
    with own.database.write() as session:
        device = device_of(session, principal, device_id)
        device.mqtt_hash = hash_secret(password)
        audit.record(session, principal, "device.mqtt", device.id)
    return {"user": device_id, "password": password}


@router.post("/claims")
async def claim_device(own: Own, principal: CanManageDevices, body: Claim) -> DeviceDetail:
    """Take a waiting device by its claim code."""
    own.claim_limit.spend(f"{principal.organisation_id} {principal.remote}")

    def change() -> DeviceDetail:
        with own.database.write() as session:
            return detail(actions.claim(session, principal, body.code))

    result = await asyncio.to_thread(change)
    own.bus.disconnect_device(result.id)
    own.devices_changed()
    return result


@router.get("/keys")
def list_keys(own: Own, principal: CanReadDevices, limit: Limit = 100, offset: Offset = 0) -> list[KeyView]:
    """Keys that are announced and have not shown up yet."""
    with own.database.read() as session:
        chosen = (
            select(PreauthorisedKey)
            .where(PreauthorisedKey.organisation_id == principal.organisation_id)
            .order_by(PreauthorisedKey.id)
        )
        return [KeyView.model_validate(row) for row in session.scalars(chosen.limit(limit).offset(offset))]


@router.post("/keys", status_code=201)
async def announce_keys(own: Own, principal: CanManageDevices, body: Keys) -> dict[str, Any]:
    """Announce keys, so that their devices are accepted at once. All or none.

    With its `tunnel_key` a device may use the gateway from now on, from the addresses `network` or free ones.
    """

    def change() -> list[dict[str, str]]:
        with own.database.write() as session:
            networks = Networks(session, IPv4Interface(own.settings.gateway_address))
            tunnels = []
            for entry in body.keys:
                actions.announce(session, principal, entry.public_key, entry.name, entry.tags)
                if entry.tunnel_key:
                    device = nkey.device_id(nkey.decode(entry.public_key))
                    tunnel = set_tunnel(session, principal, networks, device, entry.tunnel_key, entry.network)
                    tunnels.append({"device": device, "name": entry.name, "network": tunnel.network})
            return tunnels

    made = await asyncio.to_thread(change)
    own.devices_changed()
    return {"announced": len(body.keys), "tunnels": made}


# --- what a device should be --------------------------------------------------------------------------------
def accepted(session: Any, principal: Any, device_id: str) -> Device:
    """A device of the principal's own that has been let in."""
    device = device_of(session, principal, device_id)
    if device.status != ACCEPTED:
        raise Conflict(f"the device is {device.status}")
    return device


@router.put("/devices/{device_id}/release")
async def upgrade_device(
    own: Own, principal: CanManageDevices, device_id: DeviceId, body: WantedRelease
) -> DeviceDetail:
    """Upgrade (or go back) to a release."""

    def change() -> DeviceDetail:
        with own.database.write() as session:
            device = accepted(session, principal, device_id)
            release = own_row(session, principal, Release, body.release_id, "release")
            set_release(session, device, release)
            audit.record(session, principal, "device.upgrade", device.id, release=release.manifest)
            return detail(device)

    result = await asyncio.to_thread(change)
    await own.sessions.push_desired([device_id])
    await own.live.tell(principal.organisation_id, "device", device=device_id)
    return result


@router.put("/devices/{device_id}/overlay")
async def activate_overlay(
    own: Own, principal: CanManageDevices, device_id: DeviceId, body: WantedOverlay
) -> DeviceDetail:
    """Lay an overlay over the device's release, or take it away (null)."""

    def change() -> DeviceDetail:
        with own.database.write() as session:
            device = accepted(session, principal, device_id)
            overlay = (
                None
                if body.overlay_id is None
                else own_row(session, principal, Overlay, body.overlay_id, "overlay")
            )
            set_overlay(session, device, overlay, own.blobs)
            audit.record(session, principal, "device.overlay", device.id, overlay=body.overlay_id)
            return detail(device)

    result = await asyncio.to_thread(change)
    await own.sessions.push_desired([device_id])
    return result


@router.put("/devices/{device_id}/settings")
async def change_settings(
    own: Own, principal: CanManageDevices, device_id: DeviceId, body: WantedSettings
) -> DeviceDetail:
    """Replace the settings that the device gets; `heartbeat` is in seconds."""

    def change() -> DeviceDetail:
        with own.database.write() as session:
            device = accepted(session, principal, device_id)
            set_settings(session, device, body.settings)
            audit.record(session, principal, "device.settings", device.id)
            return detail(device)

    result = await asyncio.to_thread(change)
    await own.sessions.push_desired([device_id])
    return result


# --- asking a device ----------------------------------------------------------------------------------------
async def ask(
    own: Own, principal: Any, device_id: str, method: str, params: dict[str, Any], record: bool = True
) -> dict[str, Any]:
    """One request to a device of the principal's own."""

    def check() -> None:
        with own.database.write() if record else own.database.read() as session:
            device = accepted(session, principal, device_id)
            if not device.online:
                raise SilentError("the device is offline")
            if record:
                audit.record(session, principal, f"device.{method}", device_id, **params)

    await asyncio.to_thread(check)
    return await own.bus.request(device_id, method, params)


@router.post("/devices/{device_id}/restart")
async def restart_app(
    own: Own, principal: CanOperateDevices, device_id: DeviceId, body: RestartApp
) -> dict[str, Any]:
    """Restart one app."""
    return await ask(own, principal, device_id, METHOD_RESTART, {"app": body.app})


class GraphEdge(View):
    client: str
    port: str
    server: str


class Graph(View):
    apps: dict[str, dict[str, Any]]
    edges: list[GraphEdge]


@router.get("/devices/{device_id}/graph")
async def device_graph(own: Own, principal: CanReadDevices, device_id: DeviceId) -> Graph:
    """The apps and the ports between them, as the device runs them now."""
    found = await ask(own, principal, device_id, METHOD_GRAPH, {}, record=False)

    def states() -> dict[str, dict[str, Any]]:
        with own.database.read() as session:
            return device_of(session, principal, device_id).apps

    return merge_graph(found.get("graph"), await asyncio.to_thread(states))


def merge_graph(graph: Any, states: dict[str, dict[str, Any]]) -> Graph:
    """The device's grants as edges from client to server, with each app's last reported state."""
    if not isinstance(graph, dict):
        raise KosError("the device sent no graph")
    served, used = {}, []
    for grant in graph.get("edges", []):
        port = (grant["msg_server"], grant["port"])
        if grant["role"] == "server":
            served[port] = grant["app"]
        else:
            used.append((grant["app"], port))
    edges = [GraphEdge(client=app, port=port[1], server=served[port]) for app, port in used if port in served]
    apps = {name: states.get(name, {"state": "unknown", "restarts": 0}) for name in graph.get("apps", [])}
    return Graph(apps=apps, edges=edges)
