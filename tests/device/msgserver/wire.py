"""The control protocol spoken by hand: what a hostile app could send, without libkos in between."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import NamedTuple

from kos.abi.control import HEADER, PACKET_MAX, Op
from kos.abi.status import Status
from kos.abi.trace import RECORD_SIZE

DEADLINE = 60.0  # seconds that any answer may take before the test fails


class Reply(NamedTuple):
    status: int
    words: tuple[int, ...]
    data: bytes
    descriptors: list[int]


class Edges:
    """Waits until an event descriptor was signalled since the last time; such a one is never read."""

    def __init__(self, descriptor: int) -> None:
        self._epoll = select.epoll()
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)

    def wait(self) -> None:
        assert self._epoll.poll(DEADLINE), f"no event within {DEADLINE} s"

    def close(self) -> None:
        self._epoll.close()


class App:
    """One registered app and its end of the control connection."""

    def __init__(self, server: Server, name: str, app_id: int, access: dict[str, str], **more: int) -> None:
        self.name = name
        self.id = app_id
        self.socket = server.register(name, app_id, access, **more)
        self.socket.settimeout(DEADLINE)
        self.page_fd = self.event_fd = self.completion_fd = -1
        self._edges: list[Edges] = []

    def ask(self, op: int, *words: int, data: bytes = b"") -> Reply:
        padded = words + (0,) * (6 - len(words))
        self.socket.send(HEADER.pack(op, len(data), *padded) + data)
        return self.receive()

    def receive(self) -> Reply:
        packet, descriptors, _flags, _address = socket.recv_fds(self.socket, PACKET_MAX, 4)
        if not packet:
            raise ConnectionResetError("the message server hung up")
        status, _size, *words = HEADER.unpack_from(packet)
        return Reply(status, tuple(words), packet[HEADER.size :], descriptors)

    def hello(self) -> App:
        reply = self.ask(Op.HELLO, 1)
        assert reply.status == Status.CREATED
        assert reply.words[0] == self.id
        self.page_fd, self.event_fd, self.completion_fd = reply.descriptors
        self._edges = [Edges(self.event_fd), Edges(self.completion_fd)]
        return self

    def next_event(self) -> Reply:
        while (event := self.ask(Op.NEXT_EVENT)).status == Status.NO_REPLY:
            self._edges[0].wait()
        return event

    def request(self, port: str, slot: int, flags: int = 0, payload: bytes = b"") -> int:
        reply = self.ask(Op.REQUEST, slot, flags, data=port.encode() + b"\0" + payload)
        assert reply.status == Status.OK, Status(reply.status)
        return reply.words[0]

    def request_result(self, request_id: int) -> Reply:
        while (result := self.ask(Op.REQUEST_RESULT, request_id)).status == Status.NO_REPLY:
            self._edges[1].wait()
        return result

    def close(self) -> None:
        self.socket.close()
        for edges in self._edges:
            edges.close()
        for descriptor in (self.page_fd, self.event_fd, self.completion_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self.page_fd = self.event_fd = self.completion_fd = -1
        self._edges = []


class Server:
    """A real message server process, with the test in the supervisor's place."""

    def __init__(self, *ports: str) -> None:
        self.admin, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.admin.settimeout(DEADLINE)
        admin_fd = theirs.fileno()

        def become_descriptor_3() -> None:
            os.dup2(admin_fd, 3)

        self.process = subprocess.Popen(
            [sys.executable, "-m", "kos.device.msgserver", "msg0"],
            env={**os.environ, "KOS_PORTS": ",".join(ports)},
            pass_fds=(3,) if admin_fd == 3 else (3, admin_fd),
            preexec_fn=become_descriptor_3,
        )
        theirs.close()
        assert self.event()["event"] == "started"
        self._ids = itertools.count()
        self._spawned: dict[str, int] = {}
        self._apps: list[App] = []
        self._processes: list[subprocess.Popen] = []

    def command(self, command: dict, *connections: socket.socket) -> None:
        socket.send_fds(self.admin, [json.dumps(command).encode()], [each.fileno() for each in connections])

    def event(self) -> dict:
        return json.loads(self.admin.recv(256 << 10))

    def wait_event(self, kind: str) -> dict:
        while (event := self.event())["event"] != kind:
            continue
        return event

    def status(self) -> dict:
        self.command({"op": "status", "seq": 1})
        apps: dict = {}
        while True:
            part = self.wait_event("status")
            apps |= part["apps"]
            if not part["more"]:
                return apps

    def register(self, name: str, app_id: int, access: dict[str, str], **more: int) -> socket.socket:
        """The app's end of a new control connection; `more` is what else the supervisor says of it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        grants = {port: {"role": role} for port, role in access.items()}
        with theirs:
            self.command({"op": "register", "app": name, "id": app_id, "access": grants, **more}, theirs)
        return ours

    def app(self, name: str, **access: str) -> App:
        app = App(self, name, 0x10000 + next(self._ids), access)
        self._apps.append(app)
        return app.hello()

    def traced(self, name: str, *, tracer: bool = False, **access: str) -> App:
        """An app that leaves records, or the trace server that reads them."""
        more = {"tracer": True} if tracer else {"traced": RECORD_SIZE}
        app = App(self, name, 0x10000 + next(self._ids), access, **more)
        self._apps.append(app)
        return app.hello()

    def spawn(self, name: str, code: str, *arguments: str, **access: str) -> subprocess.Popen:
        """An app that runs `code` over kos.app, in a process of its own; its output can be read."""
        return self.spawn_command(name, [sys.executable, "-c", code, *arguments], **access)

    def spawn_command(self, name: str, command: list[str], **access: str) -> subprocess.Popen:
        """The same for any program. An app that is started again keeps its id."""
        app_id = self._spawned.setdefault(name, 0x20000 + len(self._spawned))
        with self.register(name, app_id, access) as connection:
            process = subprocess.Popen(
                command,
                env={"KOS_APP_NAME": name, "KOS_MSG_SERVERS": f"msg0:{connection.fileno()}"},
                pass_fds=[connection.fileno()],
                stdout=subprocess.PIPE,
                text=True,
            )
        self._processes.append(process)
        return process

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            process.stdout.close()
        for app in self._apps:
            app.close()
        self.admin.close()
        # A test may have killed it.
        assert self.process.wait(DEADLINE) in (0, -signal.SIGKILL)
