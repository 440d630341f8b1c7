"""A real message server with real app processes around it, without supervisor and sandbox."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

DEADLINE = 90.0  # seconds for whatever a test waits for
SOURCE = Path(__file__).resolve().parents[2] / "src"


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class App:
    """A process with a control connection to one or more message servers; its output is one pipe."""

    def __init__(self, process: subprocess.Popen[bytes], caller_id: int) -> None:
        self.process = process
        self.id = caller_id
        self._pending = b""

    def line(self) -> str:
        """The next line of its output; fails the test when none comes in time."""
        end = time.monotonic() + DEADLINE
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                assert selector.select(max(0, end - time.monotonic())), f"no line; so far {self._pending!r}"
                data = os.read(self.process.stdout.fileno(), 65536)
                assert data, f"the app ended; its last words: {self._pending!r}"
                self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def lines(self, count: int) -> list[str]:
        return [self.line() for _ in range(count)]

    def tell(self, text: str) -> None:
        """Write a line to its standard input."""
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, text: str) -> str:
        """Write a line and return the line that it answers."""
        self.tell(text)
        return self.line()

    def finish(self) -> tuple[int, str]:
        """Wait for its end; → exit status and what it still printed."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(DEADLINE)
        rest = self._pending + self.process.stdout.read()
        self._pending = b""
        return self.process.returncode, rest.decode()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)


class MessageServer:
    """One message server process and the supervisor's end of its admin connection."""

    def __init__(self, name: str, ports: list[str]) -> None:
        self.name = name
        self.admin, theirs = _pair()
        self.admin.settimeout(DEADLINE)
        # The admin connection is descriptor 3 there; a shell would be one more process in between.
        place = f"import os; os.dup2({theirs.fileno()}, 3)"
        boot = f"{place}; from kos.device.msgserver.__main__ import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", boot, name],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"KOS_PORTS": ",".join(ports)},
        )
        theirs.close()
        self.event("started")

    def event(self, kind: str, **wanted: str) -> dict:
        """Wait for a report of that kind with those values."""
        while True:
            event = json.loads(self.admin.recv(65536))
            if event["event"] == kind and all(event.get(key) == value for key, value in wanted.items()):
                return event

    def register(
        self, app: str, caller_id: int, access: dict[str, str], connection: socket.socket, traced: int = 0
    ) -> None:
        grants = {port: {"role": role} for port, role in access.items()}
        order = {"op": "register", "app": app, "id": caller_id, "access": grants, "traced": traced}
        socket.send_fds(self.admin, [json.dumps(order).encode()], [connection.fileno()])

    def stop(self) -> None:
        self.admin.close()
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()


class System:
    """Message servers and apps; everything it started ends with it."""

    def __init__(self, **servers: list[str]) -> None:
        """Names of message servers with their ports."""
        self.servers = {name: MessageServer(name, ports) for name, ports in servers.items()}
        self.apps: list[App] = []
        self._ids: dict[str, int] = {}

    def start(
        self,
        name: str,
        access: dict[str, str],
        *command: str | Path,
        cpu: int | None = None,
        traced: int = 0,
    ) -> App:
        """Start an app.

        Args:
            access: port → role on all message servers that have the port.
            traced: bytes of a record of its trace; 0 for none.
        """
        caller_id = self._ids.setdefault(name, 0x10000 + len(self._ids))
        ours = []
        for server in self.servers.values():
            theirs, mine = _pair()
            server.register(name, caller_id, access, theirs, traced)
            theirs.close()
            ours.append((server.name, mine))
        environment = os.environ | {
            "KOS_APP_NAME": name,
            "KOS_MSG_SERVERS": ",".join(f"{server}:{mine.fileno()}" for server, mine in ours),
        }
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        process = subprocess.Popen(
            [*pin, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[mine.fileno() for _server, mine in ours],
            env=environment,
        )
        for _server, mine in ours:
            mine.close()
        app = App(process, caller_id)
        self.apps.append(app)
        return app

    def start_python(
        self, name: str, access: dict[str, str], code: str, cpu: int | None = None, traced: int = 0
    ) -> App:
        """Start an app whose code is `code`."""
        boot = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{code}"
        return self.start(name, access, sys.executable, "-u", "-c", boot, cpu=cpu, traced=traced)

    def stop(self) -> None:
        for app in self.apps:
            app.kill()
            app.process.stdin.close()
            app.process.stdout.close()
        for server in self.servers.values():
            server.stop()


@contextlib.contextmanager
def system(**servers: list[str]) -> Iterator[System]:
    running = System(**servers)
    try:
        yield running
    finally:
        running.stop()
