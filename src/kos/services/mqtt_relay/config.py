"""The settings of the relay. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kos.abi.errors import KosError
from kos.abi.session import BUS_PORT

SPOOL_MIN, SPOOL_MAX, SPOOL_DEFAULT = 64 << 10, 64 << 20, 8 << 20  # bytes; all of it is in memory too
CLIENTS_MAX = 8  # connections of one app


@dataclass(frozen=True)
class RelayConfig:
    """`host` and `port` are the server's bus, as this device reaches it through its tunnel."""

    host: str
    port: int = BUS_PORT
    spool: int = SPOOL_DEFAULT


def parse(config: Mapping[str, Any]) -> RelayConfig:
    """The settings from the manifest's `config`: `server` as HOST or HOST:PORT, `spool` in bytes.

    Raises:
        KosError: an unknown or impossible setting.
    """
    if unknown := sorted(set(config) - {"server", "spool"}):
        raise KosError(f"mqtt_relay: unknown setting {unknown[0]!r}", hint="known are server, spool")
    server = config.get("server")
    if not isinstance(server, str) or not server:
        raise KosError("mqtt_relay.server: expected HOST or HOST:PORT", hint='"server": "10.90.0.1"')
    host, separator, port = server.partition(":")
    if separator and not (port.isdigit() and 0 < int(port) <= 65535):
        raise KosError(f"mqtt_relay.server: expected a port from 1 to 65535, found {port!r}")
    spool = config.get("spool", SPOOL_DEFAULT)
    if type(spool) is not int or not SPOOL_MIN <= spool <= SPOOL_MAX:
        raise KosError(f"mqtt_relay.spool: expected {SPOOL_MIN} to {SPOOL_MAX} bytes, found {spool!r}")
    return RelayConfig(host, int(port) if separator else BUS_PORT, spool)
