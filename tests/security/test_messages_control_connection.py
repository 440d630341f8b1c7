"""A hostile app on its control connection: garbage, floods, descriptors. It harms itself and is named."""

import fcntl
import os
import random
import socket
import threading
import time

import pytest

from kos.abi import message
from kos.abi.control import HEADER, PACKET_MAX, Op
from kos.abi.status import Status
from kos.device.msgserver.server import VIOLATIONS_MAX
from tests.device.msgserver.wire import DEADLINE, Server
from tests.security.test_messages_mailbox import fill

pytestmark = pytest.mark.group("security")


@pytest.fixture
def server():
    server = Server("weather", "clock")
    yield server
    server.stop()


def descriptors_of(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (b"x", "shorter than its header"),
        (HEADER.pack(Op.PING, 5, 0, 0, 0, 0, 0, 0), "says 5 bytes and has 0"),
        (HEADER.pack(Op.PING, 0, 0, 0, 0, 0, 0, 0) + b"more", "says 0 bytes and has 4"),
        (b"x" * (PACKET_MAX + 1), "a packet of over"),
    ],
    ids=["short", "longer-than-it-is", "shorter-than-it-is", "one-over-the-limit"],
)
def test_a_malformed_packet_is_refused_and_reported(server, packet, says):
    hostile = server.app("hostile")
    hostile.socket.send(packet)
    assert hostile.receive().status == Status.BAD_REQUEST
    report = server.wait_event("violation")
    assert report["app"] == "hostile"
    assert says in report["text"]
    assert hostile.ask(Op.PING).status == Status.PONG


@pytest.mark.parametrize("op", [0, max(Op) + 1, 0xFFFFFFFF])
def test_an_unknown_operation_is_refused_and_reported(server, op):
    assert server.app("hostile").ask(op).status == Status.BAD_REQUEST
    report = server.wait_event("violation")
    assert (report["app"], report["text"]) == ("hostile", f"an unknown operation, {op}")


