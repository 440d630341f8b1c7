"""What each setting of a server may be. Pure: it looks at no file and no network."""

from __future__ import annotations

import ipaddress
import logging
import math
from collections.abc import Mapping
from urllib.parse import urlsplit

from kos.abi.errors import KosError
from kos.server.core.notify.addresses import parse_networks
from kos.server.core.notify.mail import ENCRYPTIONS
from kos.server.settings import ENVIRONMENT_PREFIX, Settings

PORT_MAX = 65535
# Smallest and largest value, both allowed.
RANGES: dict[str, tuple[float, float]] = {
    "port": (0, PORT_MAX),
    "bus_port": (0, PORT_MAX),
    "mqtt_port": (-1, PORT_MAX),
    "gateway_port": (0, PORT_MAX),
    "smtp_port": (1, PORT_MAX),
    "bus_replicas": (1, 5),  # what JetStream keeps
    "heartbeat": (0.01, 86_400.0),  # seconds
    "retention_days": (0.001, 36_500.0),
    "log_lines_max": (1, 10**12),
    "workers": (0, 64),
}
# Schemes of addresses; "" is none.
ADDRESSES = {
    "public_url": ("http", "https"),
    "oidc_issuer": ("http", "https"),
    "otlp": ("http", "https"),
    "bus_url": ("nats", "tls"),
    "database": ("postgresql", "postgresql+psycopg"),
}
HINT = "kos-tool server.start --help says what it takes"


def check(settings: Settings) -> None:
    """That each setting is one that a server can work with.

    Raises:
        KosError: one is not.
    """
    for name, (least, most) in RANGES.items():
        value = getattr(settings, name)
        if not math.isfinite(value) or not least <= value <= most:
            raise _refused(name, f"{least:g} to {most:g}", value)
    for name, schemes in ADDRESSES.items():
        text = getattr(settings, name)
        for one in text.split(",") if name == "bus_url" and text else [text] if text else []:
            if not _is_address(one, schemes):
                # Not repeated: a password may be in it.
                raise _refused(name, f"{schemes[0]}://…", "something else")
    if settings.smtp_tls not in ENCRYPTIONS:
        raise _refused("smtp_tls", " or ".join(ENCRYPTIONS), settings.smtp_tls)
    try:
        ipaddress.ip_interface(settings.gateway_address)
    except ValueError as error:
        raise _refused("gateway_address", "ADDRESS/BITS", settings.gateway_address) from error
    parse_networks(settings.notify_private)
    for key in filter(None, (one.strip() for one in settings.trusted_keys.split(","))):
        if len(key) != 64 or not all(one in "0123456789abcdefABCDEF" for one in key):
            raise _refused("trusted_keys", "public keys of 64 hexadecimal digits", key)


def log_level(environ: Mapping[str, str], default: int) -> int:
    """The level of `KOS_SERVER_LOG`. Raises KosError for none."""
    text = environ.get(ENVIRONMENT_PREFIX + "LOG")
    if text is None:
        return default
    levels = logging.getLevelNamesMapping()
    if text not in levels:
        raise _refused("log", ", ".join(sorted(levels)), text)
    return levels[text]


def _is_address(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    # A database may be named by its socket's folder in the query instead.
    return parts.scheme in schemes and (bool(parts.hostname) or parts.scheme.startswith("postgresql"))


def _refused(name: str, expected: str, found: object) -> KosError:
    where = ENVIRONMENT_PREFIX + name.upper()
    return KosError(f"expected {expected}, found {found!r}", where=where, hint=HINT)
