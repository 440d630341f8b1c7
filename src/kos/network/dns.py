"""The few DNS messages (RFC 1035) that a device and a gateway need: one question, addresses as answers.
Pure."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from kos.abi.errors import KosError
from kos.abi.records import dataclass

MESSAGE_MAX = 1232  # bytes, as DNS Flag Day 2020 says; longer answers are cut off
NAME_MAX = 253  # characters
LABEL_MAX = 63
ANSWERS_MAX = 64
TYPE_A, TYPE_CNAME, TYPE_AAAA = 1, 5, 28
CLASS_IN = 1
NO_ERROR, SERVER_FAILURE, NAME_ERROR, NOT_IMPLEMENTED, REFUSED = 0, 2, 3, 4, 5
_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")
_RESPONSE, _RECURSION_DESIRED, _AUTHORITATIVE = 0x8000, 0x0100, 0x0400


@dataclass(frozen=True)
class Question:
    """What a message asks."""

    identity: int
    name: str
    kind: int


@dataclass(frozen=True)
class Answer:
    """What a message answers: addresses and the seconds for which they hold."""

    identity: int
    code: int
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    ttl: int = 0


def encode_name(name: str) -> bytes:
    """A name as labels.

    Raises:
        KosError: too long, or an empty label.
    """
    labels = name.rstrip(".").encode("idna" if not name.isascii() else "ascii").split(b".")
    if len(name) > NAME_MAX or any(not 0 < len(label) <= LABEL_MAX for label in labels):
        raise KosError(f"{name[:80]!r} is no host name")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def encode_question(question: Question) -> bytes:
    header = _HEADER.pack(question.identity, _RECURSION_DESIRED, 1, 0, 0, 0)
    return header + encode_name(question.name) + struct.pack("!HH", question.kind, CLASS_IN)


def encode_answer(question: Question, code: int, addresses: tuple[IPv4Address, ...], ttl: int) -> bytes:
    flags = _RESPONSE | _AUTHORITATIVE | _RECURSION_DESIRED | code
    body = _HEADER.pack(question.identity, flags, 1, len(addresses), 0, 0)
    body += encode_name(question.name) + struct.pack("!HH", question.kind, CLASS_IN)
    for address in addresses:
        # 0xC00C points to the name in the question.
        body += b"\xc0\x0c" + _RECORD.pack(TYPE_A, CLASS_IN, ttl, 4) + address.packed
    return body


def _read_name(data: bytes, offset: int) -> tuple[str, int]:
    """A name and the offset after it. A pointer must lead backwards, so that there is no loop."""
    labels: list[str] = []
    after, here, size = None, offset, 0
    while True:
        if here >= len(data):
            raise KosError("a DNS name goes past the end of its message")
        length = data[here]
        if length & 0xC0 == 0xC0:
            target = struct.unpack_from("!H", data, here)[0] & 0x3FFF if here + 2 <= len(data) else here
            if target >= here:
                raise KosError("a DNS name points forward")
            after = here + 2 if after is None else after
            here = target
            continue
        if length > LABEL_MAX:
            raise KosError(f"a DNS label of {length} bytes")
        here += 1
        if length == 0:
            return ".".join(labels), here if after is None else after
        size += length + 1
        if size > NAME_MAX + 1:
            raise KosError(f"a DNS name of over {NAME_MAX} characters")
        labels.append(data[here : here + length].decode("ascii", "replace").lower())
        here += length


def _read_question(data: bytes) -> tuple[Question, int, int]:
    if not _HEADER.size < len(data) <= MESSAGE_MAX:
        raise KosError(f"a DNS message of {len(data)} bytes")
    identity, flags, questions, *_ = _HEADER.unpack_from(data)
    if questions != 1:
        raise KosError(f"a DNS message with {questions} questions")
    name, offset = _read_name(data, _HEADER.size)
    if offset + 4 > len(data):
        raise KosError("a DNS question is cut off")
    kind, kind_class = struct.unpack_from("!HH", data, offset)
    if kind_class != CLASS_IN:
        raise KosError(f"a DNS question of class {kind_class}")
    return Question(identity, name, kind), flags, offset + 4


def decode_question(data: bytes) -> Question:
    """A message that asks.

    Raises:
        KosError: anything that is not exactly one question.
    """
    question, flags, _ = _read_question(data)
    if flags & _RESPONSE:
        raise KosError("a DNS answer where a question was expected")
    return question


def decode_answer(data: bytes, asked: Question) -> Answer:
    """The answer to `asked`; aliases (CNAME) are followed by the server, so every address in it counts.

    Raises:
        KosError: malformed, or an answer to something else.
    """
    question, flags, offset = _read_question(data)
    if not flags & _RESPONSE or question != Question(
        asked.identity, asked.name.rstrip(".").lower(), asked.kind
    ):
        raise KosError("a DNS message that does not answer our question")
    found: list[IPv4Address | IPv6Address] = []
    ttls: list[int] = []
    for _ in range(min(_HEADER.unpack_from(data)[3], ANSWERS_MAX)):
        _name, offset = _read_name(data, offset)
        if offset + _RECORD.size > len(data):
            raise KosError("a DNS answer is cut off")
        kind, _class, ttl, size = _RECORD.unpack_from(data, offset)
        offset += _RECORD.size
        if offset + size > len(data):
            raise KosError("a DNS record is cut off")
        if kind == asked.kind and size == {TYPE_A: 4, TYPE_AAAA: 16}.get(kind):
            found.append(ip_address(data[offset : offset + size]))
            ttls.append(ttl)
        offset += size
    return Answer(question.identity, flags & 0xF, tuple(found), min(ttls, default=0))
