"""Data out by MQTT: a Python app with paho, a C app, and the relay that keeps what they say."""

from kos.manifest import App, CImage, Context, PythonImage, System, TunnelIp
from kos.systems import MqttRelay, Poukai

GATEWAY = "10.90.0.1"


class MqttExample(System):
    base = Poukai(tunnel=True)
    release = "0.1.0"

    def setup(self, ctx: Context) -> Context:
        interval = ctx.config.number("example", "interval", 1.0)  # seconds
        return (
            ctx.put_app(App("station", PythonImage("apps/station"), config={"interval": interval}))
            .put_app(
                App("meter", CImage("apps/meter"), arguments=[str(int(interval * 1000))], memory=16 << 20)
            )
            .put_app(MqttRelay(server=GATEWAY, apps=["station", "meter"]))
            # Only the relay has a way outside, and only to the server's bus.
            .set_kos_options(
                persistent_boot=True,
                tunnel_ips={MqttRelay.name: TunnelIp("10.90.1.2", "255.255.0.0", GATEWAY)},
            )
        )
