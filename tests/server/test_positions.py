"""Which records of a device are new, whatever the bus, the network and the device's power do in between."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from kos.abi import nkey
from kos.abi.errors import KosError
from kos.abi.record_mark import AGE_MAX, RECORD_HEADER, RecordMark
from kos.server.core.data.points import measured
from kos.server.core.data.positions import SPOOLS_MAX, Positions
from kos.server.core.db.database import Database
from kos.server.core.db.models import Device, Organisation, SpoolPosition
from kos.services.mqtt_relay.spool import BYTES_MIN, Spool
from kos.services.mqtt_relay.upstream import Upstream
from tests.network.bus import Nowhere

KEY = bytes(32)
DEVICE = nkey.device_id(KEY)


class Bus:
    """A bus that stores or refuses, and whose answers may be lost; what it stores stays in order."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.stored: list[tuple[RecordMark, bytes]] = []

    def take(self, output: bytes) -> list[bytes]:
        """The answers to what a device sent."""
        answers = []
        for part in output.split(b"HPUB ")[1:]:
            head, _, rest = part.partition(b"\r\n")
            reply = head.split()[1].decode()
            headers, _, payload = rest.partition(b"\r\n\r\n")
            line = next(one for one in headers.decode().split("\r\n") if one.startswith(RECORD_HEADER))
            body = b'{"error":{"code":503}}'
            if self.chance.random() > 0.03:
                self.stored.append((RecordMark.parse(line.partition(": ")[2]), payload.removesuffix(b"\r\n")))
                body = b'{"seq":1}'
            answers.append(f"MSG {reply} 1 {len(body)}\r\n".encode() + body + b"\r\n")
        return answers


@pytest.mark.parametrize("seed", range(20))
def test_every_record_once_and_in_order(tmp_path: Path, seed: int) -> None:
    """Refusals in the middle of a window, lost answers, new connections, power cuts: all at random."""
    chance = random.Random(seed)
    bus, now, count = Bus(chance), 0.0, 0
    spool = Spool(tmp_path, BYTES_MIN)
    upstream = Upstream(KEY, lambda _nonce: bytes(64), spool)
    for _ in range(4000):
        now += 1.0
        if count < 300 and chance.random() < 0.6:
            some = range(count, min(300, count + chance.randint(1, 30)))
            spool.append([("data.a.b", str(value).encode()) for value in some])
            count = some.stop
        if chance.random() < 0.05:
            spool = Spool(tmp_path, BYTES_MIN)  # as after a power cut
            upstream = Upstream(KEY, lambda _nonce: bytes(64), spool)
        if upstream.state == "closed":
            upstream.opened(now)
            upstream.receive(b'INFO {"nonce":"n"}\r\nPONG\r\n', now)
        upstream.pump(now)
        for answer in bus.take(upstream.take_output()):
            if chance.random() < 0.03:
                upstream.closed("lost")
                break
            upstream.receive(answer, now)
        if count == 300 and not len(spool):
            break
    assert count == 300 and not len(spool)
    positions = Positions(cast(Any, Nowhere()), [DEVICE])
    taken = [int(payload) for mark, payload in bus.stored if positions.take(DEVICE, mark, 0)]
    assert taken == list(range(300))
    assert len(bus.stored) > 300  # else nothing came twice and nothing was tried


def test_what_is_written_down_holds_after_a_restart(tmp_path: Path) -> None:
    with_device = database(tmp_path)
    with with_device.write() as session:
        positions = Positions(session, [DEVICE])
        assert positions.take(DEVICE, mark(5), 1) and not positions.take(DEVICE, mark(5), 1)
        positions.save(session)
    with with_device.write() as session:
        positions = Positions(session, [DEVICE])
        assert not positions.take(DEVICE, mark(4), 2) and not positions.take(DEVICE, mark(9, after=7), 2)
        assert positions.take(DEVICE, mark(6, after=5), 2)
        positions.save(session)
        assert [row.last for row in session.scalars(select(SpoolPosition))] == [6]
    with_device.close()


def test_a_device_with_one_spool_too_many_loses_its_oldest(tmp_path: Path) -> None:
    with_device = database(tmp_path)
    for number in range(SPOOLS_MAX + 1):
        with with_device.write() as session:
            positions = Positions(session, [DEVICE])
            assert positions.take(DEVICE, mark(1, spool=f"{number:012x}"), number)
            positions.save(session)
    with with_device.read() as session:
        names = set(session.scalars(select(SpoolPosition.spool)))
    assert names == {f"{number:012x}" for number in range(1, SPOOLS_MAX + 1)}
    with_device.close()


def mark(number: int, after: int = 0, spool: str = "0" * 12) -> RecordMark:
    return RecordMark(spool, number, after, 0)


def database(folder: Path) -> Database:
    made = Database(f"sqlite:///{folder / 'positions.db'}")
    made.migrate()
    with made.write() as session:
        organisation = Organisation(slug="default", name="Default", created_at=0)
        session.add(organisation)
        session.flush()
        session.add(
            Device(
                id=DEVICE,
                organisation_id=organisation.id,
                public_key="U",
                status="accepted",
                name="d",
                tags=[],
                created_at=0,
            )
        )
    return made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"{'0' * 12} 0 0 0",
        f"{'0' * 12} 1 1 0",
        f"{'0' * 12} {1 << 63} 0 0",
        f"{'0' * 13} 1 0 0",
        f"{'0' * 12} 1 0 -1",
    ],
)
def test_marks_that_are_none(text: str) -> None:
    with pytest.raises(KosError, match=RECORD_HEADER):
        RecordMark.parse(text)


def test_a_mark_that_is_older_than_can_be() -> None:
    assert RecordMark.parse(f"{'0' * 12} 1 0 {AGE_MAX + 1}").age == AGE_MAX
    assert RecordMark.parse(mark(7, 3).to_text()) == mark(7, 3)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"21.5", 21.5),
        (b"-1e3", -1000.0),
        (b"nan", None),
        (b"1e999", None),
        (b"{}", None),
        (b"1" * 65, None),
        (b"\xff", None),
    ],
)
def test_a_number_becomes_a_point(payload: bytes, found: float | None) -> None:
    expected = [] if found is None else [("station/weather/temperature", 5, found)]
    assert measured("station.weather.temperature", payload, 5) == expected
    assert measured("a" * 97, payload, 5) == []
