import os
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.abi.message import APP_NAME_MAX, PAYLOAD_MAX_SIZE
from kos.abi.services import (
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_INFO,
    LOG_READ,
    LOG_TEXT_MAX,
    LOG_WRITE,
)
from kos.abi.status import Status
from kos.services.log import config
from kos.services.log.limiter import Limiter
from kos.services.log.record import RECORD_MAX, Record, clean, decode, decode_all
from kos.services.log.ring import Ring
from kos.services.log.server import LogServer


def silent(_text: str) -> None:
    return None


class Desk:
    """A log server whose clock the test moves and whose console it reads."""

    def __init__(self, *, rate: float = 10, burst: int = 5, level: int = LOG_LEVEL_DEBUG) -> None:
        self.now = 100.0
        self.console: list[str] = []
        self.server = LogServer(
            Ring(1 << 16, None, silent),
            Limiter(rate, burst),
            self.console.append,
            level=level,
            wall=lambda: self.now,
            monotonic=lambda: self.now,
        )

    def write(self, app: str, text: bytes, level: int = LOG_LEVEL_INFO) -> Status:
        return self.server.write(app, LOG_WRITE, level, text).status

    def read(self, start: int = 0) -> list[Record]:
        return decode_all(self.server.read("reader", LOG_READ, start, b"").payload)


def test_prints_level_and_app_and_keeps_the_line() -> None:
    desk = Desk()
    assert desk.write("station", b"22.5 C", LOG_LEVEL_INFO) is Status.OK
    assert desk.console == ["info  station: 22.5 C"]
    assert desk.read() == [Record(1, 100_000, LOG_LEVEL_INFO, "station", "22.5 C")]


def test_an_app_cannot_write_a_line_in_anothers_name() -> None:
    desk = Desk()
    desk.write("evil", b"x\n|    1.000| station            | all is well\x1b[2J\xe2\x80\xa8")
    assert desk.console == [r"info  evil: x\n|    1.000| station            | all is well\x1b[2J\u2028"]


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"", b"\0" * 900, "é".encode() * 600, b"\n" * LOG_TEXT_MAX])
def test_any_bytes_become_one_bounded_line(payload: bytes) -> None:
    text = clean(payload)
    assert text.isprintable()
    assert len(Record(1, 0, 0, "a" * APP_NAME_MAX, text).encode()) <= RECORD_MAX


def test_text_over_the_limit_is_cut_and_says_so() -> None:
    assert clean(b"a" * LOG_TEXT_MAX) == "a" * LOG_TEXT_MAX
    assert clean(b"a" * (LOG_TEXT_MAX + 1)) == "a" * LOG_TEXT_MAX + "… [1 bytes cut]"


@pytest.mark.parametrize("level", [4, 1 << 40])
def test_refuses_a_level_that_does_not_exist(level: int) -> None:
    assert Desk().write("station", b"x", level) is Status.BAD_REQUEST


def test_an_app_over_its_rate_is_dropped_and_counted_and_others_are_not() -> None:
    desk = Desk(rate=10, burst=5)
    assert [desk.write("noisy", b"x") for _ in range(8)] == [Status.OK] * 5 + [Status.FULL] * 3
    assert desk.write("quiet", b"x") is Status.OK
    desk.now += 0.25
    assert desk.write("noisy", b"again") is Status.OK
    assert desk.console[-2:] == [
        "warn  noisy: [3 lines dropped: over this app's rate]",
        "info  noisy: again",
    ]


def test_below_the_level_nothing_is_kept_or_counted() -> None:
    desk = Desk(burst=1, level=LOG_LEVEL_INFO)
    assert [desk.write("station", b"x", LOG_LEVEL_DEBUG) for _ in range(3)] == [Status.OK] * 3
    assert desk.console == []
    assert desk.write("station", b"x") is Status.OK


def test_reading_back_goes_on_where_it_stopped() -> None:
    desk = Desk(rate=1000, burst=1000)
    for number in range(100):
        desk.write("station", b"%d " % number + b"x" * 200)
    start, seen = 0, []
    while True:
        reply = desk.server.read("reader", LOG_READ, start, b"")
        assert len(reply.payload) <= PAYLOAD_MAX_SIZE
        records = decode_all(reply.payload)
        if not records:
            break
        seen += [record.sequence for record in records]
        start = reply.param
    assert seen == list(range(1, 101))


