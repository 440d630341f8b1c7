"""Everything that an operator can set, in one table, filled from `KOS_SERVER_…` variables and options.

Does no I/O beyond reading the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.session import BUS_PORT, GATEWAY_PORT, HEARTBEAT_DEFAULT, HTTP_PORT, MQTT_PORT

STUDIO = "studio"
FLEET = "fleet"
ENVIRONMENT_PREFIX = "KOS_SERVER_"


@dataclass(frozen=True)
class Settings:
    """One server's settings. Ports: 0 asks for any free port, -1 turns the listener off (MQTT)."""

    data: Path  # database, artifacts, keys and the bus' streams
    product: str = STUDIO
    host: str = "127.0.0.1"
    port: int = HTTP_PORT
    bus_port: int = BUS_PORT
    mqtt_port: int = MQTT_PORT
    bus_host: str = "127.0.0.1"
    gateway: bool = False  # run the devices' end of the tunnel too
    gateway_port: int = GATEWAY_PORT
    gateway_address: str = (
        "10.90.0.1/16"  # the gateway's own in the tunnel, with the mask of all devices' network
    )
    gateway_endpoint: str = ""  # HOST:PORT that devices are told; "" leaves it to their build
    bus_url: str = ""  # "" starts a bus of our own; else comma-separated nats:// URLs of a running cluster
    bus_replicas: int = 1  # copies of each stream: 3 on a cluster of three
    bus_sync: bool = False  # write every acknowledged datum to disk first: safe against power loss, slower
    database: str = ""  # "" is SQLite in `data`; else postgresql://…
    public_url: str = ""  # how browsers and devices reach us, if not by host and port
    cookie_secure: bool = False
    auto_accept: bool = False  # accept every device that asks: Studio on loopback only
    trusted_keys: str = ""  # comma-separated public keys that releases must be signed by; "" any signature
    oidc_issuer: str = ""  # the identity provider that people may log in through, as it calls itself
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    oidc_name: str = "single sign-on"  # what the log-in page calls it
    smtp_host: str = ""  # the mail server that takes notifications; "" is none
    smtp_port: int = 587
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_from: str = "kos@localhost"
    smtp_tls: str = "starttls"  # or "tls" from the first byte, or "unsafe-plain"
    notify_private: str = ""  # comma-separated networks that are not public and that webhooks may reach
    otlp: str = ""  # http://… of an OpenTelemetry collector that takes traces
    heartbeat: float = HEARTBEAT_DEFAULT
    retention_days: float = 30.0
    log_lines_max: int = 2_000_000  # console lines kept
    workers: int = 1  # 0: this process serves pages only and leaves ingest and rollouts to others

    @property
    def studio(self) -> bool:
        return self.product == STUDIO

    @property
    def database_url(self) -> str:
        if not self.database:
            return f"sqlite:///{self.data / 'server.db'}"
        return with_driver(self.database)

    @property
    def keys(self) -> Path:
        return self.data / "keys"

    @property
    def blobs(self) -> Path:
        return self.data / "blobs"


def with_driver(url: str) -> str:
    """A database's address with the driver that we use."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def default_data(product: str) -> Path:
    """Where a server keeps its data when nothing else is said."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "kos" / product


def from_environment(environ: Mapping[str, str], **options: object) -> Settings:
    """Settings from `KOS_SERVER_…` variables; `options` that are not None win over them."""
    product = str(options.get("product") or environ.get(ENVIRONMENT_PREFIX + "PRODUCT") or STUDIO)
    if product not in (STUDIO, FLEET):
        raise KosError(f"product must be {STUDIO} or {FLEET}, found {product!r}")
    settings = Settings(data=default_data(product), product=product)
    for one in fields(Settings):
        text = environ.get(ENVIRONMENT_PREFIX + one.name.upper())
        if text is not None:
            settings = replace(settings, **{one.name: _convert(one.name, getattr(settings, one.name), text)})
    chosen = {name: value for name, value in options.items() if value is not None}
    settings = replace(settings, **chosen)
    said = "auto_accept" in chosen or ENVIRONMENT_PREFIX + "AUTO_ACCEPT" in environ
    if settings.studio and not said and is_loopback(settings.bus_host):
        settings = replace(settings, auto_accept=True)
    return settings


def is_loopback(host: str) -> bool:
    """Whether this machine's people and programs come from there; the gateway's devices do not."""
    return host in ("127.0.0.1", "::1", "localhost")


def _convert(name: str, default: object, text: str) -> object:
    where = ENVIRONMENT_PREFIX + name.upper()
    try:
        match default:
            case bool():
                return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
            case int():
                return int(text)
            case float():
                return float(text)
            case Path():
                return Path(text)
    except (ValueError, KeyError) as error:
        raise KosError(f"expected a {type(default).__name__}, found {text!r}", where=where) from error
    return text
