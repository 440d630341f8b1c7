"""Typed protocols: what goes in comes out, and what does not fit its type is refused."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.app.typed import DEPTH_MAX, Operation, Protocol, decode, encode
from tests.app.system import system


@dataclass
class Place:
    name: str
    height: float | None = None


@dataclass
class Reading:
    sensor: str
    values: list[int] = field(default_factory=list)
    raw: bytes = b""
    place: Place | None = None
    tags: dict[str, bool] = field(default_factory=dict)


readings = st.builds(
    Reading,
    st.text(max_size=50),
    st.lists(st.integers(), max_size=10),
    st.binary(max_size=50),
    st.none() | st.builds(Place, st.text(max_size=50), st.none() | st.floats(allow_nan=False)),
    st.dictionaries(st.text(max_size=10), st.booleans(), max_size=5),
)


@given(readings)
def test_a_dataclass_comes_out_as_it_went_in(reading: Reading) -> None:
    assert decode(Reading, encode(reading)) == reading


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_value_or_a_value_error(payload: bytes) -> None:
    try:
        value = decode(Reading, payload)
    except ValueError:
        return
    assert isinstance(value, Reading)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "Expecting value"),
        (b"[]", "expected Reading, found list"),
        (b"{}", "a field of Reading is missing"),
        (b'{"sensor": 1}', "expected str, found int"),
        (b'{"sensor": "x", "more": 1}', "unknown field 'more'"),
        (b'{"sensor": "x", "values": [true]}', "expected int, found bool"),
        (b'{"sensor": "x", "values": "no"}', "expected list"),
        (b'{"sensor": "x", "raw": "zz"}', "non-hexadecimal"),
        (b'{"sensor": "x", "place": {"name": 5}}', "none of those expected"),
        (b'{"sensor": "x", "values": ' + b"[" * 2000 + b"]" * 2000 + b"}", "expected int|too deep"),
    ],
)
def test_what_does_not_fit_is_refused(payload: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode(Reading, payload)


def test_one_byte_over_the_limit_does_not_travel() -> None:
    assert len(encode("x" * PAYLOAD_MAX_SIZE)) == PAYLOAD_MAX_SIZE
    with pytest.raises(ValueError, match="4097 bytes, at most 4096"):
        encode("x" * (PAYLOAD_MAX_SIZE + 1))


def test_depth_is_limited() -> None:
    def nested(levels: int) -> tuple[type, object]:
        """A dataclass with so many levels of dictionaries in it, and a value of it."""
        kind: Any = int
        value: Any = 1
        for _ in range(levels):
            kind, value = dict[str, kind], {"a": value}
        made = make_dataclass("Deep", [("value", kind)])
        return made, made(value)

    kind, value = nested(DEPTH_MAX - 2)  # the dataclass and the number are levels too
    assert decode(kind, encode(value)) == value
    kind, value = nested(DEPTH_MAX - 1)
    with pytest.raises(ValueError, match="too deep"):
        decode(kind, encode(value))


def test_other_types_are_named() -> None:
    with pytest.raises(TypeError, match="object is no type of a message"):
        encode(object())
    assert (decode(None, b""), decode(bytes, b"\xff"), decode(str, b"text")) == (None, b"\xff", "text")
    with pytest.raises(ValueError, match="expected no payload"):
        decode(None, b"x")


def test_a_handler_for_an_unknown_operation_is_an_error() -> None:
    class Weather(Protocol):
        port = "weather"
        report = Operation(1, str)

    assert list(Weather.handlers(report=print)) == [1]
    with pytest.raises(TypeError, match="Weather has no operation 'reprot'"):
        Weather.handlers(reprot=print)


WEATHER = """
from dataclasses import dataclass
from kos import app
from kos.app.typed import Operation, Protocol

@dataclass
class Reading:
    sensor: str
    celsius: float

class Weather(Protocol):
    port = "weather"
    report = Operation(1, Reading)
    latest = Operation(2, None, Reading)
"""
SERVER = """
server, kept = app.Server(), []
def take(reading, client):
    kept.append(reading)
    print(client.name, reading)
server.bind(Weather.port, Weather.handlers(report=take, latest=lambda _value, _client: kept[-1]))
app.ready()
server.serve()
"""
CLIENT = """
weather = Weather.connect()
weather.report(Reading("roof", 21.5))
print(weather.latest())
try:
    weather.token.call(1, 0, b"{}")
except app.StatusError as error:
    print(error.status.name)
"""


def test_a_protocol_between_two_apps() -> None:
    with system(msg0=["weather"]) as running:
        server = running.start_python("station", {"weather": "server"}, WEATHER + SERVER)
        client = running.start_python("sensor", {"weather": "client"}, WEATHER + CLIENT)
        assert client.lines(2) == ["Reading(sensor='roof', celsius=21.5)", "BAD_REQUEST"]
        assert server.line() == "sensor Reading(sensor='roof', celsius=21.5)"