@pytest.mark.parametrize(
    ("op", "words"),
    [
        (Op.TOKEN_INFO, (9,)),
        (Op.TOKEN_DELETE, (9,)),
        (Op.TOKEN_MOVE, (8, 9)),
        (Op.TRANSFER, (9, 1)),
        (Op.ACCEPT, (1, 1, 9)),
        (Op.COMPLAIN, (1, 1)),
        (Op.DETACH, (1,)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_guessed_token_or_mailbox_is_refused_and_reported(server, op, words):
    hostile = server.app("hostile")
    assert hostile.ask(op, *words).status == Status.INVALID_TOKEN
    report = server.wait_event("violation")
    assert (report["app"], report["text"]) == ("hostile", f"{op.name} of a token that it does not hold")


def test_descriptors_sent_to_the_server_go_nowhere(server):
    hostile = server.app("hostile")
    before = descriptors_of(server)
    for _ in range(VIOLATIONS_MAX):
        with open(os.devnull, "rb") as file:
            packet = HEADER.pack(Op.PING, 0, 0, 0, 0, 0, 0, 0)
            socket.send_fds(hostile.socket, [packet], [file.fileno()] * 20)
        assert hostile.receive().status == Status.BAD_REQUEST
    assert descriptors_of(server) == before
    assert "descriptors" in server.wait_event("violation")["text"]


def test_an_app_that_keeps_breaking_the_protocol_is_disconnected(server):
    hostile = server.app("hostile")
    innocent = server.app("innocent")
    with pytest.raises((ConnectionError, OSError)):
        for _ in range(VIOLATIONS_MAX + 1):
            hostile.socket.send(b"garbage")
            hostile.receive()
    report = server.wait_event("disconnected")
    assert (report["app"], report["text"]) == ("hostile", f"broke the protocol {VIOLATIONS_MAX + 1} times")
    assert innocent.ask(Op.PING).status == Status.PONG


def test_an_app_that_never_reads_its_answers_is_disconnected(server):
    hostile = server.app("hostile")
    hostile.socket.setblocking(False)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while True:
            try:
                hostile.socket.send(HEADER.pack(Op.PING, 0, 0, 0, 0, 0, 0, 0))
            except BlockingIOError:
                continue
    assert server.wait_event("disconnected")["app"] == "hostile"


def test_a_flood_takes_no_turn_from_another_app(server):
    hostile, innocent = server.app("hostile"), server.app("innocent")
    stop = threading.Event()
    asked = 0

    def flood():
        nonlocal asked
        while not stop.is_set():
            hostile.ask(Op.REQUEST, 5, data=b"not-granted\0")
            asked += 1

    thread = threading.Thread(target=flood)
    thread.start()
    end, turns = time.monotonic() + DEADLINE, 0
    try:
        while turns < 500 or asked <= 10:  # until there was a flood: its thread may begin late
            assert innocent.ask(Op.PING).status == Status.PONG
            turns += 1
            assert time.monotonic() < end, f"{turns} turns of the one, {asked} of the other"
    finally:
        stop.set()
        thread.join(DEADLINE)
    status = server.status()
    assert status["hostile"]["refused"] > 10
    assert status["innocent"]["refused"] == 0


@pytest.mark.parametrize("which", ["event_fd", "completion_fd"])
def test_a_full_event_does_not_stop_the_message_server(server, which):
    """The message server announces through descriptors that it shares with the app: no write may wait."""
    innocent = server.app("innocent")
    hostile = server.app("hostile", weather="server" if which == "event_fd" else "client")
    other = server.app("other", weather="client" if which == "event_fd" else "server")
    owner, client = (hostile, other) if which == "event_fd" else (other, hostile)
    owner.ask(Op.BIND, 1, 99, 0, data=b"weather")
    fill(getattr(hostile, which))
    client.ask(Op.REQUEST, 5, data=b"weather\0")
    if which == "completion_fd":
        request = owner.next_event()
        assert owner.ask(Op.REPLY, request.words[1], Status.OK).status == Status.OK
    assert innocent.ask(Op.PING).status == Status.PONG


def test_a_buffer_that_its_creator_sealed_disconnects_nobody(server):
    """Its creator forbids the seal that makes it read-only for others: then nobody else gets it, no more."""
    station = server.app("station", weather="server")
    station.ask(Op.BIND, 1, 99, 0, data=b"weather")
    hostile = server.app("hostile", weather="client")
    request_id = hostile.request("weather", 5)
    request = station.next_event()
    station.ask(Op.TOKEN_CREATE, 1, message.FLAG_SEND_TOKEN, 3)
    station.ask(Op.REPLY, request.words[1], Status.OK, 0, 3)
    mailbox = hostile.request_result(request_id).words[4]
    assert station.next_event().words[1] == mailbox
    (memory,) = hostile.ask(Op.BUFFER_CREATE, 4096, 6).descriptors
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
    os.close(memory)
    ticket = hostile.ask(Op.TRANSFER, 6, mailbox).words[0]
    assert station.ask(Op.ACCEPT, mailbox, ticket, 7).status == Status.INVALID_TOKEN
    assert station.ask(Op.PING).status == Status.PONG


def test_mailbox_ids_and_tickets_cannot_be_guessed(server):
    station = server.app("station", weather="server")
    station.ask(Op.BIND, 1, 99, message.FLAG_SEND_PAYLOAD, data=b"weather")
    sensor, hostile = server.app("sensor", weather="client"), server.app("hostile")
    request_id = sensor.request("weather", 5)
    request = station.next_event()
    station.ask(Op.TOKEN_CREATE, 1, 0, 3)
    for guess in range(64):
        assert hostile.ask(Op.ACCEPT, guess, guess, 5).status == Status.INVALID_TOKEN
        assert hostile.ask(Op.REPLY, guess, 128, 0, 0).status == Status.BAD_REQUEST
        assert hostile.ask(Op.REQUEST_RESULT, guess).status == Status.BAD_REQUEST
        assert hostile.ask(Op.DETACH, guess).status == Status.INVALID_TOKEN
    station.ask(Op.REPLY, request.words[1], 128, 0, 3)
    assert sensor.request_result(request_id).status == Status.OK


def test_random_operations_never_stop_the_server_or_leak(server):
    """Three hostile apps send every operation with random words; an innocent one always gets its answer."""
    choice = random.Random(2023)
    innocent = server.app("innocent", weather="client")
    before = None
    for round_number in range(3):
        roles = [
            {"weather": "server", "clock": "client"},
            {"weather": "client", "clock": "server"},
            {"weather": "client"},
        ]
        hostile = [server.app(f"hostile{index}", **access) for index, access in enumerate(roles)]
        for _ in range(3000):
            app = choice.choice(hostile)
            words = [
                choice.choice([0, 1, 2, 3, 5, 63, 64, choice.getrandbits(6), choice.getrandbits(64)])
                for _ in range(6)
            ]
            data = choice.choice([b"", b"weather", b"clock", b"weather\0x", b"clock\0", choice.randbytes(40)])
            for descriptor in app.ask(
                choice.choice([each for each in Op if each != Op.HELLO]), *words, data=data
            ).descriptors:
                os.close(descriptor)
        assert innocent.ask(Op.PING).status == Status.PONG
        for app in hostile:
            server.command({"op": "unregister", "app": app.name})
        assert list(server.status()) == ["innocent"]
        after = descriptors_of(server)
        assert after == (before or after), f"round {round_number} left descriptors behind"
        before = after
