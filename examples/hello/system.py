"""Hello: an app in C greets, an app in Python answers."""

from kos.manifest import App, CImage, Context, PythonImage, System
from kos.systems import Poukai

HELLO = "hello_protocol"


class Hello(System):
    base = Poukai
    release = "0.1.0"

    def setup(self, ctx: Context) -> Context:
        return (
            ctx.put_port(HELLO, Poukai.msg_server)
            .put_app(App("hello_python", PythonImage("apps/hello_python"), priority=110))
            .put_app(App("hello_c", CImage("apps/hello_c"), arguments=["world"]))
            .serve_protocol("hello_python", HELLO, Poukai.msg_server)
            .connect_protocol("hello_c", HELLO, Poukai.msg_server)
            .set_kos_options(persistent_boot=True)
        )
