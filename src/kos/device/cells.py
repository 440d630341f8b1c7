"""From the manifest's words to what a sandbox needs: the `Cell` of an app and of a message server.

It prepares the folders that a cell may write to and nothing else.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Sequence
from pathlib import Path

from kos.abi.debug import ENVIRON_CONSOLE, ENVIRON_SHELL, THREADS
from kos.abi.errors import KosError
from kos.abi.network import ENVIRON as NETWORK_ENVIRON
from kos.abi.records import dataclass
from kos.abi.stream import CONSOLE, SHELL
from kos.abi.stream import GDB as GDB_STREAM
from kos.device.limits import Mechanism, Wanted
from kos.device.runtime import Bind, Runtime
from kos.device.sandbox import UID_BASE, Cell, app_uid, python_command
from kos.manifest import frozen
from kos.manifest.images import BuiltCImage, BuiltImage, BuiltPythonImage, BuiltVmImage, ServiceImage
from kos.manifest.model import App, Manifest
from kos.manifest.resources import RESOURCE, Gpio, I2CBus, Keys, Kvm, Resource, Serial, Storage

FIRST_PASSED = 3  # the first descriptor after stdin, stdout and stderr
SERVER_IDS = 0x1000  # message servers have ids too, below those of apps, for their uids
SERVER_DESCRIPTORS = 65536
DEVICE_GROUPS = UID_BASE + 0x1000000  # above the ids of all apps
MONITOR = Path("/usr/lib/kos/qemu")  # the virtual machine monitor, on a device with hyp=on
GDB = Path("/usr/lib/kos/gdb")  # on a device that a debugger may be used on; with its own libraries
HOST_GDBSERVER = Path("/usr/bin/gdbserver")
GDBSERVER = "/gdb/gdbserver"  # in the sandbox of an app that a debugger may attach to
_CHANNELS = {SHELL: ENVIRON_SHELL, CONSOLE: ENVIRON_CONSOLE}
_COMMON_ENVIRON = {"HOME": "/tmp", "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class Place:
    """Where a system's files are and how its sandboxes are made."""

    directory: Path
    runtime: Runtime
    mechanism: Mechanism
    as_root: bool
    owns_machine: bool = (
        False  # a device: its interfaces are ours; on the host platform they are the developer's
    )

    @property
    def filters(self) -> Path:
        return self.runtime.packages / "filters"

    def data(self, app: str) -> Path:
        return self.directory / "data" / app

    def image(self, sha256: str) -> Path:
        return self.directory / "store" / "images" / sha256


def wanted_limits(app: App, threads: int = 0) -> Wanted:
    """What the manifest limits an app to; `threads` are what we need in it ourselves."""
    storage = app.resources_of(Storage)
    return Wanted(
        memory=app.memory,
        processes=None if app.processes is None else app.processes + threads,
        descriptors=_within_ours(app.descriptors),
        storage=storage[0].size if storage else None,
        priority=app.priority,
    )


def _within_ours(descriptors: int | None) -> int | None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors is None or hard == resource.RLIM_INFINITY:
        return descriptors
    return min(descriptors, hard)


def app_cell(
    place: Place,
    manifest: Manifest,
    app: App,
    *,
    joined: bool = False,
    keeper: bool = False,
    stream: str | None = None,
    resolv: Path | None = None,
) -> Cell:
    """What an app is given. Its descriptors are its message servers in order of their names, from 3 on.

    Args:
        joined: it is started inside its own network.
        keeper: it gets a connection to the keeper of the network, after those.
        stream: the kind of stream that it is open to; a shell's or console's channel is its last descriptor.
        resolv: its /etc/resolv.conf.
    """
    caller_id = manifest.caller_id(app.name)
    image = app.image
    folder = None
    if isinstance(image, BuiltImage):
        folder = place.image(image.sha256)
        if not folder.is_dir():
            raise KosError(
                f"{app.name}: its image is not in the store: {folder}", hint="build the system again"
            )
    match image:
        case BuiltCImage():
            kind, command = "c", (f"/app/{image.entry}", app.name, *app.arguments)
        case BuiltPythonImage():
            kind = "python"
            command = python_command(place.runtime, "kos.app.main", image.entry, *app.arguments)
        case ServiceImage() | BuiltVmImage():
            kind = "service"
            command = python_command(place.runtime, "kos.app.main", image.entry, *app.arguments)
        case _:
            raise KosError(
                f"{app.name}: its image is not built yet", hint="build the system: kos-tool manifest"
            )
    servers = ",".join(f"{name}:{FIRST_PASSED + n}" for n, name in enumerate(sorted(app.access)))
    environ = {"KOS_APP_NAME": app.name, "KOS_MSG_SERVERS": servers, "KOS_CONFIG": "/config.json"}
    kinds = resource_types(app.resources)
    devices = tuple(node for node in _devices(app.resources) if Path(node).exists())
    if "supervisor" in kinds:
        environ["KOS_SUPERVISOR"] = str(FIRST_PASSED + len(app.access))
    if keeper:
        environ[NETWORK_ENVIRON] = str(FIRST_PASSED + len(app.access) + ("supervisor" in kinds))
    if stream in _CHANNELS:
        last = FIRST_PASSED + len(app.access) + ("supervisor" in kinds) + keeper
        environ[_CHANNELS[stream]] = str(last)
    return Cell(
        name=app.name,
        kind=kind,
        command=command,
        environ={**app.environ, **_COMMON_ENVIRON, **environ},
        caller_id=caller_id,
        packages="service" if kind == "service" else "app",
        image=folder,
        config=json.dumps(frozen.thaw(app.config)).encode(),
        writable=_writable(place, app, caller_id),
        devices=devices,
        groups=tuple(sorted({_device_group(place, node) for node in devices} - {0})),
        resources=(*kinds, "internet") if joined else kinds,
        joined=joined,
        readable=(*_readable(kinds, resolv), *_debugger(stream)),
        traceable=stream == GDB_STREAM,
        limits=place.mechanism.rlimits(wanted_limits(app, THREADS if stream == SHELL else 0)),
    )


