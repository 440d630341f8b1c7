"""`Context`: a system in the making. Each method returns a new one; none changes anything.

Every `put_*` refuses a doubled or dangling name at once, with the line of the user's manifest that said it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from kos.abi.hints import Any, Protocol
from kos.abi.records import dataclass, field, replace
from kos.manifest import names
from kos.manifest.config import Config
from kos.manifest.errors import ManifestError
from kos.manifest.fields import Field
from kos.manifest.frozen import EMPTY, FrozenDict
from kos.manifest.model import AccessControl, App, Manifest, MsgServer, Port
from kos.manifest.options import Options
from kos.manifest.platform import PlatformSpec
from kos.manifest.references import check_references
from kos.manifest.where import relative, user_location


class AppPackage(Protocol):
    """Something that puts one or more apps, ports and connections into a system."""

    def setup(self, ctx: Context, **options: Any) -> Context: ...


def _refuse(message: str, hint: str | None = None) -> ManifestError:
    return ManifestError(message, where=user_location(), hint=hint)


def _closest(name: str, known: Iterable[str], none: str) -> str:
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else none + (f"; known: {', '.join(known)}" if known else "")


@dataclass(frozen=True)
class Context:
    """A system in the making.

    Attributes:
        name: the system's.
        release: the system's.
        platform: what it is made for; a setup may ask it.
        config: the project's settings.
        root: the project's directory, below which `where` is told; None outside a project.
        where: `file:line` of the system's class.
    """

    name: str
    release: str = "0.0.0"
    platform: PlatformSpec = field(default_factory=lambda: PlatformSpec.parse("host"))
    config: Config = field(default_factory=Config)
    root: str | None = None
    where: str = ""
    options: Options = field(default_factory=Options)
    msg_servers: FrozenDict[str, frozenset[str]] = EMPTY
    apps: FrozenDict[str, App] = EMPTY
    _served: FrozenDict[Port, str] = field(default=EMPTY, repr=False, compare=False)

    # --- message servers and ports --------------------------------------------------------------------

    def put_msg_server(self, name: str) -> Context:
        """Add a message server, such as `msg1`."""
        self._check_name(names.MSG_SERVER_NAME, name)
        return replace(self, msg_servers=self.msg_servers.with_item(name, frozenset()))

    def put_port(self, port: str | Port, msg_server: str | None = None) -> Context:
        """Declare a port on a message server. Either a name and a server, or a `Port`."""
        port = self._port(port, msg_server)
        ports = self._ports(port.msg_server)
        if port.name in ports:
            raise _refuse(f"port {port.name!r} is on {port.msg_server} already")
        return replace(self, msg_servers=self.msg_servers.with_item(port.msg_server, ports | {port.name}))

    # --- apps -----------------------------------------------------------------------------------------

    def put_app(self, app: App | AppPackage, **options: Any) -> Context:
        """Add an app, or let a package add what it has. `options` go to the package's `setup`."""
        if isinstance(app, type):
            raise _refuse(f"put_app takes an object, {app.__name__} is a class", f"put {app.__name__}(…)")
        if not isinstance(app, App):
            setup = getattr(app, "setup", None)
            if setup is None:
                raise _refuse(f"put_app takes an App or an object with setup(ctx), not {type(app).__name__}")
            made = setup(self, **options)
            if not isinstance(made, Context):
                raise _refuse(
                    f"{type(app).__name__}.setup returned {type(made).__name__}", "return the context"
                )
            return made
        if options:
            raise _refuse(f"an App takes no options: {', '.join(sorted(options))}", "use update_app")
        self._check_name(names.APP_NAME, app.name)
        return self._with_app(replace(app, where=app.where or self._where()))

    def update_app(self, name: str, /, **changes: Any) -> Context:
        """Change attributes of an app that is there, such as `memory=…`."""
        app = self._app(name)
        if unknown := changes.keys() - (App.__dataclass_fields__.keys() - {"name"}):
            raise _refuse(f"app {name!r}: an app has no {', '.join(sorted(unknown))} to update")
        return self.remove_app(name)._with_app(replace(app, **changes))

    def remove_app(self, name: str) -> Context:
        """Take an app out. Its ports stay, without a server."""
        self._app(name)
        served = FrozenDict({port: app for port, app in self._served.items() if app != name})
        return replace(self, apps=self.apps.without(name), _served=served)

    # --- connections ----------------------------------------------------------------------------------

    def connect_protocol(
        self,
        app: str,
        port: str | Port,
        msg_server: str | None = None,
        access: AccessControl | None = None,
    ) -> Context:
        """Let an app use a port: as a client, or as `access` says."""
        port = self._port(port, msg_server)
        granted = self._app(app)
        if port.name in granted.access.get(port.msg_server, ()):
            role = granted.access[port.msg_server][port.name].role
            raise _refuse(f"app {app!r} is connected to {port.name!r} already, as {role}")
        access = access or AccessControl.client()
        if not isinstance(access, AccessControl):
            raise _refuse(f"access of {app!r} to {port.name!r} must be AccessControl.client() or .server()")
        self._check_grant(app, port, access)
        access = replace(access, where=access.where or self._where())
        ports = FrozenDict(granted.access.get(port.msg_server, {})).with_item(port.name, access)
        made = replace(granted, access=FrozenDict(granted.access).with_item(port.msg_server, ports))
        served = self._served.with_item(port, app) if access.role == "server" else self._served
        return replace(self, apps=self.apps.with_item(app, made), _served=served)

    def serve_protocol(self, app: str, port: str | Port, msg_server: str | None = None) -> Context:
        """Let an app be the server of a port."""
        return self.connect_protocol(app, port, msg_server, AccessControl.server())

    def disconnect_protocol(self, app: str, port: str | Port, msg_server: str | None = None) -> Context:
        """Take a grant back, whichever role it has."""
        port = self._port(port, msg_server)
        granted = self._app(app)
        ports = FrozenDict(granted.access.get(port.msg_server, {}))
        if port.name not in ports:
            raise _refuse(f"app {app!r} is not connected to {port.name!r} on {port.msg_server}")
        left = ports.without(port.name)
        access = FrozenDict(granted.access)
        access = access.with_item(port.msg_server, left) if left else access.without(port.msg_server)
        served = self._served.without(port) if self._served.get(port) == app else self._served
        return replace(self, apps=self.apps.with_item(app, replace(granted, access=access)), _served=served)

    # --- the whole ------------------------------------------------------------------------------------

    def set_kos_options(self, **options: Any) -> Context:
        """Set system-wide options; see `Options` for those there are."""
        if unknown := options.keys() - Options.__dataclass_fields__.keys():
            name = min(unknown)
            raise _refuse(f"no option {name!r}", _closest(name, Options.__dataclass_fields__, "see Options"))
        return replace(self, options=replace(self.options, **options))

    def manifest(self) -> Manifest:
        """The finished system."""
        manifest = Manifest(
            name=self.name,
            release=self.release,
            platform=str(self.platform),
            options=self.options,
            msg_servers={name: MsgServer(sorted(ports)) for name, ports in self.msg_servers.items()},
            apps=self.apps,
            where=self.where,
        )
        check_references(manifest)
        return manifest

    # --- checks ---------------------------------------------------------------------------------------

    def _where(self) -> str:
        return relative(user_location(), self.root)

    def _check_name(self, kind: Field, name: object) -> None:
        try:
            kind.load(name, "name")
        except ManifestError as error:
            raise _refuse(error.message) from None
        if name in names.RESERVED:
            raise _refuse(f"the name {name!r} belongs to the platform")
        if name in self.msg_servers:
            raise _refuse(f"{name!r} is a message server already")
        if name in self.apps:
            raise _refuse(f"there is an app {name!r} already", "use update_app to change it")

    def _port(self, port: str | Port, msg_server: str | None) -> Port:
        if isinstance(port, Port):
            if msg_server not in (None, port.msg_server):
                raise _refuse(f"port {port.name!r} is on {port.msg_server}, not on {msg_server}")
            return port
        if msg_server is None:
            raise _refuse(f"port {port!r}: which message server?", "name it: Poukai.msg_server")
        return Port(port, msg_server)

    def _ports(self, msg_server: str) -> frozenset[str]:
        if msg_server not in self.msg_servers:
            hint = _closest(msg_server, self.msg_servers, "put it with put_msg_server, or name a base system")
            raise _refuse(f"there is no message server {msg_server!r}", hint)
        return self.msg_servers[msg_server]

    def _app(self, name: str) -> App:
        if name not in self.apps:
            raise _refuse(
                f"there is no app {name!r}", _closest(str(name), self.apps, "put it with put_app first")
            )
        return self.apps[name]

    def _check_grant(self, app: str, port: Port, access: AccessControl) -> None:
        ports = self._ports(port.msg_server)
        if port.name not in ports:
            hint = _closest(port.name, ports, "declare it with put_port first")
            raise _refuse(f"app {app!r}: there is no port {port.name!r} on {port.msg_server}", hint)
        if access.role == "server" and port in self._served:
            raise _refuse(
                f"port {port.name!r} on {port.msg_server} is served by {self._served[port]!r} already"
            )

    def _with_app(self, app: App) -> Context:
        served = self._served
        for port, access in app.grants():
            self._check_grant(app.name, port, access)
            if access.role == "server":
                served = served.with_item(port, app.name)
        return replace(self, apps=self.apps.with_item(app.name, app), _served=served)
