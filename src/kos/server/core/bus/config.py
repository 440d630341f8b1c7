"""The configuration of one nats-server. Pure: text from facts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from kos.server.core.bus.keys import BusKeys

ACCOUNT = "KOS"
PAYLOAD_MAX = 512 * 1024  # bytes; above the session's DOCUMENT_MAX, for our own messages between processes
STORE_MAX = 8 << 30  # bytes of streams on disk
MEMORY_MAX = 256 << 20
CALLOUT_TIMEOUT = 30  # seconds that a client may take to log in: a storm of reconnects queues up


@dataclass(frozen=True)
class Cluster:
    """This node's place in a cluster."""

    name: str
    port: int
    routes: tuple[str, ...]  # nats://host:port of the other nodes


@dataclass(frozen=True)
class Node:
    """One nats-server."""

    name: str
    host: str
    port: int
    store: Path
    mqtt_port: int = -1  # -1: no MQTT
    cluster: Cluster | None = None
    sync: bool = False


def render(node: Node, keys: BusKeys) -> str:
    """The configuration file, as JSON (nats-server reads it)."""
    config: dict[str, object] = {
        "server_name": node.name,
        "listen": f"{node.host}:{node.port}",
        "max_payload": PAYLOAD_MAX,
        "write_deadline": "10s",
        "jetstream": {
            "store_dir": str(node.store),
            "max_file_store": STORE_MAX,
            "max_memory_store": MEMORY_MAX,
            **({"sync_interval": "always"} if node.sync else {}),
        },
        "accounts": {
            # One static user makes the server send a nonce to everyone, which devices sign.
            ACCOUNT: {"jetstream": "enabled", "users": [{"nkey": keys.public("server")}]},
            "SYS": {"users": [{"nkey": keys.public("system")}]},
        },
        "system_account": "SYS",
        "authorization": {
            "timeout": CALLOUT_TIMEOUT,
            "auth_callout": {
                "issuer": keys.public("account"),
                "account": ACCOUNT,
                "auth_users": [keys.public("server"), keys.public("system")],
            },
        },
    }
    if node.mqtt_port != -1:
        config["mqtt"] = {"host": node.host, "port": node.mqtt_port}
    if node.cluster is not None:
        config["cluster"] = {
            "name": node.cluster.name,
            "listen": f"{node.host}:{node.cluster.port}",
            "routes": list(node.cluster.routes),
        }
    return json.dumps(config, indent=2)
