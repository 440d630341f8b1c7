"""What the relay answers to apps over `kos_mqtt_protocol`. No transport here."""

from __future__ import annotations

import json

from kos.abi.services import MQTT_STATUS
from kos.abi.status import Status
from kos.services.answer import BAD_REQUEST, NOT_IMPLEMENTED, Answer
from kos.services.mqtt_relay.relay import Relay


class MqttServer:
    """Answers by what the relay knows."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def answer(self, _app: str, label: int, _param: int, payload: bytes) -> Answer:
        if label != MQTT_STATUS:
            return NOT_IMPLEMENTED
        if payload:
            return BAD_REQUEST
        state = self._relay.snapshot
        return Answer(Status.OK, int(state["connected"]), json.dumps(state).encode())
