"""A frame of the trace, for whoever reads it: what a trace server sends, checked. No I/O.

The trace server is part of the device, and records in it are their apps' own words: sizes have limits, and
whatever is no frame is an error. `kos.abi.trace` has the layout of records.
"""

from __future__ import annotations

import base64
import binascii
import json

from kos.abi import trace
from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.abi.message import APP_NAME_MAX
from kos.abi.reader import Reader, clean
from kos.abi.records import dataclass, field

FRAME_MAX = 128 * 1024  # bytes of one frame as JSON
APPS_MAX = 1024
RINGS_MAX = 256
LIST_MAX = 4096
TEXT_MAX = 256
WORD_MAX = (1 << 64) - 1


@dataclass(frozen=True)
class Chunk:
    """Records of one ring, in order. `first` counts all that the ring ever held, modulo 2**32."""

    app: str
    ring: int
    first: int
    dropped: int  # that the app left out so far
    records: tuple[trace.Record, ...]


@dataclass(frozen=True)
class Frame:
    """What is new since the frame before; what is not named stays as it was.

    Attributes:
        now: nanoseconds of the device's monotonic clock.
        server: the message server whose mailboxes `peers` names.
        apps: caller id of each traced app.
        names: of ports and message servers, which records carry as hashes.
        events: (nanoseconds, app, what, text) as the supervisor saw them.
        sched: for each app nanoseconds on a processor and waiting for one, voluntary and involuntary
            switches, threads.
    """

    now: int
    server: str
    apps: dict[str, int] = field(default_factory=dict)
    peers: tuple[trace.Peer, ...] = ()
    names: tuple[str, ...] = ()
    events: tuple[tuple[int, str, str, str], ...] = ()
    sched: dict[str, tuple[int, ...]] = field(default_factory=dict)
    chunks: tuple[Chunk, ...] = ()


def load(raw: bytes) -> Frame:
    """A frame from a line of JSON.

    Raises:
        KosError: it is none, or over a limit.
    """
    if len(raw) > FRAME_MAX:
        raise KosError(f"trace: a frame of {len(raw)} bytes, the limit is {FRAME_MAX}")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise KosError("trace: a frame that is not JSON") from error
    return parse(data)


def parse(data: Any) -> Frame:
    """A frame from its JSON value; raises KosError."""
    reader = Reader("trace", data)
    if reader.integer("v") != trace.FRAME_VERSION:
        raise KosError(f"trace: frames of version {data['v']}, expected {trace.FRAME_VERSION}")
    try:
        return Frame(
            now=reader.integer("now", high=WORD_MAX),
            server=reader.text("server", "", APP_NAME_MAX),
            apps={_name(name): _word(number) for name, number in reader.mapping("apps", APPS_MAX).items()},
            peers=tuple(
                trace.Peer(_word(mailbox), _word(owner), _word(holder), _name(port))
                for mailbox, owner, holder, port in reader.sequence("peers", LIST_MAX)
            ),
            names=tuple(_name(name) for name in reader.sequence("names", LIST_MAX)),
            events=tuple(
                (_word(at), _name(app), _name(what), _name(text))
                for at, app, what, text in reader.sequence("events", LIST_MAX)
            ),
            sched={
                _name(app): tuple(_word(number) for number in numbers[:8])
                for app, numbers in reader.mapping("sched", APPS_MAX).items()
            },
            chunks=tuple(_chunk(*chunk) for chunk in reader.sequence("rings", RINGS_MAX)),
        )
    except (TypeError, ValueError, binascii.Error) as error:
        raise KosError(f"trace: not a frame: {error}") from error


def _chunk(app: Any, ring: Any, record_size: Any, first: Any, dropped: Any, text: Any) -> Chunk:
    if record_size not in (trace.RECORD_SIZE, trace.RECORD_SIZE_PAYLOADS):
        raise ValueError(f"records of {str(record_size)[:20]} bytes")
    data = base64.b64decode(text, validate=True)
    records = tuple(trace.records(data, record_size, _word(first)))
    return Chunk(_name(app), _word(ring), first, _word(dropped), records)


def _name(value: Any) -> str:
    if not isinstance(value, str) or len(value) > TEXT_MAX:
        raise ValueError(f"expected a text of at most {TEXT_MAX} characters, found {str(value)[:40]!r}")
    return clean(value)


def _word(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= WORD_MAX:
        raise ValueError(f"expected a number of at most 64 bits, found {str(value)[:40]!r}")
    return value
