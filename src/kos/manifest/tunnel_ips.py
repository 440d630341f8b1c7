"""The network that a manifest grants: addresses, tunnel settings and allow lists, read and checked. Pure.

Addresses are the option `tunnel_ips`; the rest is the configuration of the app that serves
`kos_internet_protocol`:

    {"tunnel_settings": {"peer_endpoint": "gateway.example.org:51820", "peer_public_key": "…"},
     "allow": {"station": ["tcp 10.90.0.1 4182", "icmp 10.90.0.1"]}}

An app without an entry in `allow` may reach whatever the tunnel reaches.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network, NetmaskValueError

from kos.abi.hints import Any
from kos.abi.records import dataclass
from kos.abi.services import PORT_INTERNET
from kos.manifest.errors import ManifestError
from kos.manifest.model import App, Manifest
from kos.manifest.options import TunnelIp

ALLOW_MAX = 64  # rules of one app
ENDPOINT_MAX = 262  # characters: a name of 253, a colon, a port, brackets
MTU_MIN, MTU_MAX, MTU_DEFAULT = 576, 9000, 1420
KEEP_ALIVE_MAX = 65535  # seconds; 0 turns it off
KEEP_ALIVE_DEFAULT = 25
PROTOCOLS = ("any", "icmp", "tcp", "udp")


@dataclass(frozen=True)
class AppAddress:
    """Where an app is in the tunnel: its address with the mask, and the gateway that answers for the rest."""

    address: IPv4Interface
    gateway: IPv4Address


@dataclass(frozen=True)
class Allow:
    """One destination that an app may send to. `port` 0 is every port."""

    protocol: str
    network: IPv4Network
    port: int = 0


@dataclass(frozen=True)
class TunnelSettings:
    """The tunnel's other end. Without endpoint or key the tunnel waits for provisioning."""

    peer_endpoint: str = ""  # host:port; the host is a name or an address
    peer_public_key: str = ""  # base64
    keep_alive: int = KEEP_ALIVE_DEFAULT
    mtu: int = MTU_DEFAULT
    allowed_ips: tuple[IPv4Network, ...] = (IPv4Network("0.0.0.0/0"),)
    dns: IPv4Address | None = None


@dataclass(frozen=True)
class Problem:
    """One thing wrong with `tunnel_ips`: which app, what, and where it was put."""

    app: str
    message: str
    where: str = ""


def tunnel_app(manifest: Manifest) -> App | None:
    """The app that serves `kos_internet_protocol`; None in a system without one."""
    for app, port, access in manifest.grants():
        if port.name == PORT_INTERNET and access.role == "server":
            return app
    return None


def connected_apps(manifest: Manifest) -> list[App]:
    """The apps that have a network, in the order of their names."""
    return [
        app
        for app, port, access in manifest.grants()
        if port.name == PORT_INTERNET and access.role == "client"
    ]


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ManifestError(f"{where}: expected a table, found {value!r}")
    return value


