"""Whatever a client sends, each core app answers with a status and goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kos.abi.errors import KosError
from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.status import Status
from kos.services.answer import Answer
from kos.services.i2c import simulated
from kos.services.i2c.server import I2CServer
from kos.services.keystore import config as keystore_config
from kos.services.keystore import keys
from kos.services.keystore.server import KeyStore
from kos.services.log.limiter import Limiter
from kos.services.log.record import decode
from kos.services.log.ring import Ring
from kos.services.log.server import LogServer
from kos.services.rng.server import answer as rng

WORD = st.integers(0, (1 << 64) - 1)
SMALL = st.integers(0, 8) | WORD
PAYLOAD = st.binary(max_size=200) | st.binary(min_size=PAYLOAD_MAX_SIZE, max_size=PAYLOAD_MAX_SIZE)


def ignore(_text: str) -> None:
    return None


def key_store() -> Callable[..., Answer]:
    access = {"app": {"tunnel": ["public", "agree"], "server": ["public", "sign"]}}
    parsed = keystore_config.parse({"access": access})
    return KeyStore(keys.load(parsed.keys.values(), "/nonexistent"), parsed.access).answer


LOG = LogServer(Ring(8192, None, ignore), Limiter(1e6, 1_000_000), ignore)
BUS = simulated.build({0x76: "bme280", 0x77: "bmp280", 0x48: "lm75"}, 0)
HANDLERS = {
    "rng": rng,
    "log": LOG.write,
    "log admin": LOG.read,
    "key store": key_store(),
    "i2c": I2CServer(BUS, {"app": set(range(128))}).answer,
}


@pytest.mark.parametrize("service", HANDLERS)
@settings(max_examples=300, deadline=None)
@given(label=SMALL, param=SMALL | st.integers(0, 0x1000_0077), payload=PAYLOAD)
def test_every_message_gets_an_answer(service: str, label: int, param: int, payload: bytes) -> None:
    status, number, data = HANDLERS[service]("app", label, param, payload)
    assert status in list(Status)
    assert 0 <= number < 1 << 64
    assert len(data) <= PAYLOAD_MAX_SIZE
    assert status is Status.OK or not data


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(["tunnel", "server", "self_test", "x"]), data=PAYLOAD, label=st.integers(1, 3))
def test_every_operation_of_the_key_store_gets_an_answer(name: str, data: bytes, label: int) -> None:
    payload = (name.encode() + b"\0" + data)[:PAYLOAD_MAX_SIZE]
    status, _number, answer = HANDLERS["key store"]("app", label, 0, payload)
    assert status in (Status.OK, Status.NOT_FOUND, Status.BAD_REQUEST)
    assert len(answer) in (0, 32, 64)


@settings(max_examples=300, deadline=None)
@given(writes=st.lists(st.tuples(st.sampled_from([0x48, 0x76, 0x77]), st.binary(max_size=8)), max_size=12))
def test_devices_take_any_bytes_and_answer_as_many_as_asked(writes: list[tuple[int, bytes]]) -> None:
    from kos.services.i2c.bus import Message

    for address, data in writes:
        read = BUS.transfer([Message(address, data), Message(address, size=300, read=True)])
        assert len(read) == 300


@given(data=st.binary(max_size=100))
def test_any_bytes_are_a_record_or_an_error(data: bytes) -> None:
    try:
        record, size = decode(data)
    except KosError:
        return
    assert record.encode() == data[:size]


@settings(max_examples=100, deadline=None)
@given(damage=st.binary(min_size=1, max_size=40), at=st.integers(0, 2000))
def test_a_damaged_log_is_read_up_to_the_damage(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes, at: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    server = LogServer(Ring(8192, folder, ignore), Limiter(1e6, 1000), ignore)
    for number in range(20):
        server.write("app", 1, 1, b"line %d" % number)
    path = Path(folder) / "log.0"
    data = path.read_bytes()
    path.write_bytes(data[:at] + damage + data[at + len(damage) :])
    kept = [record.text for record in Ring(8192, folder, ignore).since(0)]
    assert kept == [f"line {number}" for number in range(len(kept))]
