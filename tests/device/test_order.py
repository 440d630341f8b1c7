"""Who waits for whom."""

from __future__ import annotations

from kos.device.order import dependencies
from kos.manifest.images import ServiceImage
from kos.manifest.model import AccessControl, App, Manifest, MsgServer
from kos.manifest.options import Options


def system(**apps: dict[str, str]) -> Manifest:
    """Apps with port → role on one message server."""
    ports = sorted({port for access in apps.values() for port in access})
    made = {
        name: App(
            name,
            ServiceImage("kos.services.test:main"),
            access={"msg0": {port: AccessControl(role) for port, role in access.items()}} if access else {},
        )
        for name, access in apps.items()
    }
    return Manifest("test", "1", "host", Options(), {"msg0": MsgServer(ports)}, made)


def test_clients_wait_for_servers() -> None:
    needs, broken = dependencies(
        system(a={"x": "client"}, b={"x": "server", "y": "client"}, c={"y": "server"}, d={})
    )
    assert needs == {"a": {"b"}, "b": {"c"}, "c": set(), "d": set()}
    assert broken == []


def test_a_port_without_server_is_waited_for_by_nobody() -> None:
    assert dependencies(system(a={"x": "client"}))[0] == {"a": set()}


def test_cycles_are_broken_and_told() -> None:
    needs, broken = dependencies(
        system(a={"x": "server", "y": "client"}, b={"x": "client", "y": "server"}, c={"x": "client"})
    )
    assert len(broken) == 1 and sorted(broken[0]) == ["a", "b"]
    assert needs == {"a": {"b"}, "b": set(), "c": {"a"}}


def test_several_cycles() -> None:
    needs, broken = dependencies(
        system(
            a={"pa": "server", "pb": "client"},
            b={"pb": "server", "pc": "client", "pa": "client"},
            c={"pc": "server", "pa": "client"},
        )
    )
    assert len(broken) == 2
    order: list[str] = []
    while len(order) < 3:
        free = [name for name in needs if name not in order and needs[name] <= set(order)]
        assert free
        order += free
