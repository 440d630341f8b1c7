"""The I2C server's logic: check a request against what the manifest grants, then do one transaction.

No transport here. Every message is one transaction, and the loop that calls this takes messages in turn, so a
slow client holds the bus for its own transaction and no longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from struct import Struct, error

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import (
    I2C_FEATURE_TRANSFER,
    I2C_GET_FEATURES,
    I2C_MESSAGES_MAX,
    I2C_READ,
    I2C_TRANSFER,
    I2C_TRANSFER_READ,
    I2C_WRITE,
)
from kos.abi.status import Status
from kos.services.answer import BAD_REQUEST, NOT_IMPLEMENTED, Answer
from kos.services.i2c.bus import Bus, BusError, Message

_PART = Struct("<HHH")


class I2CServer:
    """Answers apps by the addresses that each was granted."""

    def __init__(self, bus: Bus, devices: Mapping[str, Set[int]]) -> None:
        self._bus = bus
        self._devices = devices

    def answer(self, app: str, label: int, param: int, payload: bytes) -> Answer:
        if label == I2C_GET_FEATURES:
            return Answer(Status.OK, I2C_FEATURE_TRANSFER)
        if label == I2C_WRITE:
            return self._write(app, param, payload)
        if label == I2C_READ:
            return self._read(app, param, payload)
        if label == I2C_TRANSFER:
            messages = parse_transfer(payload)
            return self._transfer(app, messages) if messages else BAD_REQUEST
        return NOT_IMPLEMENTED

    def _write(self, app: str, param: int, payload: bytes) -> Answer:
        answer = self._transfer(app, [Message(param, payload)])
        return answer._replace(param=len(payload)) if answer.status is Status.OK else answer

    def _read(self, app: str, param: int, payload: bytes) -> Answer:
        size = param >> 16
        if payload or not 1 <= size <= PAYLOAD_MAX_SIZE:
            return BAD_REQUEST
        return self._transfer(app, [Message(param & 0xFFFF, size=size, read=True)])

    def _transfer(self, app: str, messages: list[Message]) -> Answer:
        granted = self._devices.get(app, frozenset())
        # All addresses are checked before the first byte goes out.
        if any(message.address not in granted for message in messages):
            return Answer(Status.UNAUTHORIZED)
        try:
            data = self._bus.transfer(messages)
        except BusError as failure:
            return Answer(failure.status)
        return Answer(Status.OK, sum(len(message.data) + message.size for message in messages), data)


def parse_transfer(payload: bytes) -> list[Message]:
    """The messages of an `I2C_TRANSFER`; empty when the payload breaks the format or a limit."""
    messages: list[Message] = []
    at = read = 0
    try:
        while at < len(payload):
            address, flags, size = _PART.unpack_from(payload, at)
            at += _PART.size
            if flags & ~I2C_TRANSFER_READ or len(messages) == I2C_MESSAGES_MAX:
                return []
            if flags & I2C_TRANSFER_READ:
                read += size
                messages.append(Message(address, size=size, read=True))
                continue
            data = payload[at : at + size]
            at += size
            if len(data) != size:
                return []
            messages.append(Message(address, data))
    except error:
        return []
    return messages if read <= PAYLOAD_MAX_SIZE else []