def _only(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ManifestError(f"{where}: unknown {unknown[0]!r}", hint=f"known are {', '.join(known)}")


def _address(value: Any, where: str) -> IPv4Address:
    try:
        return IPv4Address(value if isinstance(value, str) else "")
    except AddressValueError:
        raise ManifestError(f"{where}: expected an IPv4 address, found {value!r}") from None


def app_address(entry: TunnelIp, where: str) -> AppAddress:
    """One entry of `tunnel_ips`.

    Raises:
        ManifestError: a mask that is none.
    """
    try:
        interface = IPv4Interface(f"{entry.address}/{entry.mask}")
    except NetmaskValueError:
        raise ManifestError(f"{where}: {entry.mask!r} is not a mask such as 255.255.255.0") from None
    return AppAddress(interface, IPv4Address(entry.gateway))


def tunnel_ips(manifest: Manifest) -> dict[str, AppAddress]:
    """Every entry of `tunnel_ips` by its app, whether or not that app has a network."""
    entries = sorted(manifest.options.tunnel_ips.items())
    return {app: app_address(entry, f"tunnel_ips.{app}") for app, entry in entries}


def tunnel_ips_problems(manifest: Manifest) -> list[Problem]:
    """Missing, duplicate and foreign addresses, in the order of the apps' names."""
    try:
        addresses = tunnel_ips(manifest)
    except ManifestError as error:
        return [Problem("", error.message, manifest.where)]
    connected = {app.name: app for app in connected_apps(manifest)}
    problems = [
        Problem(
            name, f"app {name} is connected to {PORT_INTERNET} and has no address in tunnel_ips", app.where
        )
        for name, app in connected.items()
        if name not in addresses
    ]
    first_with: dict[IPv4Address, str] = {}
    gateways = {entry.gateway for entry in addresses.values()}
    for name, entry in addresses.items():
        where = manifest.apps[name].where
        address, network = entry.address.ip, entry.address.network

        def found(message: str, name: str = name, where: str = where) -> None:
            problems.append(Problem(name, message, where))

        if name not in connected:
            found(f"tunnel_ips gives {name} an address, and {name} is not connected to {PORT_INTERNET}")
        if address in first_with:
            found(f"{name} and {first_with[address]} have the same address {address}")
        first_with.setdefault(address, name)
        if address in gateways:
            found(f"{name} has the address {address} of a gateway")
        if entry.gateway not in network:
            found(f"the gateway {entry.gateway} of {name} is foreign to its network {network}")
        if network.prefixlen < 31 and address in (network.network_address, network.broadcast_address):
            found(f"{name} has the address {address}, which no host can have in {network}")
        if address.is_loopback or address.is_multicast or address.is_unspecified or address.is_link_local:
            found(f"{name} has the address {address}, which is none for a host")
    return problems


def check_tunnel_ips(manifest: Manifest) -> None:
    """Every app with a network has an address of its own, and nobody else has one.

    Raises:
        ManifestError: the first problem, with the line that put the app.
    """
    for problem in tunnel_ips_problems(manifest):
        raise ManifestError(
            problem.message,
            where=problem.where or None,
            hint="set_kos_options(tunnel_ips={app: TunnelIp(address, mask, gateway)})",
        )


def _key(value: Any, where: str) -> str:
    try:
        size = len(base64.b64decode(value, validate=True)) if isinstance(value, str) else -1
    except (binascii.Error, ValueError):
        size = -1
    if size != 32 and value != "":
        raise ManifestError(f"{where}: expected a WireGuard public key (44 characters of base64)")
    return value


def _endpoint(value: Any, where: str) -> str:
    text = value if isinstance(value, str) else ""
    host, _, port = text.rpartition(":")
    good = host and len(text) <= ENDPOINT_MAX and port.isascii() and port.isdigit() and 0 < int(port) <= 65535
    if not good and value != "":
        raise ManifestError(
            f"{where}: expected HOST:PORT, found {value!r}", hint="for example 192.0.2.1:51820"
        )
    return text


def _whole(table: Mapping[str, Any], name: str, low: int, high: int, default: int, where: str) -> int:
    value = table.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise ManifestError(f"{where}.{name}: expected {low} to {high}, found {value!r}")
    return value


def _network(text: Any, where: str) -> IPv4Network:
    try:
        return IPv4Network(text if isinstance(text, str) else "")
    except ValueError:
        raise ManifestError(f"{where}: expected an IPv4 network, found {text!r}") from None


def parse_settings(value: Any) -> TunnelSettings:
    """`tunnel_settings`; what it leaves out has its default, or comes with provisioning.

    Raises:
        ManifestError: an unknown or impossible setting.
    """
    where = "tunnel_settings"
    table = _table(value, where)
    _only(table, ("peer_endpoint", "peer_public_key", "keep_alive", "mtu", "allowed_ips", "dns"), where)
    allowed = table.get("allowed_ips", ["0.0.0.0/0"])
    if not isinstance(allowed, list | tuple) or not 0 < len(allowed) <= ALLOW_MAX:
        raise ManifestError(f"{where}.allowed_ips: expected a list of 1 to {ALLOW_MAX} networks")
    return TunnelSettings(
        _endpoint(table.get("peer_endpoint", ""), f"{where}.peer_endpoint"),
        _key(table.get("peer_public_key", ""), f"{where}.peer_public_key"),
        _whole(table, "keep_alive", 0, KEEP_ALIVE_MAX, KEEP_ALIVE_DEFAULT, where),
        _whole(table, "mtu", MTU_MIN, MTU_MAX, MTU_DEFAULT, where),
        tuple(_network(text, f"{where}.allowed_ips") for text in allowed),
        _address(table["dns"], f"{where}.dns") if table.get("dns") else None,
    )


def parse_allow(text: Any, where: str) -> Allow:
    """One rule: `tcp 10.90.0.1 1883`, `udp 10.90.0.0/16 *`, `icmp 10.90.0.1`, `any 10.90.0.0/16`.

    Raises:
        ManifestError: anything else.
    """
    words = text.split() if isinstance(text, str) else []
    with_port = bool(words) and words[0] in ("tcp", "udp")
    if not words or words[0] not in PROTOCOLS or len(words) != (3 if with_port else 2):
        raise ManifestError(
            f"{where}: expected PROTOCOL ADDRESS [PORT], found {text!r}",
            hint="tcp 10.90.0.1 1883, udp 10.90.0.0/16 *, icmp 10.90.0.1 or any 10.90.0.0/16",
        )
    port = 0
    if with_port and words[2] != "*":
        if not (words[2].isascii() and words[2].isdigit() and 0 < int(words[2]) <= 65535):
            raise ManifestError(f"{where}: expected a port from 1 to 65535 or *, found {words[2]!r}")
        port = int(words[2])
    return Allow(words[0], _network(words[1], where), port)


def allow_lists(manifest: Manifest) -> dict[str, tuple[Allow, ...]]:
    """The allow list of each app that has one.

    Raises:
        ManifestError: a list that is too long, a rule that is none, an app that is not connected.
    """
    tunnel = tunnel_app(manifest)
    if tunnel is None:
        return {}
    connected = {app.name for app in connected_apps(manifest)}
    lists: dict[str, tuple[Allow, ...]] = {}
    for app, rules in sorted(_table(tunnel.config.get("allow", {}), "allow").items()):
        if app not in connected:
            raise ManifestError(f"allow.{app}: no such app is connected to {PORT_INTERNET}")
        if not isinstance(rules, list | tuple) or len(rules) > ALLOW_MAX:
            raise ManifestError(f"allow.{app}: expected a list of at most {ALLOW_MAX} rules")
        lists[app] = tuple(parse_allow(rule, f"allow.{app}") for rule in rules)
    return lists
