"""Several threads on either end of a mailbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.system import system


@pytest.mark.parametrize("servers", [1, 3])
@pytest.mark.parametrize("sharing", ["shared", "own"])
def test_every_answer_comes_to_the_thread_that_asked(programs: Path, servers: int, sharing: str) -> None:
    with system(msg0=["echo"]) as running:
        running.start("server", {"echo": "server"}, programs / "pool_server", str(servers))
        running.servers["msg0"].event("ready", app="server")
        client = running.start("client", {"echo": "client"}, programs / "threads", "4", "2000", sharing)
        assert client.finish() == (0, "ok\n")
