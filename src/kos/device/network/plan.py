"""The network of one system as plain data: what the keeper builds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface

from kos.abi.hints import Any
from kos.abi.records import asdict, dataclass, field
from kos.abi.services import PORT_ETHERNET, PORT_MQTT
from kos.manifest.model import Manifest
from kos.manifest.resources import Network
from kos.manifest.tunnel_ips import (
    TunnelSettings,
    allow_lists,
    check_tunnel_ips,
    connected_apps,
    parse_settings,
    tunnel_app,
    tunnel_ips,
)

_ROLES = {PORT_ETHERNET: "ethernet", PORT_MQTT: "mqtt"}


@dataclass(frozen=True)
class AppPlan:
    """The network of one app: with `address` "" a loopback only. `allow` None is all that the tunnel
    reaches.
    """

    name: str
    address: str
    gateway: str
    allow: tuple[tuple[str, str, int], ...] | None = None

    @property
    def interface(self) -> IPv4Interface:
        return IPv4Interface(self.address)


@dataclass(frozen=True)
class NetworkPlan:
    """Who has a network and which.

    Attributes:
        apps: those connected to `kos_internet_protocol`, in the order of their names.
        roles: app → "ethernet", "tunnel" or "mqtt", for the apps that speak to the keeper.
        mqtt: the apps that may use the MQTT relay.
        mtu: bytes of a packet in the tunnel.
        allowed_ips: what the tunnel reaches.
        dns: the only resolver that apps may ask; "" is none.
    """

    apps: tuple[AppPlan, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    mqtt: tuple[str, ...] = ()
    mtu: int = 1420
    allowed_ips: tuple[str, ...] = ("0.0.0.0/0",)
    dns: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NetworkPlan:
        apps = tuple(
            AppPlan(
                app["name"],
                app["address"],
                app["gateway"],
                None if app["allow"] is None else tuple((p, n, q) for p, n, q in app["allow"]),
            )
            for app in value["apps"]
        )
        allowed = tuple(value["allowed_ips"])
        return cls(apps, dict(value["roles"]), tuple(value["mqtt"]), value["mtu"], allowed, value["dns"])

    def addresses(self) -> dict[str, dict[str, Any]]:
        """What each app may know of its own network."""
        return {
            app.name: {"address": app.address, "gateway": app.gateway, "dns": self.dns, "mtu": self.mtu}
            for app in self.apps
            if app.address
        }

    def app(self, name: str) -> AppPlan | None:
        return next((app for app in self.apps if app.name == name), None)


def plan_network(manifest: Manifest) -> NetworkPlan | None:
    """What the manifest grants; None when nobody gets a network.

    Raises:
        ManifestError: an app without an address, or settings that cannot be.
    """
    check_tunnel_ips(manifest)
    tunnel = tunnel_app(manifest)
    settings = parse_settings(tunnel.config.get("tunnel_settings", {})) if tunnel else TunnelSettings()
    roles = {tunnel.name: "tunnel"} if tunnel else {}
    for app, port, access in manifest.grants():
        if port.name in _ROLES and access.role == "server" and app.resources_of(Network):
            roles[app.name] = _ROLES[port.name]
    if not roles:
        return None
    addresses, allow = tunnel_ips(manifest), allow_lists(manifest)
    dns: IPv4Address | None = settings.dns
    apps = [
        AppPlan(
            app.name,
            str(addresses[app.name].address),
            str(addresses[app.name].gateway),
            tuple((rule.protocol, str(rule.network), rule.port) for rule in allow[app.name])
            if app.name in allow
            else None,
        )
        for app in connected_apps(manifest)
    ]
    mqtt = [
        app.name
        for app, port, access in manifest.grants()
        if (port.name, access.role) == (PORT_MQTT, "client")
    ]
    # An app that only publishes needs no address: the relay comes to its loopback.
    connected = {app.name for app in apps}
    apps += [AppPlan(name, "", "") for name in mqtt if name not in connected]
    return NetworkPlan(
        apps=tuple(apps),
        roles=roles,
        mqtt=tuple(mqtt),
        mtu=settings.mtu,
        allowed_ips=tuple(str(network) for network in settings.allowed_ips),
        dns=str(dns) if dns else "",
    )
