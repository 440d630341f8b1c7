from collections.abc import Sequence
from struct import pack

import pytest

from kos.abi.errors import KosError
from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import (
    I2C_FEATURE_TRANSFER,
    I2C_GET_FEATURES,
    I2C_MESSAGES_MAX,
    I2C_READ,
    I2C_TRANSFER,
    I2C_TRANSFER_READ,
    I2C_WRITE,
)
from kos.abi.status import Status
from kos.services.i2c import config, linux, simulated
from kos.services.i2c.bus import BusError, Message
from kos.services.i2c.server import I2CServer, parse_transfer


class Tape:
    """A bus that notes its transactions and answers reads with 0xaa, or fails as it is told to."""

    def __init__(self, failure: BusError | None = None) -> None:
        self.transactions: list[list[Message]] = []
        self.failure = failure

    def transfer(self, messages: Sequence[Message]) -> bytes:
        self.transactions.append(list(messages))
        if self.failure:
            raise self.failure
        return b"\xaa" * sum(message.size for message in messages)


DEVICES = {"sensor": {0x76}, "both": {0x48, 0x76}}


def part(address: int, data: bytes | int) -> bytes:
    if isinstance(data, int):
        return pack("<HHH", address, I2C_TRANSFER_READ, data)
    return pack("<HHH", address, 0, len(data)) + data


def test_writes_and_reads() -> None:
    tape = Tape()
    server = I2CServer(tape, DEVICES)
    assert server.answer("sensor", I2C_WRITE, 0x76, b"\xd0") == (Status.OK, 1, b"")
    assert server.answer("sensor", I2C_READ, 0x76 | 2 << 16, b"") == (Status.OK, 2, b"\xaa\xaa")
    assert tape.transactions == [[Message(0x76, b"\xd0")], [Message(0x76, size=2, read=True)]]


def test_a_combined_transaction_is_one_transaction() -> None:
    tape = Tape()
    payload = part(0x76, b"\xf7") + part(0x76, 8) + part(0x48, 2)
    reply = I2CServer(tape, DEVICES).answer("both", I2C_TRANSFER, 0, payload)
    assert reply == (Status.OK, 11, b"\xaa" * 10)
    assert len(tape.transactions) == 1


def test_features_say_what_the_bus_can_do() -> None:
    reply = I2CServer(Tape(), DEVICES).answer("sensor", I2C_GET_FEATURES, 0, b"")
    assert reply == (Status.OK, I2C_FEATURE_TRANSFER, b"")


@pytest.mark.parametrize(
    ("app", "label", "param", "payload"),
    [
        ("sensor", I2C_WRITE, 0x48, b"\0"),
        ("sensor", I2C_READ, 0x48 | 1 << 16, b""),
        ("sensor", I2C_WRITE, 0x1_0000_0076, b"\0"),
        ("sensor", I2C_WRITE, 0x76 | 0x80, b"\0"),
        ("stranger", I2C_WRITE, 0x76, b"\0"),
        ("sensor", I2C_TRANSFER, 0, part(0x76, b"\0") + part(0x48, 1)),
    ],
)
def test_an_address_that_was_not_granted_is_refused_before_anything_is_sent(
    app: str, label: int, param: int, payload: bytes
) -> None:
    tape = Tape()
    assert I2CServer(tape, DEVICES).answer(app, label, param, payload).status is Status.UNAUTHORIZED
    assert tape.transactions == []


@pytest.mark.parametrize(
    ("label", "param", "payload"),
    [
        (I2C_READ, 0x76, b""),
        (I2C_READ, 0x76 | (PAYLOAD_MAX_SIZE + 1) << 16, b""),
        (I2C_READ, 0x76 | 1 << 16, b"x"),
        (I2C_TRANSFER, 0, b""),
        (I2C_TRANSFER, 0, part(0x76, b"\0")[:-1]),
        (I2C_TRANSFER, 0, part(0x76, 1)[:-1]),
        (I2C_TRANSFER, 0, pack("<HHH", 0x76, 0x10, 0)),
        (I2C_TRANSFER, 0, part(0x76, 1) * (I2C_MESSAGES_MAX + 1)),
        (I2C_TRANSFER, 0, part(0x76, PAYLOAD_MAX_SIZE) + part(0x76, 1)),
    ],
)
def test_what_is_malformed_is_refused(label: int, param: int, payload: bytes) -> None:
    tape = Tape()
    assert I2CServer(tape, DEVICES).answer("sensor", label, param, payload).status is Status.BAD_REQUEST
    assert tape.transactions == []


def test_the_limits_themselves_are_allowed() -> None:
    assert len(parse_transfer(part(0x76, 1) * I2C_MESSAGES_MAX)) == I2C_MESSAGES_MAX
    assert parse_transfer(part(0x76, PAYLOAD_MAX_SIZE)) == [Message(0x76, size=PAYLOAD_MAX_SIZE, read=True)]


def test_an_unknown_label_is_said_to_be_so() -> None:
    assert I2CServer(Tape(), DEVICES).answer("sensor", 99, 0, b"").status is Status.NOT_IMPLEMENTED


@pytest.mark.parametrize("status", [Status.NOT_FOUND, Status.UNAVAILABLE])
def test_a_failure_on_the_bus_is_its_status(status: Status) -> None:
    server = I2CServer(Tape(BusError(status, "no")), DEVICES)
    assert server.answer("sensor", I2C_WRITE, 0x76, b"\0") == (status, 0, b"")


def test_nothing_answers_at_an_empty_address() -> None:
    bus = simulated.build({0x76: "bme280"}, seed=0)
    with pytest.raises(BusError) as caught:
        bus.transfer([Message(0x48, b"\0")])
    assert caught.value.status is Status.NOT_FOUND


@pytest.mark.parametrize("name", ["bme281", "../bme280", "", "bosch_compensation"])
def test_a_model_that_does_not_exist_is_an_error_with_a_hint(name: str) -> None:
    with pytest.raises(KosError, match="no simulated device"):
        simulated.model(name)


def test_a_bus_name_is_a_device_file() -> None:
    assert linux.device_path("i2c2") == "/dev/i2c-2"
    with pytest.raises(KosError, match="has no number"):
        linux.device_path("../i2c")


def test_a_bus_that_is_not_there_is_an_error_with_a_hint() -> None:
    with pytest.raises(KosError, match="i2c-dev loaded"):
        linux.LinuxBus("/dev/i2c-9999")


def test_settings() -> None:
    parsed = config.parse(
        {
            "bus": "i2c2",
            "bus_speed": 400_000,
            "devices": {"sensor": [0x76, 0x77]},
            "simulate": {"0x76": "bme280"},
        }
    )
    assert parsed.port == "kos_i2c2_protocol"
    assert parsed.devices == {"sensor": frozenset({0x76, 0x77})}
    assert parsed.simulate == {0x76: "bme280"}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bus": 2},
        {"bus": "i2c2", "speed": 1},
        {"bus": "i2c2", "devices": []},
        {"bus": "i2c2", "devices": {"sensor": 0x76}},
        {"bus": "i2c2", "devices": {"sensor": [0x07]}},
        {"bus": "i2c2", "devices": {"sensor": [0x78]}},
        {"bus": "i2c2", "devices": {"sensor": [True]}},
        {"bus": "i2c2", "simulate": {"0x76": 280}},
        {"bus": "i2c2", "simulate": {"x": "bme280"}},
        {"bus": "i2c2", "seed": -1},
        {"bus": "i2c2", "seed": config.SEED_MAX + 1},
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(KosError):
        config.parse(settings)
