"""The gateway as a program: start it, follow the list of devices, report, stop on a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.build import native
from kos.network.namespaces import enter_user_namespace
from kos.network.wireguard import KEY_SIZE, encode_key
from kos.server.gateway.gateway import Gateway
from kos.server.gateway.registry import FilePeers
from kos.server.gateway.settings import GatewaySettings
from kos.server.gateway.watch import FileWatch

KEY_FILE_MAX = 4096  # bytes: room to say that what is there is no key
FORGIVE_EVERY = 60.0  # seconds
Report = Callable[[dict[str, Any]], None]


def load_or_make_key(path: Path) -> bytes:
    """The gateway's private key; made, mode 0600, where there is none.

    Raises:
        KosError: a file that others can read or that is no key.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(X25519PrivateKey.generate().private_bytes_raw())
    if path.stat().st_mode & 0o077:
        raise KosError("the gateway's private key is readable by others", where=str(path), hint="chmod 600")
    key = read_bounded(path, KEY_FILE_MAX)
    if len(key) != KEY_SIZE:
        raise KosError(f"the gateway's private key must be {KEY_SIZE} bytes", where=str(path))
    return key


def public_key(private_key: bytes) -> str:
    """Base64 of the public key that devices need."""
    return encode_key(X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw())


def run_gateway(settings: GatewaySettings, key: Path, devices: Path, report: Report) -> None:
    """Run until SIGTERM or SIGINT.

    Args:
        settings: see `GatewaySettings`.
        key: file of the private key.
        devices: the list of devices (`FilePeers`); a change takes effect at once.
        report: told what happens: {"event": "ready" | "devices" | "refused" | "status", …}.

    Raises:
        KosError: it cannot start.
    """
    source = FilePeers(devices.absolute())
    watch = FileWatch(source.path)  # before the first look, so that no change is missed
    peers = source.peers() if devices.exists() else []
    private_key = load_or_make_key(key)
    pump = native.pump()  # as who we are: inside, nothing may be written
    rootless = os.geteuid() != 0
    if rootless:
        enter_user_namespace()
    gateway = Gateway(settings, private_key, pump=pump, rootless=rootless)
    gateway.set_peers(peers)
    asyncio.run(_serve(gateway, source, watch, report, public_key(private_key)))
    watch.close()


async def _serve(gateway: Gateway, source: FilePeers, watch: FileWatch, report: Report, key: str) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: report(status(gateway)))
    await gateway.open_services()
    loop.add_reader(watch.descriptor, _follow, gateway, source, watch, report)
    report(
        {
            "event": "ready",
            "public_key": key,
            "port": gateway.listen_port,
            "address": str(gateway.settings.address),
            "services": {service.name: service.port for service in gateway.settings.services},
        }
    )
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), FORGIVE_EVERY)
        if not stop.is_set() and (count := gateway.forgive_clocks(time.time())):
            report({"event": "silent", "devices": count})
    loop.remove_reader(watch.descriptor)
    await gateway.close()


def _follow(gateway: Gateway, source: FilePeers, watch: FileWatch, report: Report) -> None:
    """Take a new list of devices; a wrong one changes nothing and is reported."""
    if not watch.changed():
        return
    started = time.perf_counter()
    try:
        changed, removed = gateway.set_peers(source.peers())
    except KosError as error:
        report({"event": "refused", "error": str(error)})
        return
    seconds = time.perf_counter() - started
    report({"event": "devices", "changed": changed, "removed": removed, "seconds": round(seconds, 4)})


def status(gateway: Gateway) -> dict[str, Any]:
    """The state as plain data."""
    return {
        "event": "status",
        "devices": [
            {
                "device": each.device,
                "endpoint": str(each.endpoint or ""),
                "last_handshake": each.last_handshake,
                "rx_bytes": each.rx_bytes,
                "tx_bytes": each.tx_bytes,
            }
            for each in gateway.reports()
        ],
        "counters": {name: counter.packets for name, counter in gateway.counters().items()},
        "connections": {
            "open": gateway.relay.open_connections,
            "carried": gateway.relay.carried,
            "failed": gateway.relay.failed,
            "refused": gateway.relay.refused,
        },
    }
