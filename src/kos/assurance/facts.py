"""A manifest as rules look at it: who serves what, who uses what, and which app is which core service.

Made once for a check, so that no rule walks all grants for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import NamedTuple

from kos.abi import services
from kos.assurance.board import Board
from kos.assurance.graph import Graph
from kos.assurance.image import ImageFacts, ImageFile
from kos.assurance.rule import Profile
from kos.assurance.running import RunningFacts
from kos.assurance.secrets import argument_texts, texts
from kos.assurance.waivers import Waiver
from kos.manifest import AccessControl, App, Manifest, Port
from kos.manifest.images import IMAGE, BuiltCImage, CImage
from kos.manifest.names import SERVICE_ENTRY

Grant = tuple[App, AccessControl]
_SERVICES = "kos.services."
# Images whose code is the runtime's: never a user's Python image, whatever it calls its entry.
_OF_THE_RUNTIME = tuple(
    record.make
    for record in IMAGE.records
    if isinstance(record.make, type) and record.members["entry"].field is SERVICE_ENTRY
)


def service_of(app: App) -> str | None:
    """Which core service an app is, such as `tunnel`; None for a user's own."""
    if isinstance(app.image, _OF_THE_RUNTIME):
        return app.image.entry.removeprefix(_SERVICES).split(".")[0].split(":")[0]
    return None


def opened_by(app: App) -> str | None:
    """The option that lets people look into an app: a debugger into C, a shell or a console into the rest."""
    if not app.debug or service_of(app) not in (None, "vmm"):
        return None
    return "debugger" if isinstance(app.image, CImage | BuiltCImage) else "remote_shell"


class Connection(NamedTuple):
    """A client of a port and its server, with what each side was granted."""

    port: Port
    client: App
    used: AccessControl
    server: App
    served: AccessControl


class Facts:
    """A manifest, indexed. Grants may name what does not exist."""

    def __init__(
        self,
        manifest: Manifest,
        profile: Profile = Profile.RELEASE,
        board: Board | None = None,
        waivers: tuple[Waiver, ...] = (),
        today: date = date.min,
        image: ImageFacts | None = None,
        running: RunningFacts | None = None,
    ) -> None:
        self.manifest = manifest
        self.profile = profile
        self.board = board
        self.waivers = waivers
        self.today = today
        self.image = image
        self.running = running
        self.apps: Mapping[str, App] = dict(sorted(manifest.apps.items()))
        self.options = manifest.options
        self.servers: dict[Port, list[Grant]] = {}
        self.clients: dict[Port, list[Grant]] = {}
        for app, port, access in manifest.grants():
            side = self.servers if access.role == "server" else self.clients
            side.setdefault(port, []).append((app, access))
        self.ports = {
            Port(name, server): server
            for server, declared in manifest.msg_servers.items()
            for name in declared.ports
        }

    def declared(self, port: Port) -> bool:
        return port in self.ports

    def clients_of(self, port_name: str) -> list[Grant]:
        """Clients of every port of that name, on whichever message server."""
        return [grant for port, grants in self.clients.items() if port.name == port_name for grant in grants]

    def servers_of(self, port_name: str) -> list[Grant]:
        return [grant for port, grants in self.servers.items() if port.name == port_name for grant in grants]

    def service(self, name: str) -> list[App]:
        """The apps that are that core service."""
        return [app for app in self.apps.values() if service_of(app) == name]

    def where_of(self, app: str, port_name: str) -> str:
        """`file:line` of an app's grant of a port, by names."""
        return next((access.where for port, access in self.apps[app].grants() if port.name == port_name), "")

    @cached_property
    def connections(self) -> list[Connection]:
        """Every client with the server of its port."""
        return [
            Connection(port, client, used, server, served)
            for port, servers in self.servers.items()
            for server, served in servers
            for client, used in self.clients.get(port, ())
        ]

    @cached_property
    def texts(self) -> list[tuple[App, str, str, str]]:
        """Every text that the user wrote for an app: app, path, the name it is stored under, text."""
        return [
            (app, *found)
            for app in self.apps.values()
            for found in (
                *texts(app.config, "config"),
                *texts(app.environ, "environ"),
                *argument_texts(app.arguments),
            )
        ]

    @property
    def on_host(self) -> bool:
        """The system is made for a developer's machine, which has no boot chain of its own."""
        return self.manifest.platform.split(",")[0] == "host"

    def image_files(self) -> list[tuple[str | None, tuple[ImageFile, ...]]]:
        """The files of each app's image by the app's name, and under None those of the root."""
        found: list[tuple[str | None, tuple[ImageFile, ...]]] = []
        for app in self.apps.values():
            blob = self.image.blobs.get(getattr(app.image, "sha256", ""))
            if blob is not None:
                found.append((app.name, blob.files))
        return [*found, (None, self.image.root)] if self.image.root is not None else found

    @cached_property
    def networked(self) -> list[Grant]:
        """Apps that reach the network through the tunnel, the platform's own included."""
        return self.clients_of(services.PORT_INTERNET)

    @cached_property
    def calls(self) -> Graph:
        """Who waits for whom: an edge from each client that may block to the server of its port."""
        return self._graph(blocking_only=True)

    @cached_property
    def uses(self) -> Graph:
        """Who uses whom: an edge from each client to the server of its port."""
        return self._graph(blocking_only=False)

    def _graph(self, *, blocking_only: bool) -> Graph:
        graph = Graph(self.apps)
        for link in self.connections:
            if link.used.blocking or not blocking_only:
                graph.add(link.client.name, link.server.name, link.port.name)
        return graph
