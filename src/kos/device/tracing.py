"""The supervisor's part of tracing: who is traced, who wants to see it, how long each app ran.

The trace server, an app, gathers; this passes its frames on to whoever asked on the control socket and never
looks into them. Nothing is sampled or passed on while nobody watches.
"""

from __future__ import annotations

import time

from kos.abi import services, trace
from kos.abi.hints import TYPE_CHECKING, Any
from kos.device import schedule
from kos.device.control.server import Operation, Stream
from kos.manifest.model import App, Manifest

if TYPE_CHECKING:
    from kos.device.supervisor import Supervisor

UNREAD_MAX = 1 << 20  # bytes that a watcher may leave unread before frames pass it by
UNREAD_SLOW = UNREAD_MAX // 2  # where all watchers have as many, the trace server is held up
RETRY_SECONDS = 0.05
_PROVIDER = frozenset({"trace_provide", "trace_frame", "sched"})


def registration(manifest: Manifest, app: App, msg_server: str) -> dict[str, Any]:
    """What a message server is told of an app: whether it is traced, and whether it is the trace server."""
    grant = app.access.get(msg_server, {}).get(services.PORT_TRACE)
    if grant is None or not manifest.options.tracing:
        return {}
    if grant.role == "server":
        return {"tracer": True}
    payloads = manifest.options.unsafe_trace_payloads
    return {"traced": trace.RECORD_SIZE_PAYLOADS if payloads else trace.RECORD_SIZE}


class Tracing:
    """Joins the trace server with those who watch."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._provider: Stream | None = None
        self._watchers: set[Stream] = set()
        self._known: set[Stream] = set()  # that ever watched and are open: we hear of their end

    def operations(self) -> dict[str, Operation]:
        return {
            "trace": self._op_trace,
            "trace_stop": self._op_stop,
            "trace_provide": self._op_provide,
            "trace_frame": self._op_frame,
            "sched": self._op_sched,
        }

    def operations_of(self, app: str) -> frozenset[str]:
        """What an app with the `supervisor` resource may ask for beside the usual."""
        ports = [
            port.name
            for each, port, grant in self._supervisor.manifest.grants()
            if each.name == app and grant.role == "server"
        ]
        return _PROVIDER if services.PORT_TRACE_ADMIN in ports else frozenset()

    # --- those who watch ----------------------------------------------------------------------------------
    def _op_trace(self, _request: dict[str, Any], stream: Stream) -> None:
        if not self._supervisor.manifest.options.tracing:
            stream.fail("this system does not trace", "base = Poukai(tracing=True) in its system.py")
            return
        stream.answer({})
        self._watchers.add(stream)
        if stream not in self._known:
            self._known.add(stream)
            stream.on_close(lambda: self._closed(stream))
        self._tell_provider("on")  # once more for each that comes: it has to be told all that is so

    def _op_stop(self, _request: dict[str, Any], stream: Stream) -> None:
        self._gone(stream)
        stream.answer({})

    def _closed(self, stream: Stream) -> None:
        self._known.discard(stream)
        self._gone(stream)

    def _gone(self, stream: Stream) -> None:
        was_watched = bool(self._watchers)
        self._watchers.discard(stream)
        if was_watched and not self._watchers:
            self._tell_provider("off")

    # --- the trace server ---------------------------------------------------------------------------------
    def _op_provide(self, _request: dict[str, Any], stream: Stream) -> None:
        stream.answer({"start": int(self._supervisor.started_at * 1e9)})
        self._provider = stream
        stream.on_close(lambda: self._lost(stream))
        if self._watchers:
            self._tell_provider("on")

    def _lost(self, stream: Stream) -> None:
        if self._provider is stream:
            self._provider = None

    def _tell_provider(self, what: str) -> None:
        if self._provider is not None:
            self._provider.send({"trace": what})

    def _op_frame(self, request: dict[str, Any], stream: Stream) -> None:
        if stream is not self._provider:
            stream.fail("only the trace server has frames", None)
            return
        for watcher in tuple(self._watchers):
            if watcher.unread <= UNREAD_MAX:  # else it is lost to this one, who sees that by the numbers
                watcher.send({"trace": request.get("frame")})
        self._answer_frame(stream)

    def _answer_frame(self, stream: Stream) -> None:
        """The trace server sends its next frame once this is answered.

        What nobody can take stays in the rings, where each app has its share; a frame that passes a watcher
        by takes the records of all apps with it.
        """
        if self._watchers and all(watcher.unread > UNREAD_SLOW for watcher in self._watchers):
            self._supervisor.loop.call_later(RETRY_SECONDS, lambda: self._answer_frame(stream))
        else:
            stream.answer({})

    def _op_sched(self, _request: dict[str, Any], stream: Stream) -> None:
        apps = {
            name: schedule.sample(unit.process.pid)
            for name, unit in self._supervisor.apps.items()
            if unit.process is not None and unit.process.pid
        }
        stream.answer(
            {"now": time.monotonic_ns(), "apps": {name: all_of for name, all_of in apps.items() if all_of}}
        )
