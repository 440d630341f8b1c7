"""A system with two message servers: an app between them holds connections of both and mixes up neither."""

from __future__ import annotations

from pathlib import Path

from tests.device.systems import RunningSystem, app, install

INNER = """
    from kos import app

    def main():
        server = app.Server()
        server.bind("inner", lambda request: (app.Status.OK, request.param + 1))
        app.ready()
        server.serve()
"""

# Serves on msg0 with what it learns on msg1; label 2 asks for its token of msg1, which msg0 cannot carry.
BRIDGE = """
    from kos import app

    def main():
        inner = app.connect("inner")

        def outer(request):
            if request.label == 2:
                return app.Message(app.Status.OK, token=app.connect("inner"))
            return app.Status.OK, inner.call(1, request.param).param * 10

        server = app.Server()
        server.bind("outer", outer)
        app.ready()
        server.serve()
"""

CLIENT = """
    from kos import app

    def main():
        outer = app.connect("outer")
        print("answer", outer.call(1, 4).param, flush=True)
        reply = outer.call(2, accept_token=True, check=False)
        print("token", app.Status(reply.label).name, reply.token, flush=True)
        print("answer", outer.call(1, 6).param, flush=True)
        for port in ("inner", "outer"):
            try:
                print(port, app.query(port), flush=True)
            except app.StatusError as error:
                print(port, error.status.name, flush=True)
        app.ready()
"""


def test_an_app_between_two_message_servers(tmp_path: Path) -> None:
    install(
        tmp_path,
        {
            "inner": app(INNER, access={"msg1": {"inner": {"role": "server"}}}),
            "bridge": app(
                BRIDGE,
                access={"msg0": {"outer": {"role": "server"}}, "msg1": {"inner": {"role": "client"}}},
            ),
            "client": app(CLIENT, access={"msg0": {"outer": {"role": "client"}}}),
        },
        {"msg0": ["outer"], "msg1": ["inner"]},
    )
    with RunningSystem(tmp_path) as system:
        system.wait_for("| answer 50")
        # A token stays on the message server that it came from.
        system.wait_for("| token INTERNAL_ERROR None")
        system.wait_for("| answer 70")
        system.wait_for("| inner NOT_FOUND")
        system.wait_for("| outer True")
