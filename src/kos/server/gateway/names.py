"""The gateway's resolver: it knows the names of the server's services and forwards nothing.

A device asks nobody else (its rules allow no other resolver), so a name cannot carry data to a stranger.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address
from typing import Any, cast

from kos.abi.errors import KosError
from kos.network import dns
from kos.network.namespaces import in_namespace
from kos.server.gateway.settings import DNS_PORT, GatewaySettings

GATEWAY_NAME = "gateway.kos"
TTL = 60  # seconds


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for addresses; every other name does not exist."""

    def __init__(self, settings: GatewaySettings) -> None:
        own = settings.address.ip
        self._address = str(own)
        self._names: dict[str, IPv4Address] = {GATEWAY_NAME: own, **(settings.names or {})}
        for service in settings.services:
            self._names.setdefault(f"{service.name}.kos", own)
        self._transport: asyncio.DatagramTransport | None = None

    async def listen(self, namespace: int) -> None:
        """Answer on the gateway's address in its namespace."""

        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            made.bind((self._address, DNS_PORT))
            return made

        sock = in_namespace(namespace, make)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = self.answer(data)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)

    def answer(self, data: bytes) -> bytes | None:
        """The answer to a message; None for what is no question."""
        try:
            question = dns.decode_question(data)
            address = self._names.get(question.name)
            if address is None:
                return dns.encode_answer(question, dns.NAME_ERROR, (), TTL)
            # A name that exists without an address of the asked kind is an empty answer, not an error.
            found = (address,) if question.kind == dns.TYPE_A else ()
            return dns.encode_answer(question, dns.NO_ERROR, found, TTL)
        except (KosError, UnicodeError):
            return None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
