"""The trace server: two ports in one thread, the supervisor and the rings in another."""

from __future__ import annotations

import json
import os
import socket
import threading

from kos import app
from kos.abi.errors import KosError
from kos.abi.services import PORT_TRACE, PORT_TRACE_ADMIN, TRACE_STATUS
from kos.abi.status import Status
from kos.app import _native
from kos.services import serving
from kos.services.answer import BAD_REQUEST, NOT_IMPLEMENTED, Answer
from kos.services.trace.collector import Collector
from kos.services.trace.link import Link


def main() -> None:
    number = os.environ.get("KOS_SUPERVISOR")
    if number is None:
        raise KosError(
            "the manifest does not give the trace server the supervisor", hint="resources=[Supervisor()]"
        )
    lock = threading.Lock()
    collector = Collector(_native, os.environ["KOS_MSG_SERVERS"].partition(":")[0])
    link = Link(socket.socket(fileno=int(number)), collector, lock)

    def status(name: str, label: int, _param: int, payload: bytes) -> Answer:
        if label != TRACE_STATUS:
            return NOT_IMPLEMENTED
        if payload:
            return BAD_REQUEST
        with lock:
            recorded, dropped = collector.status_of(name)
        return Answer(Status.OK, 0, json.dumps({"recorded": recorded, "dropped": dropped}).encode())

    def follow() -> None:
        try:
            link.run()
        except BaseException as problem:
            # Without the supervisor there is nothing to trace for: the app must end, not only this thread.
            print(f"error {problem}", flush=True)
            os._exit(1)

    server = app.Server()
    serving.bind(server, PORT_TRACE, status)
    serving.bind_if_granted(server, PORT_TRACE_ADMIN, link.watchers.handle)
    threading.Thread(target=follow, daemon=True).start()
    app.ready()
    server.serve()
