"""Protobuf between a C app and a Python app, in both directions, over one protocol."""

from kos.manifest import App, CImage, Context, PythonImage, System
from kos.systems import Poukai

STATISTICS = "statistics_protocol"


class ProtobufExample(System):
    base = Poukai
    release = "0.1.0"

    def setup(self, ctx: Context) -> Context:
        return (
            ctx.put_port(STATISTICS, Poukai.msg_server)
            .put_app(App("statistics", CImage("apps/statistics"), priority=110))
            .put_app(App("asker", PythonImage("apps/asker")))
            .serve_protocol("statistics", STATISTICS, Poukai.msg_server)
            .connect_protocol("asker", STATISTICS, Poukai.msg_server)
            .set_kos_options(persistent_boot=True)
        )
