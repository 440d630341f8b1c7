"""Names to addresses, over a socket that the keeper gave us. Only the peers of this device are looked up
here."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from ipaddress import IPv4Address, IPv6Address, ip_address

from kos.abi.errors import KosError
from kos.network import dns

TRY_SECONDS = 2.0
TRIES = 2  # of each server


def resolve(
    sock: socket.socket, servers: list[str], name: str
) -> tuple[list[IPv4Address | IPv6Address], int]:
    """The addresses of a name and the seconds for which they hold.

    Raises:
        KosError: no server, none that answers, or no such name.
    """
    with contextlib.suppress(ValueError):
        return [ip_address(name)], 0
    if name == "localhost":
        return [IPv4Address("127.0.0.1")], 0
    if not servers:
        raise KosError(f"no name server is known, and {name} is a name")
    reason = "no name server answered"
    for server in servers * TRIES:
        question = dns.Question(secrets.randbelow(1 << 16), name, dns.TYPE_A)
        try:
            answer = _ask(sock, server, question)
        except (OSError, KosError) as error:
            reason = str(error)
            continue
        if answer.code == dns.NAME_ERROR or (answer.code == dns.NO_ERROR and not answer.addresses):
            raise KosError(f"there is no address of {name}")
        if answer.code == dns.NO_ERROR:
            return list(answer.addresses), answer.ttl
        reason = f"{server} answers with code {answer.code}"
    raise KosError(f"cannot look up {name}: {reason}")


def _ask(sock: socket.socket, server: str, question: dns.Question) -> dns.Answer:
    sock.sendto(dns.encode_question(question), (server, 53))
    deadline = time.monotonic() + TRY_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        data, sender = sock.recvfrom(dns.MESSAGE_MAX + 1)
        if sender[:2] != (server, 53):
            continue
        try:
            return dns.decode_answer(data, question)
        except KosError:
            continue  # a late answer to an earlier question, or somebody guessing
    raise TimeoutError(f"{server} does not answer")
