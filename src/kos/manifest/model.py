"""What a system is: apps, ports, grants. Frozen values, each checked when it is made; no I/O.

The `Record` tables at the end describe every field once; see `fields.py` for what is made from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from kos.abi.digest import sha256_hex
from kos.abi.hints import Any
from kos.abi.records import dataclass, field
from kos.manifest import limits, names
from kos.manifest.errors import ManifestError
from kos.manifest.fields import (
    Choice,
    Flag,
    Json,
    ListOf,
    MapOf,
    Member,
    Nullable,
    Number,
    Record,
    Text,
    Whole,
)
from kos.manifest.frozen import EMPTY
from kos.manifest.images import IMAGE, Image, ServiceImage
from kos.manifest.options import OPTIONS, Options
from kos.manifest.resources import RESOURCE, Resource

FORMAT = "kos.manifest"
VERSION = 1
FIRST_CALLER_ID = 0x10000
CALLER_IDS = 0x1000000 - FIRST_CALLER_ID  # as many there are; the groups of devices begin above them
MIB = 1 << 20


@dataclass(frozen=True)
class Port:
    """A named protocol on a message server, which one app serves and others use."""

    name: str
    msg_server: str

    def __post_init__(self) -> None:
        PORT.check(self, "Port")


@dataclass(frozen=True)
class AccessControl:
    """What an app may do with one port; make it with `client` or `server`.

    Attributes:
        role: "client" or "server".
        version: of the protocol that this side speaks; None where it is not said.
        blocking: whether a client may wait for the answer (`call`); False says that it only sends.
        where: `file:line` that granted it.
    """

    role: str
    version: int | None = None
    blocking: bool = True
    where: str = ""

    def __post_init__(self) -> None:
        ACCESS.check(self, "AccessControl")

    @classmethod
    def client(cls, *, version: int | None = None, blocking: bool = True) -> AccessControl:
        """May ask for connections to the port."""
        return cls("client", version, blocking)

    @classmethod
    def server(cls, *, version: int | None = None) -> AccessControl:
        """May serve the port."""
        return cls("server", version)


@dataclass(frozen=True)
class Restart:
    """When an app that ended is started again, and how fast.

    Attributes:
        policy: whether it is started again at all.
        backoff_initial: seconds before the first restart; each further one waits longer.
        backoff_max: seconds that a restart waits at most.
        limit: restarts within `window` after which the app stays down and the system is degraded.
        window: seconds over which restarts are counted.
    """

    policy: str = "on-failure"
    backoff_initial: float = 0.1
    backoff_max: float = 10.0
    limit: int = 10
    window: float = 60.0

    def __post_init__(self) -> None:
        RESTART.check(self, "Restart")


Access = Mapping[str, Mapping[str, AccessControl]]


@dataclass(frozen=True)
class App:
    """One isolated program and everything that it is given.

    Attributes:
        name: unique in the system; also its argv[0] and its name on the console.
        image: its code.
        arguments: argv[1:].
        environ: added to the few variables that every app has.
        config: data for the app itself, which reads it with `kos.app.config()`.
        priority: 0 to 255, higher runs first.
        max_priority: the highest that it may give a thread; None means `priority`.
        memory: bytes; None is no limit.
        processes: processes and threads; None is no limit.
        descriptors: open files; None is no limit.
        restart: what happens when it ends.
        critical: without it the system is degraded and a new generation is not good.
        resources: parts of the machine.
        debug: people may look into it while it runs: a shell into a Python app and a microVM's console where
            the option `remote_shell` is on, a debugger on a C app where the option `debugger` is on.
        access: message server → port → role.
        where: `file:line` that put it; filled in by `put_app`.
    """

    name: str
    image: Image
    arguments: Sequence[str] = ()
    environ: Mapping[str, str] = EMPTY
    config: Mapping[str, Any] = EMPTY
    priority: int = 100
    max_priority: int | None = None
    memory: int | None = 64 * MIB
    processes: int | None = 16
    descriptors: int | None = 256
    restart: Restart = field(default_factory=Restart)
    critical: bool = False
    resources: Sequence[Resource] = ()
    debug: bool = False
    access: Access = EMPTY
    where: str = ""

    def __post_init__(self) -> None:
        if self.max_priority is None:
            object.__setattr__(self, "max_priority", self.priority)
        _NAMED.check(self, "App")
        APP.check(self, f"app {self.name!r}")
        if self.debug and isinstance(self.image, ServiceImage):
            raise ManifestError(
                f"app {self.name!r}: a core service cannot have debug=True",
                hint="it holds what belongs to the whole device; debug your own apps",
            )

    def grants(self) -> Iterator[tuple[Port, AccessControl]]:
        """Each port that this app may use or serve."""
        return iter(self._grants)

    @cached_property
    def _grants(self) -> tuple[tuple[Port, AccessControl], ...]:
        return tuple(
            (Port(name, msg_server), access)
            for msg_server, ports in self.access.items()
            for name, access in ports.items()
        )

    def resources_of(self, kind: type) -> list[Any]:
        """The resources of one type."""
        return [resource for resource in self.resources if isinstance(resource, kind)]


@dataclass(frozen=True)
class MsgServer:
    """A message server.

    Attributes:
        ports: the names of the ports that exist on it.
    """

    ports: Sequence[str] = ()

    def __post_init__(self) -> None:
        MSG_SERVER.check(self, "MsgServer")
        object.__setattr__(self, "ports", tuple(sorted(self.ports)))


@dataclass(frozen=True)
class SystemPart:
    """A part of the device below the apps: its `bootfs` or its `root`.

    Attributes:
        sha256: under which it is stored.
        size: bytes.
    """

    sha256: str
    size: int

    def __post_init__(self) -> None:
        SYSTEM_PART.check(self, "SystemPart")


@dataclass(frozen=True)
class Manifest:
    """A whole system. Made by `Context.manifest`, or read by `codec.load`.

    Attributes:
        name: of the system.
        release: such as `1.2.0`.
        platform: the spec that it is made for, such as `imx8mm-evk,hyp=on`.
        options: system-wide options.
        msg_servers: by name.
        apps: by name.
        where: `file:line` of the user's class.
        parts: by name; there when an update brings a kernel or a root file system too.
    """

    name: str
    release: str
    platform: str
    options: Options
    msg_servers: Mapping[str, MsgServer]
    apps: Mapping[str, App]
    where: str = ""
    parts: Mapping[str, SystemPart] = EMPTY

    def __post_init__(self) -> None:
        MANIFEST.check(self, "manifest")
        for name, app in self.apps.items():
            if app.name != name:
                raise ManifestError(f"manifest.apps.{name}: holds an app named {app.name!r}")

    def caller_id(self, app: str) -> int:
        """The number by which servers know the app, and from which its uid is made.

        It comes from the app's name alone, so that an app keeps it, and its process, when others come and go.
        Should two names meet in one number, the later name takes the next that is free.
        """
        return self._caller_ids[app]

    def grants(self) -> Iterator[tuple[App, Port, AccessControl]]:
        """Every grant, apps in order of their names."""
        for name in sorted(self.apps):
            for port, access in self.apps[name].grants():
                yield self.apps[name], port, access

    def server_of(self, port: Port) -> App | None:
        """The app that serves a port, or None."""
        name = self._servers.get(port)
        return None if name is None else self.apps[name]

    @cached_property
    def _caller_ids(self) -> dict[str, int]:
        taken: dict[int, str] = {}
        for name in sorted(self.apps):
            place = int(sha256_hex(name.encode())[:8], 16) % CALLER_IDS
            while place in taken:
                place = (place + 1) % CALLER_IDS
            taken[place] = name
        return {name: FIRST_CALLER_ID + place for place, name in taken.items()}

    @cached_property
    def _servers(self) -> dict[Port, str]:
        return {port: app.name for app, port, access in self.grants() if access.role == "server"}


PORT = Record(Port, {"name": Member(names.PORT_NAME), "msg_server": Member(names.MSG_SERVER_NAME)})
ACCESS = Record(
    AccessControl,
    {
        "role": Member(Choice("client", "server")),
        "version": Member(Nullable(Whole(0, limits.PROTOCOL_VERSION_MAX)), None, omit=True),
        "blocking": Member(Flag(), True, omit=True),
        "where": Member(names.WHERE, "", omit=True),
    },
)
RESTART = Record(
    Restart,
    {
        "policy": Member(Choice("never", "on-failure", "always")),
        "backoff_initial": Member(Number(0, limits.SECONDS_MAX)),
        "backoff_max": Member(Number(0, limits.SECONDS_MAX)),
        "limit": Member(Whole(0, limits.RESTARTS_MAX)),
        "window": Member(Number(0, limits.SECONDS_MAX)),
    },
)
# The name is the app's key in the manifest's JSON, not a part of its object.
_NAMED = Record(App, {"name": Member(names.APP_NAME)})
_PRIORITY = Whole(0, limits.PRIORITY_MAX)
APP = Record(
    App,
    {
        "image": Member(IMAGE),
        "arguments": Member(ListOf(Text(limits.ARGUMENT_MAX), limits.ARGUMENTS_MAX)),
        "environ": Member(MapOf(names.ENVIRON_KEY, Text(limits.ENVIRON_VALUE_MAX), limits.ENVIRON_MAX)),
        "config": Member(Json()),
        "priority": Member(_PRIORITY),
        "max_priority": Member(_PRIORITY),
        "memory": Member(Nullable(Whole(1, limits.MEMORY_MAX))),
        "processes": Member(Nullable(Whole(1, limits.PROCESSES_MAX))),
        "descriptors": Member(Nullable(Whole(1, limits.DESCRIPTORS_MAX))),
        "restart": Member(RESTART),
        "critical": Member(Flag()),
        "resources": Member(ListOf(RESOURCE, limits.RESOURCES_MAX)),
        "debug": Member(Flag(), False, omit=True),
        "access": Member(
            MapOf(
                names.MSG_SERVER_NAME,
                MapOf(names.PORT_NAME, ACCESS, limits.GRANTS_PER_APP_MAX),
                limits.MSG_SERVERS_MAX,
            )
        ),
        "where": Member(names.WHERE, "", omit=True),
    },
)
MSG_SERVER = Record(
    MsgServer,
    {"ports": Member(ListOf(names.PORT_NAME, limits.PORTS_PER_SERVER_MAX, unique=True))},
)
SYSTEM_PART = Record(
    SystemPart, {"sha256": Member(names.SHA256), "size": Member(Whole(1, limits.IMAGE_BYTES_MAX))}
)
MANIFEST = Record(
    Manifest,
    {
        "name": Member(names.SYSTEM_NAME),
        "release": Member(names.RELEASE),
        "platform": Member(names.PLATFORM),
        "options": Member(OPTIONS),
        "msg_servers": Member(MapOf(names.MSG_SERVER_NAME, MSG_SERVER, limits.MSG_SERVERS_MAX)),
        "apps": Member(MapOf(names.APP_NAME, APP, limits.APPS_MAX, key_as="name")),
        "parts": Member(MapOf(names.SYSTEM_PART, SYSTEM_PART, 2), EMPTY, omit=True),
        "where": Member(names.WHERE, "", omit=True),
    },
)
