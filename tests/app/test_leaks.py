"""Connections come and go: nobody keeps a descriptor or a mapping of one that ended."""

from __future__ import annotations

from pathlib import Path

from tests.app.system import App, system

ROUNDS = 200
SERVER = """
from kos import app
server = app.Server()
server.bind("echo", lambda request: request.payload)
app.ready()
server.serve()
"""
CLIENT = f"""
import sys
from kos import app
for line in sys.stdin:
    for _ in range({ROUNDS}):
        token = app.connect("echo")
        assert token.call(1, 0, b"x").payload == b"x"
        token.delete()
    print("done")
"""


def held(process_id: int) -> tuple[int, int]:
    """Open descriptors and mappings of shared memory."""
    process = Path("/proc", str(process_id))
    maps = (process / "maps").read_text().count("memfd:kos-mailbox")
    return len(list((process / "fd").iterdir())), maps


def settled(app: App) -> None:
    """Let the server take what it was told last: it answers only after it dropped what had ended."""
    assert app.ask("again") == "done"


def test_nothing_is_left_of_connections_that_ended() -> None:
    with system(msg0=["echo"]) as running:
        server = running.start_python("server", {"echo": "server"}, SERVER)
        running.servers["msg0"].event("ready", app="server")
        client = running.start_python("client", {"echo": "client"}, CLIENT)
        processes = [server.process.pid, client.process.pid, running.servers["msg0"].process.pid]
        settled(client)
        before = [held(pid) for pid in processes]
        for _ in range(3):
            settled(client)
        after = [held(pid) for pid in processes]
        # The newest one may still be on its way out in the server app.
        for (descriptors, maps), (more, more_maps) in zip(before, after, strict=True):
            assert more <= descriptors + 2
            assert more_maps <= maps + 1
