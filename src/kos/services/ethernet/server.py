"""What ethernet answers to its clients. No transport here."""

from __future__ import annotations

import json

from kos.abi.errors import KosError
from kos.abi.services import ETHERNET_NAME_MAX, ETHERNET_RESOLVE, ETHERNET_STATUS
from kos.abi.status import Status
from kos.services.answer import BAD_REQUEST, NOT_IMPLEMENTED, Answer
from kos.services.ethernet.interface import Interface
from kos.services.ethernet.resolver import resolve


class EthernetServer:
    """Answers by what the interface knows."""

    def __init__(self, interface: Interface | None) -> None:
        """`interface` None: the system runs without a network."""
        self._interface = interface

    def answer(self, _app: str, label: int, _param: int, payload: bytes) -> Answer:
        if label == ETHERNET_STATUS:
            return self._status() if not payload else BAD_REQUEST
        if label == ETHERNET_RESOLVE:
            return self._resolve(payload)
        return NOT_IMPLEMENTED

    def _status(self) -> Answer:
        state = self._interface.snapshot if self._interface else {"interface": "", "link": False}
        return Answer(Status.OK, int(bool(state["link"])), json.dumps(state).encode())

    def _resolve(self, payload: bytes) -> Answer:
        if not 0 < len(payload) <= ETHERNET_NAME_MAX:
            return BAD_REQUEST
        if self._interface is None or self._interface.name_socket is None:
            return Answer(Status.NOT_FOUND)
        try:
            name = payload.decode("ascii")
            addresses, ttl = resolve(self._interface.name_socket, self._interface.resolvers, name)
        except (KosError, UnicodeDecodeError) as error:
            return Answer(Status.NOT_FOUND, 0, str(error).encode()[:200])
        return Answer(Status.OK, ttl, "\n".join(str(address) for address in addresses).encode())