def test_each_port_has_its_own_operations() -> None:
    desk = Desk()
    assert desk.server.write("station", LOG_READ, 0, b"").status is Status.NOT_IMPLEMENTED
    assert desk.server.read("reader", LOG_WRITE, 1, b"x").status is Status.NOT_IMPLEMENTED
    assert desk.server.read("reader", LOG_READ, 0, b"x").status is Status.BAD_REQUEST


# --- the ring ----------------------------------------------------------------------------------------


def line(number: int, size: int = 100, level: int = LOG_LEVEL_INFO) -> Record:
    return Record(number, number * 1000, level, "station", f"{number:06} " + "x" * size)


def fill(ring: Ring, count: int, size: int = 100) -> None:
    for _ in range(count):
        ring.append(line(ring.next_sequence, size))


def test_the_ring_survives_a_restart(tmp_path: Path) -> None:
    ring = Ring(1 << 16, tmp_path, silent)
    fill(ring, 20)
    again = Ring(1 << 16, tmp_path, silent)
    assert list(again.since(0)) == list(ring.since(0))
    assert again.next_sequence == 21


def test_memory_and_storage_stay_within_the_limit(tmp_path: Path) -> None:
    limit = 16 << 10
    ring = Ring(limit, tmp_path, silent)
    fill(ring, 1000)
    assert sum(len(record.encode()) for record in ring.since(0)) <= limit
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= limit
    kept = [record.sequence for record in Ring(limit, tmp_path, silent).since(0)]
    assert kept == list(range(kept[0], 1001))
    assert len(kept) > 50


@pytest.mark.parametrize("lost", range(1, 60, 7))
def test_a_torn_last_record_costs_only_itself(tmp_path: Path, lost: int) -> None:
    fill(Ring(1 << 16, tmp_path, silent), 10, size=20)
    path = tmp_path / "log.0"
    os.truncate(path, path.stat().st_size - lost)
    told: list[str] = []
    ring = Ring(1 << 16, tmp_path, told.append)
    assert [record.sequence for record in ring.since(0)] == list(range(1, 10))
    assert "torn record" in told[0]
    fill(ring, 1)
    assert [record.sequence for record in Ring(1 << 16, tmp_path, silent).since(0)] == list(range(1, 11))


def test_damage_in_the_middle_is_noticed(tmp_path: Path) -> None:
    fill(Ring(1 << 16, tmp_path, silent), 10)
    path = tmp_path / "log.0"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)
    told: list[str] = []
    kept = list(Ring(1 << 16, tmp_path, told.append).since(0))
    assert kept == [line(number) for number in range(1, len(kept) + 1)]
    assert told


def test_garbage_where_the_log_should_be_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "log.0").write_bytes(os.urandom(5000))
    (tmp_path / "log.1").mkdir()
    told: list[str] = []
    ring = Ring(1 << 16, tmp_path, told.append)
    fill(ring, 3)
    assert len(told) == 2
    assert len(list(Ring(1 << 16, tmp_path, silent).since(0))) == 3


def test_broken_storage_is_told_once_and_memory_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "not_there"
    told: list[str] = []
    ring = Ring(1 << 16, folder, told.append)
    fill(ring, 5)
    assert len(list(ring.since(0))) == 5
    assert len(told) == 1
    assert "in memory only" in told[0]


def test_an_error_is_on_storage_at_once(tmp_path: Path) -> None:
    ring = Ring(1 << 16, tmp_path, silent)
    ring.append(line(1, level=LOG_LEVEL_ERROR))
    assert len(list(Ring(1 << 16, tmp_path, silent).since(0))) == 1


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 19, b"\0" * 18 + b"\xff\xff", line(1).encode()[:-1], b"\xff" * 40]
)
def test_what_is_no_record_is_an_error(data: bytes) -> None:
    with pytest.raises(KosError, match="not a log record"):
        decode(data)


# --- settings -----------------------------------------------------------------------------------------


def test_settings() -> None:
    assert config.parse({}) == config.LogConfig()
    parsed = config.parse({"level": "warn", "rate": 5, "burst": 7, "ring": 4096})
    assert parsed == config.LogConfig(2, 5.0, 7, 4096)


@pytest.mark.parametrize(
    "settings",
    [
        {"levle": "info"},
        {"level": "loud"},
        {"level": 1},
        {"rate": 0},
        {"rate": config.RATE_MAX + 1},
        {"burst": True},
        {"ring": config.RING_MAX + 1},
        {"ring": "big"},
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(KosError):
        config.parse(settings)
