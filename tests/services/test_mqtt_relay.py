"""The relay's parts: MQTT packets, topics, the spool through crashes, and what goes to the server again."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kos.abi.errors import KosError
from kos.abi.record_mark import RECORD_HEADER, RecordMark
from kos.services.mqtt_relay import packets
from kos.services.mqtt_relay.client import Client, Message
from kos.services.mqtt_relay.config import parse
from kos.services.mqtt_relay.spool import BYTES_MIN, POSITION, RESERVE, Spool
from kos.services.mqtt_relay.topics import kind_of
from kos.services.mqtt_relay.upstream import OPEN, WINDOW, Upstream

KEY = bytes(32)
WRITE = os.write


def text(value: str) -> bytes:
    return struct.pack("!H", len(value.encode())) + value.encode()


def packet(first: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:
        length += bytes([size & 0x7F | (0x80 if size > 0x7F else 0)])
        size >>= 7
        if not size:
            return bytes([first]) + length + body


def connect(keep_alive: int = 60, level: int = 4) -> bytes:
    return packet(0x10, text("MQTT") + bytes([level, 2]) + struct.pack("!H", keep_alive) + text("any"))


def publish(topic: str, payload: bytes, qos: int = 1, identifier: int = 1, flags: int = 0) -> bytes:
    number = struct.pack("!H", identifier) if qos else b""
    return packet(0x30 | qos << 1 | flags, text(topic) + number + payload)


@pytest.fixture
def client() -> Client:
    made = Client("station", 0.0)
    made.receive(connect(), 0.0)
    assert made.release() == b"\x20\x02\x00\x00"
    return made


def test_a_message_is_acknowledged_only_after_it_was_kept(client):
    (message,) = client.receive(publish("weather/temperature", b"21", identifier=7), 1.0)
    assert message == Message("data.station.weather.temperature", b"21")
    assert client.release() == b"\x40\x02\x00\x07"
    assert client.release() == b""


def test_bytes_may_come_one_by_one(client):
    found = [m for byte in publish("a/b", b"x" * 300) for m in client.receive(bytes([byte]), 1.0)]
    assert found == [Message("data.station.a.b", b"x" * 300)]


def test_qos_2_is_delivered_once(client):
    first = publish("a", b"x", qos=2, identifier=3)
    assert len(client.receive(first, 1.0)) == 1
    assert len(client.receive(publish("a", b"x", qos=2, identifier=3, flags=8), 1.0)) == 0
    client.receive(packet(0x62, b"\x00\x03"), 1.0)
    assert client.release() == b"\x50\x02\x00\x03" * 2 + b"\x70\x02\x00\x03"
    assert len(client.receive(first, 2.0)) == 1


def test_nothing_can_be_subscribed_to(client):
    client.receive(packet(0x82, b"\x00\x05" + text("#") + b"\x00" + text("a") + b"\x01"), 1.0)
    assert client.release() == b"\x90\x04\x00\x05\x80\x80"


def test_ping_and_goodbye(client):
    client.receive(b"\xc0\x00", 50.0)
    assert client.release() == b"\xd0\x00"
    assert client.deadline == 50.0 + 90.0
    client.receive(b"\xe0\x00", 51.0)
    assert client.ended


@pytest.mark.parametrize(
    "data",
    [
        connect(),
        publish("a", b"x", qos=3),
        packet(0x30, text("a")[:-1]),
        packet(0x20, b"\x00\x00"),
        b"\x30\xff\xff\xff\xff",
        packet(0x30, struct.pack("!H", packets.TOPIC_MAX + 1) + b"a" * (packets.TOPIC_MAX + 1)),
        b"\x30" + b"\x81\x80\x10",
    ],
    ids=[
        "twice",
        "quality 3",
        "cut off",
        "a server's packet",
        "endless length",
        "topic too long",
        "too long",
    ],
)
def test_what_is_not_mqtt_ends_the_connection(client, data):
    with pytest.raises(KosError):
        client.receive(data, 1.0)


def test_who_does_not_introduce_itself():
    with pytest.raises(KosError, match="introduce"):
        Client("station", 0.0).receive(publish("a", b""), 0.0)


def test_mqtt_5_is_told_no():
    client = Client("station", 0.0)
    client.receive(connect(level=5), 0.0)
    assert client.release() == b"\x20\x02\x00\x01" and client.ended


@pytest.mark.parametrize(
    "topic", ["", "/", "a//b", "a/", "a.b", "a b", "$SYS", "#", "a/+", "kos/x", "kos/hello", "ä"]
)
def test_topics_that_are_refused(topic):
    with pytest.raises(KosError, match="station publishes to"):
        kind_of("station", topic)


def test_topics_one_level_too_deep():
    assert kind_of("a", "/".join(["x"] * 16)) == "data.a." + ".".join(["x"] * 16)
    with pytest.raises(KosError):
        kind_of("a", "/".join(["x"] * 17))


def test_documents_for_the_servers():
    assert kind_of("station", "kos/telemetry") == "telemetry"
    assert kind_of("station", "kos/event") == "event"


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=200))
def test_any_bytes_are_mqtt_or_an_error(data):
    client = Client("station", 0.0)
    try:
        client.receive(connect() + data, 0.0)
    except KosError:
        return


# --- the spool --------------------------------------------------------------------------------------------
def fill(spool: Spool, count: int, size: int = 10) -> None:
    spool.append([("data.a", str(n).encode().ljust(size)) for n in range(count)])


def drain(spool: Spool) -> list[int]:
    found = []
    while (record := spool.take()) is not None:
        found.append(int(record.payload))
    return found


def test_what_is_kept_survives_a_crash_in_order(tmp_path):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 100)
    again = Spool(tmp_path, BYTES_MIN)
    assert again.identity == spool.identity
    assert drain(again) == list(range(100))


def test_what_the_server_has_is_not_sent_again_after_an_orderly_end(tmp_path):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 10)
    records = [spool.take() for _ in range(10)]
    assert records[5] is not None
    spool.acknowledge(records[5].number)
    spool.close()
    assert drain(Spool(tmp_path, BYTES_MIN)) == [6, 7, 8, 9]


def test_numbers_never_repeat(tmp_path):
    used = set()
    for _ in range(4):
        spool = Spool(tmp_path, BYTES_MIN)
        fill(spool, 5)
        while (record := spool.take()) is not None:
            number = record.number
        spool.acknowledge(number)
        assert number not in used
        used.add(number)


@pytest.mark.parametrize("cut", [1, 3, 8, 20, 30])
def test_a_torn_end_costs_only_what_is_torn(tmp_path, cut):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 50)
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    segment.write_bytes(segment.read_bytes()[:-cut])
    found = drain(Spool(tmp_path, BYTES_MIN))
    assert found == list(range(len(found))) and len(found) >= 48


def test_a_damaged_record_hides_what_follows_in_its_segment(tmp_path):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 50)
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    found = drain(Spool(tmp_path, BYTES_MIN))
    assert found == list(range(len(found)))


def test_the_oldest_is_dropped_and_counted(tmp_path):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 200, size=1000)
    found = drain(spool)
    assert found == list(range(200 - len(found), 200))
    assert spool.dropped == 200 - len(found) > 0
    assert sum(path.stat().st_size for path in tmp_path.glob("*.spool")) <= BYTES_MIN + 2000
    assert Spool(tmp_path, BYTES_MIN).dropped == spool.dropped


@pytest.mark.parametrize("damage", ["nonsense", "", "0123456789ab 1 2", "0123456789AB 1 2 3", None])
def test_a_lost_position_keeps_what_waits_under_its_old_name(tmp_path, damage):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 3)
    position = tmp_path / POSITION
    position.unlink() if damage is None else position.write_text(damage)
    again = Spool(tmp_path, BYTES_MIN)
    assert again.identity != spool.identity
    again.append([("data.a", b"3")])
    records = [again.take() for _ in range(4)]
    assert [int(record.payload) for record in records] == [0, 1, 2, 3]
    assert [record.spool for record in records] == [spool.identity] * 3 + [again.identity]
    assert [record.spool for record in Spool(tmp_path, BYTES_MIN)._waiting] == [r.spool for r in records]


@pytest.mark.parametrize("keep", [0, 1, 100, 5000])
def test_a_truncated_spool_uses_no_number_twice(tmp_path, keep):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, RESERVE + 200)
    used = {record.number for record in spool._waiting}
    for segment in tmp_path.glob("*.spool"):
        segment.write_bytes(segment.read_bytes()[:keep])
    again = Spool(tmp_path, BYTES_MIN)
    left = {record.number for record in again._waiting}
    fill(again, 10)
    assert not used & ({record.number for record in again._waiting} - left)


def test_starts_cost_no_record(tmp_path):
    """However often the power goes while the server is away."""
    for number in range(40):
        Spool(tmp_path, BYTES_MIN).append([("data.a", str(number).encode())])
    spool = Spool(tmp_path, BYTES_MIN)
    assert drain(spool) == list(range(40)) and spool.dropped == 0
    assert len(list(tmp_path.glob("*.spool"))) == 1


@pytest.mark.parametrize("call", range(1, 30, 4))
@pytest.mark.parametrize("part", [0, 7, None])
def test_a_full_storage_loses_nothing_that_was_kept(tmp_path, monkeypatch, call, part):
    """Whichever write fails, after however many bytes: what was kept stays, the rest was refused."""
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 10, size=800)
    calls = 0

    def full(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls < call:
            return WRITE(descriptor, data)
        if part is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return WRITE(descriptor, data[:part])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        kept = 10
        for first in range(10, 40, 3):
            messages = [("data.a", str(n).encode().ljust(800)) for n in range(first, first + 3)]
            try:
                spool.append(messages)
                kept = first + 3
            except KosError as error:
                assert "the storage takes nothing: No space left" in error.message
                break
        else:
            raise AssertionError("nothing failed")
    assert [int(record.payload) for record in spool._waiting] == list(range(kept))
    assert drain(Spool(tmp_path, BYTES_MIN)) == list(range(kept))  # as after a crash right now
    spool.append([("data.a", str(n).encode()) for n in range(kept, 60)])  # there is room again
    assert drain(Spool(tmp_path, BYTES_MIN)) == list(range(60))


def test_a_file_system_that_is_really_full(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("not applicable: an ordinary user mounts no file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", tmp_path], check=True)
    try:
        spool = Spool(tmp_path / "spool", BYTES_MIN)
        fill(spool, 20, size=1000)
        with (tmp_path / "something else").open("wb", buffering=0) as other, pytest.raises(OSError):
            while other.write(bytes(1 << 12)):
                pass
        with pytest.raises(KosError, match="the storage takes nothing: No space left"):
            fill(spool, 20, size=1000)
        spool.acknowledge(spool.take().number)
        (tmp_path / "something else").unlink()
        spool.append([("data.a", b"20")])
        assert drain(Spool(tmp_path / "spool", BYTES_MIN))[-20:] == list(range(1, 21))
        spool.close()
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_full_storage_does_not_stop_the_replay(tmp_path, monkeypatch):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 100)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        numbers = []
        while (record := spool.take()) is not None:
            numbers.append(record.number)
            spool.acknowledge(record.number)
    assert len(numbers) == 100 and len(spool) == 0
    again = Spool(tmp_path, BYTES_MIN)  # it repeats, under the same ids
    assert again.identity == spool.identity and again.take().number == numbers[0]


def test_a_spool_one_byte_too_small(tmp_path):
    with pytest.raises(KosError, match=f"at least {BYTES_MIN}"):
        Spool(tmp_path, BYTES_MIN - 1)


# --- the server's side ------------------------------------------------------------------------------------
def opened(spool: Spool) -> Upstream:
    upstream = Upstream(KEY, lambda nonce: bytes(64), spool)
    upstream.opened(0.0)
    upstream.receive(b'INFO {"nonce":"n"}\r\n', 0.0)
    assert b'"nkey": "U' in upstream.take_output()
    upstream.receive(b"PONG\r\n", 0.0)
    assert upstream.state == OPEN
    return upstream


def numbers(output: bytes) -> list[int]:
    return [mark.number for mark in marks(output)]


def marks(output: bytes) -> list[RecordMark]:
    start = f"{RECORD_HEADER}: "
    lines = output.decode().split("\r\n")
    return [RecordMark.parse(line.removeprefix(start)) for line in lines if line.startswith(start)]


def answer(upstream: Upstream, number: int, body: bytes = b'{"seq":1}', now: float = 1.0) -> None:
    subject = f"kos.d.{upstream._device}.down.answer.mqtt.{number}"
    upstream.receive(f"MSG {subject} 1 {len(body)}\r\n".encode() + body + b"\r\n", now)


def test_a_window_leaves_and_moves_on(tmp_path):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, WINDOW + 10)
    upstream = opened(spool)
    sent = numbers(upstream.take_output())
    assert len(sent) == WINDOW and sent == sorted(sent)
    answer(upstream, sent[0])
    assert numbers(upstream.take_output()) == [sent[-1] + 1]
    assert upstream.stored == 1


def test_nothing_is_forgotten_before_all_before_it_is_stored(tmp_path):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 3)
    upstream = opened(spool)
    sent = numbers(upstream.take_output())
    answer(upstream, sent[2])
    assert len(spool) == 3
    answer(upstream, sent[0])
    answer(upstream, sent[1])
    assert len(spool) == 0


def test_a_lost_connection_sends_again_under_the_same_numbers(tmp_path):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 5)
    upstream = opened(spool)
    first = numbers(upstream.take_output())
    answer(upstream, first[0])
    upstream.closed("gone")
    upstream.opened(10.0)
    upstream.receive(b'INFO {"nonce":"n"}\r\nPONG\r\n', 10.0)
    assert numbers(upstream.take_output()) == first[1:]


def test_each_says_after_which_one_it_must_come(tmp_path):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 3)
    upstream = opened(spool)
    first, second, third = marks(upstream.take_output())
    assert (first.after, second.after, third.after) == (0, first.number, second.number)
    answer(upstream, first.number)
    fill(spool, 1)
    upstream.pump(1.0)
    assert [mark.after for mark in marks(upstream.take_output())] == [third.number]
    for mark in (second, third):
        answer(upstream, mark.number)
    answer(upstream, third.number + 1)
    fill(spool, 1)
    upstream.pump(1.0)
    assert [mark.after for mark in marks(upstream.take_output())] == [0]


def test_a_new_spool_waits_until_the_old_one_is_stored(tmp_path):
    fill(Spool(tmp_path, BYTES_MIN), 2)
    (tmp_path / POSITION).unlink()
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 2)
    upstream = opened(spool)
    old = marks(upstream.take_output())
    assert len(old) == 2 and spool.identity not in {mark.spool for mark in old}
    answer(upstream, old[0].number)
    assert marks(upstream.take_output()) == []
    answer(upstream, old[1].number)
    assert [(mark.spool, mark.after > 0) for mark in marks(upstream.take_output())] == [
        (spool.identity, False),
        (spool.identity, True),
    ]


def test_a_failure_waits_for_what_is_under_way_and_goes_back(tmp_path):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 3)
    upstream = opened(spool)
    sent = numbers(upstream.take_output())
    answer(upstream, sent[0], b'{"error":{"code":503}}')
    answer(upstream, sent[1])
    answer(upstream, sent[2])
    assert numbers(upstream.take_output()) == []
    upstream.tick(10.0)
    assert numbers(upstream.take_output()) == sent
    assert len(spool) == 3


def test_a_server_that_acknowledges_nothing_is_left(tmp_path):
    spool = Spool(tmp_path, BYTES_MIN)
    fill(spool, 1)
    upstream = opened(spool)
    with pytest.raises(KosError, match="acknowledges nothing"):
        upstream.tick(20.0)


def test_a_server_without_a_nonce_gets_no_signature(tmp_path):
    upstream = Upstream(KEY, lambda nonce: bytes(64), Spool(tmp_path, BYTES_MIN))
    upstream.opened(0.0)
    with pytest.raises(KosError, match="no nonce"):
        upstream.receive(b"INFO {}\r\n", 0.0)


@pytest.mark.parametrize(
    "config", [{}, {"server": ""}, {"server": "a:0"}, {"server": "a", "spool": 1}, {"server": "a", "port": 1}]
)
def test_settings_that_are_wrong(config):
    with pytest.raises(KosError, match="mqtt_relay"):
        parse(config)
