"""`Poukai`: the base layer. A message server, the core apps, and the connections between them.

    class WeatherStation(System):
        base = Poukai                  # or Poukai(tunnel=True, admin=True)

The connections are the reference's: self_test → rng; tunnel → log, key store, ethernet; admin → log, rng, key
store, tunnel and, with tracing, the trace server. Beside them, self_test tests the log and the key store too,
with a key of its own. A user's own app gets no port unless the user connects it:

    ctx.connect_protocol("station", Poukai.log)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kos.abi import services
from kos.manifest import AccessControl, App, Context, Port, Restart, ServiceImage, System
from kos.manifest.resources import Keys, Network, Resource, Storage, Supervisor
from kos.systems.i2c_server import MSG0, Bus

_MIB = 1 << 20
# MiB: about twice what each was seen to use, so that the whole layer fits beside apps into 512 MiB (am335x).
_MEMORY = {
    "rng": 32,
    "log": 32,
    "keystore": 48,
    "selftest": 48,
    "ethernet": 48,
    "tunnel": 64,
    "admin": 96,
    "trace": 48,
}

_TRACE_PRIORITY = 105
_TRACE_DESCRIPTORS = 1024  # one for each app that is traced, on Python before 3.13


def _entry(service: str) -> ServiceImage:
    return ServiceImage(f"kos.services.{service}.main:main")


class Poukai(System):
    """The base layer.

    Attributes:
        msg_server, msg0: the name of its message server.
        rng_server, log_server, key_store, self_test, ethernet, tunnel, admin, trace_server: the names of its
            apps.
        rng, log, log_admin, keys, ethernet_port, internet, trace, trace_admin: the ports that they serve.
        i2c1 … i2c4: the buses that boards have; see `I2CServer`.
    """

    msg_server = msg0 = MSG0
    rng_server = "rng_server"
    log_server = "log_server"
    key_store = "key_store"
    self_test = "self_test"
    ethernet = "ethernet"
    tunnel = "tunnel"
    admin = "admin"
    trace_server = "trace_server"

    rng = Port(services.PORT_RNG, MSG0)
    log = Port(services.PORT_LOG, MSG0)
    log_admin = Port(services.PORT_LOG_ADMIN, MSG0)
    keys = Port(services.PORT_KEY_STORE, MSG0)
    ethernet_port = Port(services.PORT_ETHERNET, MSG0)
    internet = Port(services.PORT_INTERNET, MSG0)
    trace = Port(services.PORT_TRACE, MSG0)
    trace_admin = Port(services.PORT_TRACE_ADMIN, MSG0)

    i2c1 = Bus("i2c1")
    i2c2 = Bus("i2c2")
    i2c3 = Bus("i2c3")
    i2c4 = Bus("i2c4")

    def __init__(
        self,
        *,
        self_test: bool = True,
        ethernet: bool = False,
        tunnel: bool = False,
        admin: bool = False,
        tracing: bool | Sequence[str] = False,
        admin_config: dict[str, Any] | None = None,
        tunnel_config: dict[str, Any] | None = None,
        ethernet_config: dict[str, Any] | None = None,
    ) -> None:
        """Choose what the layer holds. `admin` brings the tunnel, and the tunnel brings ethernet.

        Args:
            self_test: basic tests at start-up; a new generation is good only when they passed.
            ethernet: the driver of the network interface.
            tunnel: encrypted communication with the internet.
            admin: the connection to a Studio or Fleet Server.
            tracing: the trace server, and every app of the finished system that uses the message server
                traced by it; or the names of those to trace. Sets the option `tracing`.
            admin_config, tunnel_config, ethernet_config: what those apps read with `kos.app.config()`.
        """
        self._with_self_test = self_test
        self._with_admin = admin
        self._with_tunnel = tunnel or admin
        self._with_ethernet = ethernet or self._with_tunnel
        self._traced = None if isinstance(tracing, bool) else frozenset(tracing)
        self._with_tracing = bool(tracing)
        self._admin_config = admin_config or {}
        self._tunnel_config = tunnel_config or {}
        self._ethernet_config = ethernet_config or {}

    def setup(self, ctx: Context) -> Context:
        ctx = ctx.put_msg_server(self.msg_server)
        for port in (self.rng, self.log, self.log_admin, self.keys):
            ctx = ctx.put_port(port)
        ctx = (
            ctx.put_app(_core(self.rng_server, "rng", 150, self.rng))
            .put_app(
                _core(self.log_server, "log", 120, self.log, self.log_admin, resources=[Storage(16 * _MIB)])
            )
            .put_app(
                _core(
                    self.key_store,
                    "keystore",
                    140,
                    self.keys,
                    resources=[Keys()],
                    config=self._key_store_config(),
                )
            )
        )
        if self._with_ethernet:
            ctx = ctx.put_port(self.ethernet_port).put_app(
                _core(
                    self.ethernet,
                    "ethernet",
                    130,
                    self.ethernet_port,
                    resources=[Network()],
                    config=self._ethernet_config,
                )
            )
        if self._with_tracing:
            ctx = self._put_trace_server(ctx.set_kos_options(tracing=True))
        if self._with_tunnel:
            ctx = self._put_tunnel(ctx)
        if self._with_admin:
            ctx = self._put_admin(ctx)
        if self._with_self_test:
            ctx = ctx.put_app(
                _core(self.self_test, "selftest", 90, resources=[Supervisor()], restart_never=True)
            )
            for port in (self.rng, self.log, self.keys):
                ctx = ctx.connect_protocol(self.self_test, port)
        return ctx

    def finish(self, ctx: Context) -> Context:
        """Connect the apps to trace, which are known only now, to the trace server."""
        if not ctx.options.tracing:
            return ctx
        if self.trace_server not in ctx.apps:
            ctx = self._put_trace_server(ctx)
        users = [name for name, app in ctx.apps.items() if self.msg_server in app.access]
        chosen = users if self._traced is None else sorted(self._traced)
        for name in chosen:
            connected = name in ctx.apps and self.trace.name in ctx.apps[name].access.get(self.msg_server, {})
            if name != self.trace_server and not connected:
                # A traced app sends nothing through the port: no one waits for a server that is less urgent.
                blocking = ctx.apps[name].priority < _TRACE_PRIORITY if name in ctx.apps else True
                ctx = ctx.connect_protocol(name, self.trace, access=AccessControl.client(blocking=blocking))
        return ctx

    def _put_trace_server(self, ctx: Context) -> Context:
        for port in (self.trace, self.trace_admin):
            ctx = ctx.put_port(port)
        ctx = ctx.put_app(
            _core(
                self.trace_server,
                "trace",
                _TRACE_PRIORITY,
                self.trace,
                self.trace_admin,
                resources=[Supervisor()],
            )
        )
        ctx = ctx.update_app(self.trace_server, descriptors=_TRACE_DESCRIPTORS)
        return ctx.connect_protocol(self.admin, self.trace_admin) if self.admin in ctx.apps else ctx

    def _key_store_config(self) -> dict[str, Any]:
        """Which app may do what with which of the device's two keys; self_test has one that means nothing."""
        access = {}
        if self._with_self_test:
            access[self.self_test] = {"self_test": ["public", "sign"]}
        if self._with_tunnel:
            access[self.tunnel] = {"tunnel": ["public", "agree"]}
        if self._with_admin:
            access[self.admin] = {"server": ["public", "sign"]}
        return {"access": access} if access else {}

    def _put_tunnel(self, ctx: Context) -> Context:
        ctx = ctx.put_port(self.internet).put_app(
            _core(
                self.tunnel,
                "tunnel",
                110,
                self.internet,
                resources=[Network()],
                config=self._tunnel_config_of(ctx),
            )
        )
        for port in (self.log, self.keys, self.ethernet_port):
            ctx = ctx.connect_protocol(self.tunnel, port)
        return ctx

    def _tunnel_config_of(self, ctx: Context) -> dict[str, Any]:
        """The project's `[tunnel]` settings, below what the layer was made with."""
        settings = {**ctx.config.section("tunnel"), **self._tunnel_config.get("tunnel_settings", {})}
        return {**self._tunnel_config, **({"tunnel_settings": settings} if settings else {})}

    def _put_admin(self, ctx: Context) -> Context:
        ctx = ctx.put_app(
            _core(
                self.admin,
                "admin",
                100,
                resources=[Supervisor(streams=True, upgrade=True)],
                config=self._admin_config,
            )
        )
        for port in (self.log, self.rng, self.keys, self.internet):
            ctx = ctx.connect_protocol(self.admin, port)
        return ctx.connect_protocol(self.admin, self.trace_admin) if self._with_tracing else ctx


def _core(
    name: str,
    service: str,
    priority: int,
    *serves: Port,
    resources: list[Resource] | None = None,
    config: dict[str, Any] | None = None,
    restart_never: bool = False,
) -> App:
    """A core app: critical, and more urgent than those that call it."""
    access = {MSG0: {port.name: AccessControl.server() for port in serves}} if serves else {}
    return App(
        name,
        _entry(service),
        priority=priority,
        memory=_MEMORY[service] * _MIB,
        critical=True,
        resources=resources or [],
        config=config or {},
        access=access,
        restart=Restart("never") if restart_never else Restart(),
    )
