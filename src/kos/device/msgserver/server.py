"""The message server's loop: connections of apps, the admin connection of the supervisor, and fair turns.

Every socket is non-blocking; a turn handles one packet of each connection that has one, so an app that
floods only gets its share. An app that does not read its answers, or breaks the protocol too often, is
disconnected and reported.
"""

from __future__ import annotations

import array
import json
import selectors
import socket
import time

from kos.abi.control import HEADER, PACKET_MAX
from kos.abi.status import Status
from kos.device.msgserver.operations import Answer, Operations
from kos.device.msgserver.tables import App, Mailbox, Tables

ADMIN_PACKET_MAX = 256 << 10  # bytes of one JSON packet on the admin connection
STATUS_PART_BYTES = 64 << 10  # of apps in one packet of a status, before the last of them
VIOLATIONS_MAX = 64  # malformed packets from one app before it is disconnected
REPORT_INTERVAL = 1.0  # seconds between two reports of one kind about one app; the rest is counted


class Disconnect(Exception):
    """This app's connection cannot go on."""


class MessageServer:
    """Serves apps until the supervisor closes the admin connection."""

    def __init__(self, admin: socket.socket, ports: frozenset[str]) -> None:
        self._tables = Tables(ports)
        self._operations = Operations(self._tables, self._report)
        self._admin = admin
        self._selector = selectors.DefaultSelector()
        self._connections: dict[App, socket.socket] = {}
        self._reported: dict[tuple[str, App], tuple[float, int]] = {}
        self._running = True

    def run(self) -> None:
        self._admin.setblocking(True)
        self._selector.register(self._admin, selectors.EVENT_READ, None)
        self._send_admin({"event": "started"})
        while self._running:
            for key, _events in self._selector.select():
                app = key.data
                if app is None:
                    self._receive_admin()
                elif app.alive:
                    self._receive_app(app)

    # --- apps ---------------------------------------------------------------------------------------------

    def _receive_app(self, app: App) -> None:
        connection = self._connections[app]
        try:
            packet, _ancillary, flags, _address = connection.recvmsg(PACKET_MAX)
            if not packet:
                raise Disconnect
            answer = self._answer(app, packet, flags)
            self._send_answer(connection, answer)
        except (Disconnect, OSError) as error:
            text = "does not read its answers" if isinstance(error, BlockingIOError) else str(error)
            if isinstance(error, ConnectionError):
                text = ""  # it closed the connection, most often by its end
            if text:
                # Not by `_report`, which leaves some out: this is the last that is heard of it here.
                said = f"{text} and is disconnected"
                self._send_admin({"event": "violation", "app": app.name, "text": said})
            self._disconnect(app)
            end = {"event": "disconnected", "app": app.name, "number": app.number}
            self._send_admin(end | ({"text": text} if text else {}))

    def _answer(self, app: App, packet: bytes, flags: int) -> Answer:
        if flags & socket.MSG_TRUNC:
            return self._violation(app, f"a packet of over {PACKET_MAX} bytes")
        if flags & socket.MSG_CTRUNC:  # we gave no room for them, so the kernel has closed them
            return self._violation(app, "descriptors on its control connection")
        if len(packet) < HEADER.size:
            return self._violation(app, f"a packet of {len(packet)} bytes, shorter than its header")
        op, size, *words = HEADER.unpack_from(packet)
        data = packet[HEADER.size :]
        if size != len(data):
            return self._violation(app, f"a packet that says {size} bytes and has {len(data)}")
        return self._operations.run(app, op, tuple(words), data)

    def _violation(self, app: App, text: str) -> Answer:
        app.violations += 1
        self._report("violation", app, text=text)
        if app.violations > VIOLATIONS_MAX:
            raise Disconnect(f"broke the protocol {app.violations} times")
        return Answer(Status.BAD_REQUEST)

    @staticmethod
    def _send_answer(connection: socket.socket, answer: Answer) -> None:
        """Send without waiting: an app that left no room did not read its answers (OSError)."""
        words = answer.words + (0,) * (6 - len(answer.words))
        packet = HEADER.pack(answer.status, len(answer.data), *words) + answer.data
        ancillary = []
        if answer.descriptors:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", answer.descriptors))]
        connection.sendmsg([packet], ancillary)
        if answer.sent:
            answer.sent()

    def _disconnect(self, app: App) -> None:
        connection = self._connections.pop(app)
        self._selector.unregister(connection)
        connection.close()
        self._tables.remove(app)
        self._reported = {key: value for key, value in self._reported.items() if key[1].alive}

    # --- the supervisor -----------------------------------------------------------------------------------

    def _receive_admin(self) -> None:
        try:
            packet, descriptors, _flags, _address = socket.recv_fds(self._admin, ADMIN_PACKET_MAX, 1)
        except ConnectionResetError:  # it left reports of ours unread
            packet = b""
        if not packet:  # the supervisor is gone, and with it our reason to be
            self._running = False
            return
        command = json.loads(packet)
        match command["op"]:
            case "register":
                self._register(command, socket.socket(fileno=descriptors[0]))
            case "unregister":
                app = self._tables.apps.get(command["app"])
                if app:
                    self._disconnect(app)
            case "status":
                self._send_status(command["seq"])

    def _register(self, command: dict, connection: socket.socket) -> None:
        previous = self._tables.apps.get(command["app"])
        if previous:
            self._disconnect(previous)
        access = {
            port: grant["role"] for port, grant in command["access"].items() if port in self._tables.ports
        }
        app = App(command["app"], command["id"], access)
        app.number = command.get("number", 0)
        app.traced, app.tracer = command.get("traced", 0), command.get("tracer", False)
        self._tables.apps[app.name] = app
        connection.setblocking(False)
        self._connections[app] = connection
        self._selector.register(connection, selectors.EVENT_READ, app)

    def _report(self, event: str, app: App, **details: str) -> None:
        """Tell the supervisor, at most once an interval for each kind and app; say how many were left out."""
        now = time.monotonic()
        last, left_out = self._reported.get((event, app), (-REPORT_INTERVAL, 0))
        if now - last < REPORT_INTERVAL:
            self._reported[event, app] = (last, left_out + 1)
            return
        self._reported[event, app] = (now, 0)
        more = {"left_out": left_out} if left_out else {}
        self._send_admin({"event": event, "app": app.name, **details, **more})

    def _send_admin(self, event: dict) -> None:
        try:
            self._admin.send(json.dumps(event).encode())
        except ConnectionError:
            self._running = False

    def _send_status(self, seq: int) -> None:
        """Answer in parts, each of which fits a packet however many apps there are."""
        part: dict[str, dict] = {}
        size = 0
        for name, status in self._status().items():
            part[name] = status
            size += len(json.dumps(status))
            if size > STATUS_PART_BYTES:
                self._send_admin({"event": "status", "seq": seq, "apps": part, "more": True})
                part, size = {}, 0
        self._send_admin({"event": "status", "seq": seq, "apps": part, "more": False})

    def _status(self) -> dict:
        return {
            app.name: {
                "ready": app.ready,
                "serves": sorted(port for port, each in self._tables.bindings.items() if each.server is app),
                "clients": len(app.owned),
                "tokens": sum(
                    isinstance(token, Mailbox) and not token.closed for token in app.slots.values()
                ),
                "connections": sorted(
                    {t.owner.name for t in app.slots.values() if isinstance(t, Mailbox) and not t.closed}
                ),
                "queue_dropped": app.queue_dropped
                + sum(each.shared.queue_dropped for each in app.owned.values()),
                "refused": app.refused,
                "violations": app.violations,
            }
            for app in self._tables.apps.values()
        }
