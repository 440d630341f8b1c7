"""The keeper: the one process of a system with rights over its network. `python -m kos.device.network.keeper`

It takes orders from the supervisor on descriptor 3 and requests from ethernet and tunnel on connections
that the supervisor hands it. It decides nothing: the plan says who gets what, and each role has its own few
operations.

As an ordinary user it makes itself a user namespace, and is root in there only.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from kos.abi import network as wire
from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.device.loop import Loop
from kos.device.network.hub import Hub
from kos.device.network.links import Links
from kos.device.network.plan import NetworkPlan
from kos.device.network.tunnel import Tunnel, read_provisioned
from kos.network.namespaces import enter_user_namespace, in_namespace

RESTART_SECONDS = 1.0  # pause before a WireGuard process that died is started again
Answer = tuple[dict[str, Any], list[int]]


class Connection:
    """One peer of the keeper and what it may ask."""

    def __init__(
        self,
        loop: Loop,
        link: socket.socket,
        operations: dict[str, Callable[[dict[str, Any], list[int]], Answer]],
    ) -> None:
        self._loop = loop
        self._link = link
        self._operations = operations
        self.on_close: Callable[[], None] = lambda: None
        link.setblocking(False)
        loop.watch(link.fileno(), self._read)

    def _read(self) -> None:
        try:
            packet, descriptors, flags, _ = socket.recv_fds(self._link, wire.PACKET_MAX, wire.DESCRIPTORS_MAX)
        except BlockingIOError:
            return
        except ConnectionError:
            packet, descriptors, flags = b"", [], 0
        if not packet:
            self._loop.unwatch(self._link.fileno())
            self._link.close()
            self.on_close()
            return
        number = None
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise KosError(f"a request of more than {wire.PACKET_MAX} bytes")
            request = json.loads(packet)
            number = request.get("number") if isinstance(request, dict) else None
            answer, given = self._answer(request, descriptors)
        except (KosError, OSError, ValueError) as error:
            answer, given = {"ok": False, "error": str(error)}, []
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self.send(answer if number is None else {**answer, "number": number}, given)

    def _answer(self, request: Any, descriptors: list[int]) -> Answer:
        operation = self._operations.get(request.get("op")) if isinstance(request, dict) else None
        if operation is None:
            raise KosError("no such operation for this role")
        answer, given = operation(request, descriptors)
        return {"ok": True, **answer}, given

    def send(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        """Send, or lose it: who does not read its answers waits for them in vain, and nobody else does."""
        try:
            socket.send_fds(self._link, [json.dumps(message).encode()], descriptors or [])
        except OSError:
            return


class Keeper:
    """All that the network of one system consists of."""

    def __init__(self, loop: Loop, plan: NetworkPlan, keys: Path, *, owned: bool, user: int | None) -> None:
        """`user`: descriptor of our own user namespace, None as root; `owned` as in `Links`."""
        self._loop = loop
        self._plan = plan
        self._keys = keys
        self._user = user
        self._hub = Hub(plan, read_provisioned(keys).get("network", ""))
        self._links = Links(owned=owned)
        self._tunnel = self._start_tunnel() if "tunnel" in plan.roles.values() else None
        self._ethernet: list[Connection] = []
        self._last_peer: dict[str, Any] | None = None
        loop.watch(self._links.events.socket.fileno(), self._link_changed)

    # --- the supervisor's orders --------------------------------------------------------------------------
    def supervisor_operations(self) -> dict[str, Callable[[dict[str, Any], list[int]], Answer]]:
        return {
            "namespace": self._namespace,
            "attach": self._attach,
            "counters": lambda *_: ({"counters": self._hub.counters()}, []),
        }

    def _namespace(self, request: dict[str, Any], _descriptors: list[int]) -> Answer:
        found = self._hub.apps.get(str(request.get("app")))
        if found is None:
            raise KosError(f"the plan gives {request.get('app')} no network")
        return {"user": self._user is not None}, [found] if self._user is None else [found, self._user]

    def _attach(self, request: dict[str, Any], descriptors: list[int]) -> Answer:
        role = self._plan.roles.get(str(request.get("app")))
        if role is None or len(descriptors) != 1:
            raise KosError(f"the plan gives {request.get('app')} no connection to the keeper")
        link = socket.socket(fileno=os.dup(descriptors[0]))
        if role == "tunnel":
            Connection(self._loop, link, self._tunnel_operations())
        elif role == "mqtt":
            Connection(self._loop, link, self._mqtt_operations())
        else:
            connection = Connection(self._loop, link, self._ethernet_operations())
            self._ethernet.append(connection)
            connection.on_close = lambda: self._ethernet.remove(connection)
        return {}, []

    # --- ethernet -----------------------------------------------------------------------------------------
    def _ethernet_operations(self) -> dict[str, Callable[[dict[str, Any], list[int]], Answer]]:
        def configure(request: dict[str, Any], _descriptors: list[int]) -> Answer:
            self._links.configure(request)
            return {}, []

        return {
            wire.OP_LINKS: lambda *_: (self._links.describe(), []),
            wire.OP_OPEN: self._open,
            wire.OP_CONFIGURE: configure,
        }

    def _open(self, request: dict[str, Any], _descriptors: list[int]) -> Answer:
        return {}, [self._give(each) for each in self._links.open(str(request.get("interface")))]

    def _link_changed(self) -> None:
        self._links.read_events()
        for connection in self._ethernet:
            connection.send({"event": wire.EVENT_LINK})

    # --- mqtt ---------------------------------------------------------------------------------------------
    def _mqtt_operations(self) -> dict[str, Callable[[dict[str, Any], list[int]], Answer]]:
        return {wire.OP_APPS: lambda *_: ({"apps": list(self._plan.mqtt)}, []), wire.OP_LISTEN: self._listen}

    def _listen(self, request: dict[str, Any], _descriptors: list[int]) -> Answer:
        app, port = str(request.get("app")), request.get("port")
        if app not in self._plan.mqtt or type(port) is not int or not 1024 <= port <= 65535:
            raise KosError(f"{app} does not use the relay, or {port} is no port for it")
        listener = in_namespace(self._hub.apps[app], lambda: socket.create_server(("127.0.0.1", port)))
        return {}, [self._give(listener)]

    def _give(self, made: socket.socket) -> int:
        """The descriptor of a socket that goes with the next answer: ours is closed after that."""
        descriptor = made.detach()
        self._loop.call_later(0, lambda: os.close(descriptor))
        return descriptor

    # --- tunnel -------------------------------------------------------------------------------------------
    def _start_tunnel(self) -> Tunnel:
        tunnel = Tunnel(self._hub, self._keys, rootless=self._user is not None)
        process = getattr(tunnel.engine, "process", None)
        if process is not None:
            handle = os.pidfd_open(process.pid)
            self._loop.watch(handle, lambda: self._engine_died(handle))
        return tunnel

    def _engine_died(self, handle: int) -> None:
        self._loop.unwatch(handle)
        os.close(handle)
        assert self._tunnel is not None
        self._tunnel.close()
        self._tunnel = None
        print("tunnel: WireGuard ended and is started again", file=sys.stderr, flush=True)
        self._loop.call_later(RESTART_SECONDS, self._restart_tunnel)

    def _restart_tunnel(self) -> None:
        self._tunnel = self._start_tunnel()
        if self._last_peer is not None:
            self._tunnel.set_peer(self._last_peer)

    def _tunnel_operations(self) -> dict[str, Callable[[dict[str, Any], list[int]], Answer]]:
        def running() -> Tunnel:
            if self._tunnel is None:
                raise KosError("WireGuard is being started again")
            return self._tunnel

        def set_peer(request: dict[str, Any], _descriptors: list[int]) -> Answer:
            running().set_peer(request)
            self._last_peer = request
            return {}, []

        return {
            wire.OP_PEER: set_peer,
            wire.OP_STATUS: lambda *_: (running().status(), []),
            wire.OP_COUNTERS: lambda *_: ({"counters": self._hub.counters()}, []),
        }

    def close(self) -> None:
        if self._tunnel is not None:
            self._tunnel.close()
        self._hub.close()


def main() -> int:
    """Wait for the plan, build it, serve until the supervisor is gone."""
    control = socket.socket(fileno=wire.KEEPER_FD)
    start = json.loads(control.recv(wire.PACKET_MAX))
    loop = Loop()
    loop.on_signals((signal.SIGTERM, signal.SIGINT), lambda _: loop.stop())
    try:
        user = None
        if os.geteuid() != 0:
            enter_user_namespace()
            user = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        plan = NetworkPlan.from_json(start["plan"])
        keeper = Keeper(loop, plan, Path(start["keys"]), owned=bool(start["owned"]), user=user)
    except (KosError, OSError) as error:
        control.send(json.dumps({"ok": False, "error": str(error)}).encode())
        return 1
    control.send(json.dumps({"ok": True}).encode())
    connection = Connection(loop, control, keeper.supervisor_operations())
    connection.on_close = loop.stop
    try:
        loop.run()
    finally:
        keeper.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
