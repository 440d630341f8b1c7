"""The settings of ethernet: which interface, and where its addresses come from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import Any

from kos.abi.errors import KosError

MODES = ("dhcp", "static")
ADDRESSES_MAX = 16
DNS_MAX = 3
MTU_MIN, MTU_MAX = 576, 9000


@dataclass(frozen=True)
class EthernetConfig:
    """`interface` "" is the first that the machine has."""

    interface: str = ""
    mode: str = "dhcp"
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    gateway: IPv4Address | None = None
    gateway6: IPv6Address | None = None
    dns: tuple[IPv4Address | IPv6Address, ...] = ()
    mtu: int | None = None


def _list(config: Mapping[str, Any], name: str, most: int) -> list[str]:
    value = config.get(name, [])
    if not isinstance(value, list | tuple) or len(value) > most or not all(isinstance(v, str) for v in value):
        raise KosError(f"ethernet.{name}: expected a list of at most {most} texts")
    return list(value)


def parse(config: Mapping[str, Any]) -> EthernetConfig:
    """The settings from the manifest's `config` of ethernet.

    Raises:
        KosError: an unknown or impossible setting.
    """
    known = {"interface", "mode", "addresses", "gateway", "gateway6", "dns", "mtu"}
    if unknown := sorted(set(config) - known):
        raise KosError(
            f"ethernet: unknown setting {unknown[0]!r}", hint=f"known are {', '.join(sorted(known))}"
        )
    mode = config.get("mode", "dhcp")
    if mode not in MODES:
        raise KosError(f"ethernet.mode: expected {' or '.join(MODES)}, found {mode!r}")
    mtu = config.get("mtu")
    if mtu is not None and (type(mtu) is not int or not MTU_MIN <= mtu <= MTU_MAX):
        raise KosError(f"ethernet.mtu: expected {MTU_MIN} to {MTU_MAX}, found {mtu!r}")
    interface = config.get("interface", "")
    if not isinstance(interface, str) or len(interface) > 15:
        raise KosError("ethernet.interface: expected a name of at most 15 characters")
    try:
        parsed = EthernetConfig(
            interface,
            mode,
            tuple(ip_interface(text) for text in _list(config, "addresses", ADDRESSES_MAX)),
            IPv4Address(config["gateway"]) if "gateway" in config else None,
            IPv6Address(config["gateway6"]) if "gateway6" in config else None,
            tuple(ip_address(text) for text in _list(config, "dns", DNS_MAX)),
            mtu,
        )
    except ValueError as error:
        raise KosError(f"ethernet: {error}") from None
    if mode == "static" and not parsed.addresses:
        raise KosError("ethernet: static without addresses", hint='"addresses": ["192.0.2.10/24"]')
    return parsed
