"""`MqttRelay`: data out by MQTT, kept on the device while the server is away.

    ctx.put_app(MqttRelay(server="10.90.0.1", apps=["station"]))

An app in `apps` publishes with any MQTT library to 127.0.0.1:1883; it needs no address in the tunnel for
that. The relay itself needs one (`tunnel_ips`), and the base layer with its tunnel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from kos.abi.services import PORT_INTERNET, PORT_KEY_STORE, PORT_MQTT
from kos.manifest import AccessControl, App, Context, Port, ServiceImage
from kos.manifest.resources import Network, Storage
from kos.systems.i2c_server import MSG0
from kos.systems.poukai import Poukai

_MIB = 1 << 20


@dataclass(frozen=True)
class MqttRelay:
    """The relay and the grants of the apps that use it.

    Attributes:
        server: HOST or HOST:PORT of the server's bus, as the device reaches it through the tunnel.
        apps: who may publish. They must be in the system already.
        spool: bytes on the data partition for what waits; the oldest is dropped, and counted, when it is
            full.
        priority: of the relay.
    """

    name: ClassVar[str] = "mqtt_relay"
    port: ClassVar[Port] = Port(PORT_MQTT, MSG0)

    server: str
    apps: Sequence[str] = ()
    spool: int = 8 * _MIB
    priority: int = 105  # above those who publish, below the tunnel

    def setup(self, ctx: Context) -> Context:
        ctx = ctx.put_port(self.port).put_app(
            App(
                self.name,
                ServiceImage("kos.services.mqtt_relay.main:main"),
                priority=self.priority,
                memory=64 * _MIB + 2 * self.spool,
                resources=[Network(), Storage(2 * self.spool)],
                config={"server": self.server, "spool": self.spool},
                access={MSG0: {PORT_MQTT: AccessControl.server()}},
            )
        )
        ctx = self._let_it_sign(ctx)
        for port in (PORT_KEY_STORE, PORT_INTERNET):
            ctx = ctx.connect_protocol(self.name, Port(port, MSG0))
        for app in self.apps:
            ctx = ctx.connect_protocol(app, self.port)
        return ctx

    def _let_it_sign(self, ctx: Context) -> Context:
        """Towards the server the relay is the device, so it may use the device's key, as admin may."""
        config = dict(ctx.apps[Poukai.key_store].config)
        access = {**config.get("access", {}), self.name: {"server": ["public", "sign"]}}
        return ctx.update_app(Poukai.key_store, config={**config, "access": access})
