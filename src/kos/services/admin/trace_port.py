"""The trace admin port of the admin app: `kos_trace_admin_protocol`."""

from __future__ import annotations

from kos import app
from kos.abi.errors import KosError
from kos.abi.services import PORT_TRACE_ADMIN, TRACE_READ, TRACE_STOP, TRACE_WATCH


class AppTracePort:
    """Connects when it is first asked, and again after the trace server was started anew."""

    def __init__(self) -> None:
        self._token: app.Token | None = None

    def watch(self) -> None:
        self._call(TRACE_WATCH)

    def read(self) -> bytes:
        return self._call(TRACE_READ)

    def stop(self) -> None:
        self._call(TRACE_STOP)

    def _call(self, label: int) -> bytes:
        try:
            if self._token is None:
                self._token = app.connect(PORT_TRACE_ADMIN, timeout=0)
            return bytes(self._token.call(label).payload)
        except app.StatusError as error:
            self._token = None
            if error.status is app.Status.NOT_FOUND:
                raise KosError(
                    "this system does not trace", hint="base = Poukai(tracing=True) in its system.py"
                ) from error
            raise KosError(f"the trace server: {error}") from error
