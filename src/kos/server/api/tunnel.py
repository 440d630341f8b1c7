"""The gateway of the devices' tunnels: what it is, who is behind it, whose key and addresses are whose."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Interface
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from kos.abi.errors import KosError
from kos.server.api.common import (
    ERRORS,
    Body,
    CanManageDevices,
    CanReadDevices,
    DeviceId,
    Own,
    View,
    device_of,
    devices_of,
)
from kos.server.core.db.models import Device
from kos.server.core.devices.tunnels import Networks, set_tunnel
from kos.server.core.problems import NotFound, Unavailable
from kos.server.core.services import Services

router = APIRouter(prefix="/api/v1", tags=["devices"], responses=ERRORS)


class WantedTunnel(Body):
    public_key: Annotated[str, Field(max_length=64)]
    network: Annotated[str, Field(max_length=18)] = ""


class Provisioning(View):
    """What a device's `keys/tunnel.json` must say; "" where this server does not know it."""

    peer_endpoint: str
    peer_public_key: str
    network: str


class GatewayPeer(View):
    device: str
    endpoint: str
    last_handshake: float
    rx_bytes: int
    tx_bytes: int


class GatewayView(View):
    """The running gateway: `devices` are one's own, `counters` those of the whole installation."""

    public_key: str
    port: int
    address: str
    endpoint: str
    services: dict[str, int]
    devices: list[GatewayPeer]
    counters: dict[str, int]
    connections: dict[str, int]


def provisioning(own: Services, network: str) -> Provisioning:
    ready = own.gateway.ready if own.gateway else {}
    return Provisioning(
        peer_endpoint=own.settings.gateway_endpoint,
        peer_public_key=str(ready.get("public_key", "")),
        network=network,
    )


@router.put("/devices/{device_id}/tunnel")
async def give_tunnel(
    own: Own, principal: CanManageDevices, device_id: DeviceId, body: WantedTunnel
) -> Provisioning:
    """Let a device use the gateway with this key, from the addresses `network` or free ones."""

    def change() -> str:
        with own.database.write() as session:
            device = device_of(session, principal, device_id)
            networks = Networks(session, IPv4Interface(own.settings.gateway_address))
            return set_tunnel(session, principal, networks, device.id, body.public_key, body.network).network

    network = await asyncio.to_thread(change)
    own.devices_changed()
    return provisioning(own, network)


@router.get("/gateway")
async def show_gateway(own: Own, principal: CanReadDevices) -> GatewayView:
    """The gateway and the devices behind it."""
    if own.gateway is None:
        raise NotFound("this server runs no gateway", hint="server.start --gateway")
    try:
        status: dict[str, Any] = await own.gateway.status()
    except KosError as error:
        raise Unavailable(error.message) from error

    def mine() -> set[str]:
        with own.database.read() as session:
            return set(session.scalars(devices_of(principal).with_only_columns(Device.id)))

    known = await asyncio.to_thread(mine)
    ready = own.gateway.ready
    return GatewayView(
        public_key=ready["public_key"],
        port=ready["port"],
        address=ready["address"],
        endpoint=own.settings.gateway_endpoint,
        services=ready["services"],
        devices=[GatewayPeer(**peer) for peer in status["devices"] if peer["device"] in known],
        counters=status["counters"],
        connections=status["connections"],
    )