def server_cell(place: Place, manifest: Manifest, name: str) -> Cell:
    """What a message server is given; its admin connection is descriptor 3."""
    wanted = Wanted(descriptors=_within_ours(SERVER_DESCRIPTORS))
    return Cell(
        name=name,
        kind="msgserver",
        command=python_command(place.runtime, "kos.device.msgserver.__main__", name),
        environ={**_COMMON_ENVIRON, "KOS_PORTS": ",".join(manifest.msg_servers[name].ports)},
        caller_id=SERVER_IDS + sorted(manifest.msg_servers).index(name),
        packages="msgserver",
        limits=place.mechanism.rlimits(wanted),
    )


def resource_types(resources: Sequence[Resource]) -> tuple[str, ...]:
    """The `type` of each resource as the manifest's JSON says it."""
    types = {record.make: record.tag[1] for record in RESOURCE.records if record.tag}
    return tuple(sorted({types[type(each)] for each in resources}))


def _readable(kinds: tuple[str, ...], resolv: Path | None) -> tuple[Bind, ...]:
    binds = (Bind(resolv, "/etc/resolv.conf"),) if resolv else ()
    return (*binds, Bind(MONITOR, str(MONITOR))) if "kvm" in kinds and MONITOR.is_dir() else binds


def has_gdbserver() -> bool:
    """Whether this machine has what a debugger needs."""
    return GDB.is_dir() or HOST_GDBSERVER.is_file()


def _debugger(stream: str | None) -> tuple[Bind, ...]:
    """gdbserver, where a debugger may attach; the app itself can start nothing."""
    if stream != GDB_STREAM or not has_gdbserver():
        return ()
    return (Bind(GDB, "/gdb"),) if GDB.is_dir() else (Bind(HOST_GDBSERVER, GDBSERVER),)


def _devices(resources: Sequence[Resource]) -> list[str]:
    nodes = []
    for each in resources:
        match each:
            case I2CBus(bus=bus) if bus.startswith("i2c"):
                nodes.append(f"/dev/i2c-{bus.removeprefix('i2c').lstrip('-')}")
            case Gpio(chip=chip):
                nodes.append(f"/dev/{chip}")
            case Serial(device=device):
                nodes.append(f"/dev/{device}")
            case Kvm():
                nodes.append("/dev/kvm")
    return nodes


def _device_group(place: Place, node: str) -> int:
    """The group through which an app opens a device.

    Where the machine is ours, no distribution's rule has given the node one: it gets its own, by its numbers.
    """
    status = os.stat(node)
    if not place.owns_machine:
        return status.st_gid
    group = DEVICE_GROUPS + (os.major(status.st_rdev) << 8) + os.minor(status.st_rdev)
    os.chown(node, 0, group)
    os.chmod(node, 0o660)
    return group


def _writable(place: Place, app: App, caller_id: int) -> tuple[Bind, ...]:
    binds = []
    if app.resources_of(Storage):
        binds.append(Bind(place.data(app.name), "/data"))
    if app.resources_of(Keys):
        binds.append(Bind(place.directory / "keys", "/keys"))
    for bind in binds:
        bind.source.mkdir(mode=0o700, parents=True, exist_ok=True)
        if place.as_root:
            _give(bind.source, app_uid(caller_id))
    return tuple(binds)


def _give(folder: Path, uid: int) -> None:
    """Make a folder of ours the app's. Its id changes when apps come or go, so look each time."""
    if folder.stat().st_uid == uid:
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent) / name, uid, uid, follow_symlinks=False)
    os.chown(folder, uid, uid)
