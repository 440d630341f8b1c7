"""What the tunnel answers to apps: each hears of its own network only. No transport here."""

from __future__ import annotations

import json

from kos.abi import network as wire
from kos.abi.errors import KosError
from kos.abi.services import INTERNET_COUNTERS, INTERNET_STATUS
from kos.abi.status import Status
from kos.services.answer import BAD_REQUEST, NOT_IMPLEMENTED, Answer
from kos.services.tunnel.runner import Runner

_SHOWN = ("state", "reason", "endpoint", "public_key", "handshake_age")


class TunnelServer:
    """Answers by what the runner knows."""

    def __init__(self, runner: Runner | None) -> None:
        """`runner` None: the system runs without a network."""
        self._runner = runner

    def answer(self, app: str, label: int, _param: int, payload: bytes) -> Answer:
        if label not in (INTERNET_STATUS, INTERNET_COUNTERS):
            return NOT_IMPLEMENTED
        if payload:
            return BAD_REQUEST
        if self._runner is None:
            return Answer(Status.UNAVAILABLE)
        if label == INTERNET_COUNTERS:
            try:
                counters = self._runner.ask(wire.OP_COUNTERS)["counters"]
            except KosError:
                return Answer(Status.UNAVAILABLE)
            return Answer(Status.OK, 0, json.dumps(counters.get(app, {})).encode())
        known = self._runner.snapshot
        shown = {name: known.get(name) for name in _SHOWN}
        shown.update(known.get("addresses", {}).get(app, {}))
        return Answer(Status.OK, int(known["state"] == "connected"), json.dumps(shown).encode())
