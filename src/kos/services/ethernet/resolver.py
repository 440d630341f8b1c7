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
    found, reason = [], f"there is no address of {name}"
    for kind in (dns.TYPE_A, dns.TYPE_AAAA):
        try:
            found.append(_look_up(sock, servers, name, kind))
        except KosError as error:  # some servers refuse what they know for the other family
            reason = error.message
    addresses = [address for answer in found for address in answer.addresses]
    if not addresses:
        raise KosError(reason)
    return addresses, min(answer.ttl for answer in found if answer.addresses)


def _look_up(sock: socket.socket, servers: list[str], name: str, kind: int) -> dns.Answer:
    """The answer of the first server that has one; one without addresses where there are none.

    Raises:
        KosError: none has.
    """
    reason = "no name server answered"
    for server in servers * TRIES:
        question = dns.Question(secrets.randbelow(1 << 16), name, kind)
        try:
            answer = _ask(sock, server, question)
        except (OSError, KosError) as error:
            reason = str(error)
            continue
        if answer.code in (dns.NO_ERROR, dns.NAME_ERROR):
            return answer
        reason = f"{server} answers with code {answer.code}"
    raise KosError(f"cannot look up {name}: {reason}")


def _ask(sock: socket.socket, server: str, question: dns.Question) -> dns.Answer:
    # A socket for both families names IPv4 addresses in IPv6's way.
    target = f"::ffff:{server}" if sock.family == socket.AF_INET6 and ":" not in server else server
    sock.sendto(dns.encode_question(question), (target, 53))
    deadline = time.monotonic() + TRY_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        data, sender = sock.recvfrom(dns.MESSAGE_MAX + 1)
        if sender[:2] != (target, 53):
            continue
        try:
            return dns.decode_answer(data, question)
        except KosError:
            continue  # a late answer to an earlier question, or somebody guessing
    raise TimeoutError(f"{server} does not answer")
