"""The running system of a device: the supervisor in a process of its own, on the generation that was chosen.

The process is forked and not started anew, because a second interpreter would take longer than all of the
rest; what it needs is imported before, while the drivers load.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from kos.abi.hints import Any
from kos.device.cells import Place
from kos.device.limits import detect
from kos.device.loop import Loop
from kos.device.runtime import image_runtime
from kos.device.store.store import Store
from kos.device.supervisor import Supervisor
from kos.device.upgrade.slots import Slots
from kos.manifest import codec

RUN = Path("/run/kos")
DIRECTORY = RUN / "system"  # what the supervisor calls its place
IMAGE = Path("/usr/lib/kos/packages")
_ENGINE_NICE = 10


def prepare(store: Store, data: Path, keys: Path) -> None:
    """Make the supervisor's place: the store, the apps' data and the keys are elsewhere, its own files are in
    RAM.
    """
    for folder in (DIRECTORY, data / "apps", data / "post_mortem"):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    links = {"store": store.root, "data": data / "apps", "keys": keys, "post_mortem": data / "post_mortem"}
    for link, target in links.items():
        (DIRECTORY / link).symlink_to(target)


def run_supervisor(manifest: bytes) -> None:
    """Run the system until it is told to stop; what the supervisor's process does."""
    (DIRECTORY / "manifest.json").write_bytes(manifest)
    loop = Loop()
    place = Place(DIRECTORY, image_runtime(IMAGE), detect("kos"), True, owns_machine=True)
    supervisor = Supervisor(place, codec.load(manifest, where="manifest.json"), loop)
    supervisor.console.subscribe(lambda line: print(line, flush=True))
    supervisor.run()
    loop.close()


def run_engine(
    store: Store,
    slots: Slots | None,
    running: int,
    tell: Callable[[dict[str, Any]], None],
    restart: Callable[[], None],
) -> None:
    """Serve upgrades; what the engine's process does. It gives way to the system that starts, or runs."""
    os.nice(_ENGINE_NICE)
    from kos.device.upgrade import service
    from kos.device.upgrade.engine import Device, Engine

    device = Device(DIRECTORY, store, slots, DIRECTORY / "keys", restart)
    service.run(Engine(device, running), tell, DIRECTORY)
