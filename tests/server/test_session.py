"""The device's end of the session, without I/O: what goes out for what comes in, and what is never lost."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kos.abi import nkey
from kos.abi.errors import KosError
from kos.abi.session import (
    DOCUMENT_MAX,
    UP_CONSOLE,
    UP_REPORT,
    UP_TELEMETRY,
    AppState,
    Console,
    Desired,
    Hello,
    Reply,
    Report,
    Request,
    Telemetry,
    down_subject,
    dump,
)
from kos.services.admin import wire
from kos.services.admin.backoff import Backoff
from kos.services.admin.console import ConsoleBuffer
from kos.services.admin.identity import from_seed
from kos.services.admin.main import parse_address
from kos.services.admin.session import (
    ACK_TIMEOUT,
    DEAD_AFTER,
    HELLO_TIMEOUT,
    JOINED,
    PENDING,
    QUEUE_BYTES,
    WINDOW,
    Session,
)

pytestmark = pytest.mark.group("server")

INFO = b'INFO {"nonce": "n0", "server_id": "x"}\r\n'
IDENTITY = from_seed(b"s" * 32)
DEVICE = nkey.device_id(IDENTITY.public_key)


def make() -> Session:
    return Session(
        IDENTITY.public_key,
        IDENTITY.sign,
        lambda: Hello("boot"),
        lambda number: Report("boot", number, 1, apps={"a": AppState("running")}),
        "run",
    )


def message(kind: str, data: bytes) -> bytes:
    return f"MSG {down_subject(DEVICE, kind)} 1 {len(data)}\r\n".encode() + data + b"\r\n"


def sent(output: bytes) -> list[tuple[str, str, bytes]]:
    """(subject, message id, payload) of each message that goes out."""
    found = []
    while output:
        line, _, output = output.partition(b"\r\n")
        words = line.decode().split()
        if words[0] == "HPUB":
            header, size = int(words[-2]), int(words[-1])
            identity = output[:header].decode().partition("Nats-Msg-Id: ")[2].partition("\r\n")[0]
            found.append((words[1].rpartition(".")[2], identity, output[header:size]))
            output = output[size + 2 :]
        elif words[0] == "PUB":
            size = int(words[-1])
            found.append((words[1].rpartition(".")[2], "", output[:size]))
            output = output[size + 2 :]
    return found


def join(session: Session, now: float = 0.0, **desired: object) -> list[tuple[str, str, bytes]]:
    session.opened(now)
    session.receive(INFO + b"PONG\r\n", now)
    session.take_output()
    session.receive(message("answer.hello", Desired(1, **desired).to_bytes()), now)  # type: ignore[arg-type]
    return sent(session.take_output())


def acknowledge(session: Session, number: int, now: float, body: bytes = b'{"seq": 1}') -> None:
    session.receive(message(f"answer.{number}", body), now)


def test_the_nonce_is_signed_with_the_devices_key() -> None:
    session = make()
    session.opened(0.0)
    session.receive(INFO, 0.0)
    line = session.take_output().split(b"\r\n")[0]
    options = json.loads(line.removeprefix(b"CONNECT "))
    assert nkey.decode(options["nkey"]) == IDENTITY.public_key
    assert base64.urlsafe_b64decode(options["sig"] + "==") == IDENTITY.sign(b"n0")


def test_a_server_without_a_nonce_is_left() -> None:
    session = make()
    session.opened(0.0)
    with pytest.raises(KosError, match="no nonce"):
        session.receive(b"INFO {}\r\n", 0.0)


def test_joining_reports_at_once_and_at_each_heartbeat() -> None:
    session = make()
    assert [kind for kind, _, _ in join(session, heartbeat=5.0)] == [UP_REPORT]
    assert session.state == JOINED
    acknowledge(session, 1, 0.1)
    assert session.deadline() == pytest.approx(5.0)
    session.tick(5.0)
    assert [kind for kind, _, _ in sent(session.take_output())] == [UP_REPORT]


def test_a_device_that_waits_says_nothing() -> None:
    session = make()
    assert join(session, accepted=False) == []
    assert session.state == PENDING
    session.send(UP_CONSOLE, b"{}", 1.0)
    assert session.take_output() == b""


def test_what_was_not_acknowledged_goes_out_again_under_the_same_id() -> None:
    session = make()
    join(session)
    acknowledge(session, 1, 0.0)
    session.send(UP_TELEMETRY, b"data", 1.0)
    first = sent(session.take_output())
    session.closed()
    again = join(session, 2.0)
    assert first == [(UP_TELEMETRY, f"{DEVICE}-run-2", b"data")]
    assert first[0] in again
    acknowledge(session, 2, 3.0)
    assert session.waiting == 1, "the report of the second connection"


def test_a_server_that_cannot_store_is_asked_later() -> None:
    session = make()
    join(session)
    acknowledge(session, 1, 0.0)
    session.send(UP_TELEMETRY, b"data", 1.0)
    session.take_output()
    acknowledge(session, 2, 1.0, b'{"error": {"code": 503, "description": "full"}}')
    assert session.take_output() == b"" and session.waiting == 1
    session.tick(4.1)
    assert (UP_TELEMETRY, f"{DEVICE}-run-2", b"data") in sent(session.take_output())


def test_silence_of_an_acknowledgement_repeats() -> None:
    session = make()
    join(session)
    session.tick(ACK_TIMEOUT + 0.1)
    assert f"{DEVICE}-run-1" in [identity for _, identity, _ in sent(session.take_output())]


def test_no_more_than_the_window_is_under_way() -> None:
    session = make()
    join(session)
    for number in range(3 * WINDOW):
        session.send(UP_TELEMETRY, str(number).encode(), 1.0)
    assert len(sent(session.take_output())) == WINDOW - 1, "and the report"


def test_a_full_queue_drops_the_oldest_and_counts() -> None:
    session = make()
    for _ in range(20):
        session.send(UP_CONSOLE, b"x" * (QUEUE_BYTES // 10), 0.0)
    assert session.dropped == 10 and session.waiting == 10


def test_a_silent_server_is_left_and_a_lost_hello_repeated() -> None:
    session = make()
    session.opened(0.0)
    session.receive(INFO + b"PONG\r\n", 0.0)
    session.take_output()
    session.tick(HELLO_TIMEOUT)
    assert b".up.hello " in session.take_output()
    with pytest.raises(KosError, match="silent"):
        session.tick(DEAD_AFTER)


def test_a_request_is_answered_only_below_our_own_subjects() -> None:
    session = make()
    join(session)
    request = Request("1", "kos.d.other.up.reply.x", "graph")
    (event,) = session.receive(message("request", request.to_bytes()), 1.0)
    assert event == request
    session.reply(request, Reply("1", True))
    assert session.take_output() == b""


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_frames_do_not_depend_on_how_bytes_are_cut(data: st.DataObject) -> None:
    stream = INFO + b"PING\r\n+OK\r\n" + message("desired", b"hello") + b"PONG\r\n-ERR 'no'\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parser, frames = wire.Parser(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        frames += parser.feed(stream[begin:end])
    assert [type(frame).__name__ for frame in frames] == ["Info", "Ping", "Message", "Pong", "Refused"]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_whatever_comes_is_frames_or_an_error(data: bytes) -> None:
    try:
        wire.Parser().feed(data)
    except KosError:
        return


@pytest.mark.parametrize(
    "line",
    [
        f"MSG a 1 {wire.PAYLOAD_MAX + 1}",
        "MSG a 1 -1",
        "MSG a 1 x",
        "MSG",
        "HMSG a 1 20 10",
        "HTTP/1.1 200 OK",
        "INFO [",
        "x" * (wire.LINE_MAX + 2),
    ],
    ids=lambda line: line[:16],
)
def test_over_a_limit_or_not_the_protocol(line: str) -> None:
    with pytest.raises(KosError):
        wire.Parser().feed(line.encode() + b"\r\n")


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b'{"v": 2, "boot": "b", "seq": 1, "sent": 1}',
        dump({"boot": "b c", "seq": 1, "sent": 1}),
        dump({"boot": "b", "seq": -1, "sent": 1}),
        dump({"boot": "b", "seq": 1, "sent": 1, "release": "abc"}),
        dump({"boot": "b", "seq": 1, "sent": 1, "apps": {f"a{n}": {"state": "x"} for n in range(257)}}),
        dump({"boot": "b", "seq": 1, "sent": 1, "apps": {"a b": {"state": "x"}}}),
        dump({"boot": "b", "seq": 1, "sent": 1, "metrics": {"m": "1"}}),
        dump({"boot": "b", "seq": 1, "sent": 1, "update": {"state": "great"}}),
        dump({"boot": "b", "seq": 1, "sent": 1, "apps": {"a": {"state": "x", "network": {"dns": "1"}}}}),
        dump({"boot": "b", "seq": 1, "sent": 1, "apps": {"a": {"state": "x", "network": {"d s": 1}}}}),
        dump({"boot": "b", "seq": 1, "sent": 1, "apps": {"a": {"state": "x", "network": {"dns": -1}}}}),
        dump(
            {
                "boot": "b",
                "seq": 1,
                "sent": 1,
                "apps": {"a": {"state": "x", "network": {f"r{n}": 1 for n in range(17)}}},
            }
        ),
        b'{"v": 1}' + b" " * DOCUMENT_MAX,
    ],
    ids=range(14),
)
def test_a_wrong_report_is_refused(document: bytes) -> None:
    with pytest.raises(KosError):
        Report.parse(document)


def test_documents_survive_the_way() -> None:
    for one in (
        Hello("b", "host", "s", "a", "n", False, 3),
        Report("b", 1, 2, 3, "a" * 64, metrics={"m": 1.5}, apps={"x": AppState("running", 1, 2, "d")}),
        Report("b", 1, 2, 3, apps={"x": AppState("failed", violations=3, network={"sent": 4, "dns": 1})}),
        Console("b", ((1.0, "a", "text"),), 2),
        Telemetry(5, (("s/t", 1, 2.0),), False),
        Desired(3, release="b" * 64, size=4, signatures=({"name": "n"},), settings={"x": 1}),
    ):
        assert type(one).parse(one.to_bytes()) == one


def test_text_that_no_database_takes_is_replaced() -> None:
    raw = b'{"v": 1, "boot": "b", "lines": [[1.0, "a", "x\\u0000y\\ud800z"]]}'
    assert Console.parse(raw).lines[0][2] == "x\ufffdy?z"


def test_console_lines_are_gathered_and_bounded() -> None:
    buffer = ConsoleBuffer()
    buffer.add("|      1.500| pump               | turns", 0.0)
    buffer.add("not a line", 0.0)
    assert buffer.due() == pytest.approx(0.2)
    assert Console.parse(buffer.take("b")).lines == ((1.5, "pump", "turns"),)
    for number in range(6000):
        buffer.add(f"|      1.500| pump               | {number}", 0.0)
    first = Console.parse(buffer.take("b"))
    assert first.dropped == 1000 and first.lines[0][2] == "1000"


def test_waiting_grows_and_is_never_in_step() -> None:
    backoff = Backoff(1.0, 8.0)
    waits = [backoff.wait() for _ in range(6)]
    assert all(top / 4 <= wait <= top for wait, top in zip(waits, (1, 2, 4, 8, 8, 8), strict=True))
    backoff.reset()
    assert backoff.wait() <= 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fleet.example.org", ("fleet.example.org", 4181)),
        ("10.0.0.1:99", ("10.0.0.1", 99)),
        ("[::1]:99", ("::1", 99)),
        ("::1", ("::1", 4181)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", ":99", "host:0", "host:99999", "host:x"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(KosError):
        parse_address(text)


def test_keys_as_text() -> None:
    text = nkey.encode(IDENTITY.public_key)
    assert text.startswith("U") and nkey.decode(text) == IDENTITY.public_key
    for wrong in ("", "U", text[:-1], text[:-1] + ("A" if text[-1] != "A" else "B"), "S" + text[1:], "ü"):
        with pytest.raises(KosError):
            nkey.decode(wrong)
