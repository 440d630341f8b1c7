"""Records and frames of the tests, made as libkos and the trace server make them."""

from __future__ import annotations

import base64
from typing import Any

from kos.abi import trace
from kos.abi.status import Status
from kos.abi.trace import Kind, name_hash

SERVER = name_hash("msg0")
APPS = {"wx": 0x10001, "station": 0x10000}
NOW = 5_000_000_000_000


def record(kind: int, time: int, **words: int) -> bytes:
    """One record of 64 bytes; what is not named is 0, but thread 1 on message server msg0."""
    one = {"thread": 1, "status": int(Status.OK), "server": SERVER, "payload_size": 0, **words}
    names = ["label", "param", "badge", "mailbox", "sequence", "thread", "status", "caller", "server", "size"]
    words = [one.get(name, 0) for name in names]
    return trace.RECORD.pack(
        time, *words, kind, one.get("flags", 0), one.get("slot", 0), one.get("cpu", 1), one["payload_size"]
    )


def chunk(app: str, *records: bytes, first: int = 0, ring: int = 1, dropped: int = 0, size: int = 64) -> list:
    return [app, ring, size, first, dropped, base64.b64encode(b"".join(records)).decode()]


def frame(*rings: list, now: int = NOW, **members: Any) -> dict[str, Any]:
    """A frame of two apps: wx calls station through mailbox 7, for `weather_protocol`."""
    usual = {
        "apps": APPS,
        "peers": [[7, APPS["station"], APPS["wx"], "weather_protocol"]],
        "names": ["weather_protocol"],
    }
    return {"v": 1, "now": now, "server": "msg0", "rings": list(rings), **usual, **members}


def call(at: int, sequence: int = 1, **words: int) -> tuple[list, list]:
    """A call of 400 µs and how the station sees it, as chunks of the two rings."""
    place = {"mailbox": 7, "sequence": sequence}
    caller = [
        record(Kind.CALL, at, label=9, size=5, slot=3, **place, **words),
        record(Kind.CALL_END, at + 400_000, label=int(Status.OK), **place),
    ]
    server = [
        record(Kind.RECEIVE, at + 100_000, label=9, badge=4, caller=APPS["wx"], **place),
        record(Kind.REPLY, at + 300_000, label=int(Status.OK), **place),
    ]
    return chunk("wx", *caller), chunk("station", *server)
