"""Traces for OpenTelemetry, where the operator names a collector: a span for each request and each job.

OTLP over HTTP with JSON (https://opentelemetry.io/docs/specs/otlp/), which needs no library. Spans wait in a
bounded queue and are sent by a thread of their own; what does not fit is dropped and counted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import re
import secrets
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kos.abi.version import VERSION

log = logging.getLogger(__name__)

QUEUE_MAX = 4096  # spans
BATCH = 512
WAIT = 1.0  # seconds that a span waits for others to go with
TIMEOUT = 5.0  # seconds of one request to the collector
SERVER, INTERNAL = 2, 1  # kinds of spans
PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")  # W3C trace context


class Tracer:
    """Collects spans; without an endpoint it does nothing."""

    def __init__(self, endpoint: str, service: str) -> None:
        self.url = f"{endpoint.rstrip('/')}/v1/traces" if endpoint else ""
        self.service = service
        self.sent = self.dropped = 0
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(QUEUE_MAX)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self.url:
            self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Send what is left, for a moment."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=TIMEOUT)
            self._thread.join(TIMEOUT)

    @contextlib.contextmanager
    def span(
        self, name: str, kind: int = INTERNAL, parent: str = "", **attributes: Any
    ) -> Iterator[dict[str, Any]]:
        """Measure what happens inside; attributes may be added to what this gives."""
        if not self.url:
            yield {}
            return
        began, failed = time.time_ns(), False
        try:
            yield attributes
        except BaseException:
            failed = True
            raise
        finally:
            self._record(name, kind, parent, began, attributes, failed)

    def _record(
        self, name: str, kind: int, parent: str, began: int, attributes: dict[str, Any], failed: bool
    ) -> None:
        known = PARENT.fullmatch(parent)
        span = {
            "traceId": known[1] if known else secrets.token_hex(16),
            "spanId": secrets.token_hex(8),
            "name": attributes.pop("span_name", name),
            "kind": kind,
            "startTimeUnixNano": str(began),
            "endTimeUnixNano": str(time.time_ns()),
            "attributes": [_attribute(key, value) for key, value in attributes.items()],
            "status": {"code": 2 if failed else 0},
        }
        if known:
            span["parentSpanId"] = known[2]
        try:
            self._queue.put_nowait(span)
        except queue.Full:
            self.dropped += 1

    def _run(self) -> None:
        while True:
            spans: list[dict[str, Any]] = []
            deadline = time.monotonic() + WAIT
            ended = False
            while len(spans) < BATCH and not ended:
                try:
                    span = self._queue.get(timeout=max(0.0, deadline - time.monotonic()) if spans else None)
                except queue.Empty:
                    break
                if span is None:
                    ended = True
                else:
                    spans.append(span)
            if spans:
                self._send(spans)
            if ended:
                return

    def _send(self, spans: list[dict[str, Any]]) -> None:
        resource = [_attribute("service.name", self.service), _attribute("service.version", VERSION)]
        body = {
            "resourceSpans": [
                {
                    "resource": {"attributes": resource},
                    "scopeSpans": [{"scope": {"name": "kos.server"}, "spans": spans}],
                }
            ]
        }
        request = urllib.request.Request(
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request, timeout=TIMEOUT).close()
            self.sent += len(spans)
        except (OSError, ValueError) as error:
            self.dropped += len(spans)
            log.warning("the collector of traces does not take them: %s", error)


def _attribute(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    return {"key": key, "value": {"stringValue": str(value)[:256]}}


class Traced:
    """A span for each request, called by its route and not by its path: paths hold ids."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = getattr(scope["app"].state, "services", None) if scope["type"] == "http" else None
        if services is None or not services.tracer.url:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        parent = headers.get(b"traceparent", b"").decode("latin-1")
        method = scope["method"]
        with services.tracer.span(method, SERVER, parent, **{"http.request.method": method}) as attributes:

            async def send_more(message: Message) -> None:
                if message["type"] == "http.response.start":
                    attributes["http.response.status_code"] = message["status"]
                    route = getattr(scope.get("route"), "path", "")
                    attributes["http.route"] = route
                    attributes["span_name"] = f"{method} {route}".strip()
                await send(message)

            await self.app(scope, receive, send_more)
