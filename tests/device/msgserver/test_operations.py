"""Every operation of the control protocol and each of its refusals, over the wire, against a real process."""

import os
import signal
from pathlib import Path

import pytest

from kos.abi import message
from kos.abi.control import HEADER, Event, Op, TokenKind
from kos.abi.status import Status

PAYLOAD = message.FLAG_SEND_PAYLOAD
TOKENS = message.FLAG_SEND_TOKEN


def bound(server, label=7, badge=99, flags=PAYLOAD):
    """A server app that serves `weather`, and a client app."""
    station = server.app("station", weather="server")
    assert station.ask(Op.BIND, label, badge, flags, data=b"weather").status == Status.OK
    return station, server.app("sensor", weather="client")


def connected(server, flags=PAYLOAD | TOKENS, slot=5):
    """As `bound`, with a token of badge 1 in the client's slot; returns the mailbox's id too."""
    station, sensor = bound(server)
    request_id = sensor.request("weather", slot)
    incoming = station.next_event()
    assert incoming.words[0] == Event.REQUEST
    assert station.ask(Op.TOKEN_CREATE, 1, flags, 3).status == Status.CREATED
    assert station.ask(Op.REPLY, incoming.words[1], 128, 0, 3).status == Status.OK
    result = sensor.request_result(request_id)
    assert result.status == Status.OK
    close_all(result)
    attach = station.ask(Op.NEXT_EVENT)
    assert attach.words[:3] == (Event.ATTACH, result.words[4], 1)
    close_all(attach)
    return station, sensor, result.words[4]


def close_all(reply):
    for descriptor in reply.descriptors:
        os.close(descriptor)


def test_ping_answers_pong(server):
    assert server.app("any").ask(Op.PING).status == Status.PONG


def test_ready_is_reported_to_the_supervisor(server):
    assert server.app("any").ask(Op.READY).status == Status.OK
    assert server.wait_event("ready")["app"] == "any"


def test_hello_with_another_abi_version_is_refused(server):
    app = server.app("any")
    assert app.ask(Op.HELLO, 2).status == Status.NOT_IMPLEMENTED


def test_a_port_not_granted_looks_like_one_that_does_not_exist(server):
    app = server.app("any", clock="client")
    for op, data in [(Op.BIND, b"weather"), (Op.QUERY, b"weather"), (Op.REQUEST, b"weather\0")]:
        assert app.ask(op, 4, data=data).status == Status.NOT_FOUND
        assert app.ask(op, 4, data=data.replace(b"weather", b"nowhere")).status == Status.NOT_FOUND
    assert server.wait_event("refused")["port"] == "weather"


def test_a_client_cannot_serve_and_a_server_cannot_ask(server):
    app = server.app("any", weather="client", clock="server")
    assert app.ask(Op.BIND, data=b"weather").status == Status.UNAUTHORIZED
    assert app.ask(Op.REQUEST, 4, data=b"clock\0").status == Status.UNAUTHORIZED


def test_a_port_is_served_once(server):
    station, _sensor = bound(server)
    second = server.app("second", weather="server")
    assert second.ask(Op.BIND, data=b"weather").status == Status.CONFLICT
    assert second.ask(Op.UNBIND, data=b"weather").status == Status.NOT_FOUND
    assert station.ask(Op.UNBIND, data=b"weather").status == Status.OK
    assert second.ask(Op.BIND, data=b"weather").status == Status.OK


def test_query_says_whether_a_port_is_served_now(server):
    station, sensor = bound(server)
    assert sensor.ask(Op.QUERY, data=b"weather").status == Status.OK
    station.ask(Op.UNBIND, data=b"weather")
    assert sensor.ask(Op.QUERY, data=b"weather").status == Status.UNAVAILABLE


def test_a_request_carries_label_badge_caller_and_payload(server):
    station, sensor = bound(server, label=7, badge=99)
    sensor.request("weather", 5, payload=b"hello")
    incoming = station.next_event()
    _event, _request_id, label, _param, badge, caller = incoming.words
    assert (label, badge, caller, incoming.data) == (7, 99, sensor.id, b"hello")
    assert station.ask(Op.APP_NAME, caller).data == b"sensor"


def test_an_app_name_is_told_only_to_who_serves_it(server):
    _station, sensor = bound(server)
    stranger = server.app("stranger", clock="server")
    assert stranger.ask(Op.APP_NAME, sensor.id).status == Status.NOT_FOUND


def test_a_request_with_payload_needs_the_bind_flag(server):
    _station, sensor = bound(server, flags=0)
    assert sensor.ask(Op.REQUEST, 5, data=b"weather\0hello").status == Status.UNAUTHORIZED


def test_a_second_request_waits_for_the_first(server):
    _station, sensor = bound(server)
    sensor.request("weather", 5)
    assert sensor.ask(Op.REQUEST, 6, data=b"weather\0").status == Status.CONFLICT


def test_the_slot_of_a_request_stays_reserved(server):
    _station, sensor = bound(server)
    request_id = sensor.request("weather", 5)
    assert sensor.ask(Op.TOKEN_CREATE, 1, 0, 5).status == Status.CONFLICT
    assert sensor.ask(Op.REQUEST_RESULT, request_id).status == Status.NO_REPLY


def test_a_refused_request_gives_the_slot_back(server):
    station, sensor = bound(server)
    request_id = sensor.request("weather", 5)
    incoming = station.next_event()
    station.ask(Op.REPLY, incoming.words[1], Status.UNAUTHORIZED, 0, 0)
    result = sensor.request_result(request_id)
    assert (result.words[0], result.words[2]) == (Status.UNAUTHORIZED, TokenKind.NONE)
    assert sensor.ask(Op.TOKEN_CREATE, 1, 0, 5).status == Status.CREATED


def test_an_answer_to_a_request_never_seen_is_refused(server):
    station, sensor = bound(server)
    request_id = sensor.request("weather", 5)
    assert station.ask(Op.REPLY, request_id, 128, 0, 0).status == Status.BAD_REQUEST
    assert sensor.ask(Op.REPLY, request_id, 128, 0, 0).status == Status.BAD_REQUEST


def test_the_holder_and_the_owner_get_the_same_memory(server):
    station, sensor = bound(server)
    request_id = sensor.request("weather", 5)
    incoming = station.next_event()
    station.ask(Op.TOKEN_CREATE, 1, PAYLOAD, 3)
    station.ask(Op.REPLY, incoming.words[1], 128, 0, 3)
    held = sensor.request_result(request_id)
    owned = station.ask(Op.NEXT_EVENT)
    assert os.fstat(held.descriptors[0]).st_ino == os.fstat(owned.descriptors[0]).st_ino
    assert os.fstat(held.descriptors[0]).st_size == message.MAILBOX_SIZE
    with pytest.raises(PermissionError):
        os.truncate(held.descriptors[0], 0)
    assert owned.words == (Event.ATTACH, held.words[4], 1, PAYLOAD, sensor.id, 0)
    close_all(held)
    close_all(owned)


def test_a_token_given_away_leaves_its_slot(server):
    station, _sensor, _mailbox = connected(server)
    assert station.ask(Op.TOKEN_INFO, 3).status == Status.INVALID_TOKEN


def test_server_death_answers_a_waiting_request(server):
    station, sensor = bound(server)
    request_id = sensor.request("weather", 5)
    station.socket.close()
    assert sensor.request_result(request_id).status == Status.UNAVAILABLE
    assert sensor.ask(Op.QUERY, data=b"weather").status == Status.UNAVAILABLE
    assert server.wait_event("disconnected")["app"] == "station"


def test_server_death_makes_its_tokens_stale(server):
    station, sensor, _mailbox = connected(server)
    station.socket.close()
    server.wait_event("disconnected")
    assert sensor.ask(Op.TOKEN_INFO, 5).status == Status.INVALID_TOKEN
    assert sensor.ask(Op.TOKEN_DELETE, 5).status == Status.OK


def test_client_death_is_told_to_the_owner(server):
    station, sensor, mailbox = connected(server)
    sensor.socket.close()
    closed = station.next_event()
    assert closed.words[:2] == (Event.CLOSED, mailbox)


def test_revoke_by_badge_stops_tokens_wherever_they_are(server):
    station, sensor, mailbox = connected(server)
    assert station.ask(Op.TOKEN_REVOKE, 2).words[0] == 0
    assert station.ask(Op.TOKEN_REVOKE, 1).words[0] == 1
    assert sensor.ask(Op.TOKEN_INFO, 5).status == Status.INVALID_TOKEN
    assert station.next_event().words[:2] == (Event.CLOSED, mailbox)


def test_only_the_creator_can_revoke(server):
    _station, sensor, _mailbox = connected(server)
    assert sensor.ask(Op.TOKEN_REVOKE, 1).words[0] == 0
    assert sensor.ask(Op.TOKEN_INFO, 5).status == Status.OK


def test_a_token_moves_to_a_third_app_through_a_message(server):
    station, _sensor = bound(server)
    # `clock` serves the app `third`, and gives it its own token for `station` in an answer.
    clock = server.app("clock", clock="server", weather="client")
    third = server.app("third", clock="client")
    clock.ask(Op.BIND, 1, 50, PAYLOAD, data=b"clock")
    request_id = clock.request("weather", 9)
    incoming = station.next_event()
    station.ask(Op.TOKEN_CREATE, 77, PAYLOAD, 3)
    station.ask(Op.REPLY, incoming.words[1], 128, 0, 3)
    held = clock.request_result(request_id)
    close_all(held)
    attach = station.ask(Op.NEXT_EVENT)
    close_all(attach)
    request_id = third.request("clock", 4)
    incoming = clock.next_event()
    assert clock.ask(Op.REPLY, incoming.words[1], 128, 0, 9).status == Status.OK
    got = third.request_result(request_id)
    assert got.words[2] == TokenKind.MAILBOX
    close_all(got)
    events = {}
    while (event := station.ask(Op.NEXT_EVENT)).status == Status.OK:
        events[event.words[0]] = event
        close_all(event)
    assert events[Event.CLOSED].words[1] == held.words[4]
    assert events[Event.ATTACH].words[1:5] == (got.words[4], 77, PAYLOAD, third.id)
    assert clock.ask(Op.TOKEN_INFO, 9).status == Status.INVALID_TOKEN


def test_an_offer_is_accepted_once_by_its_receiver_only(server):
    station, sensor, mailbox = connected(server)
    sensor.ask(Op.TOKEN_CREATE, 8, PAYLOAD, 6)
    ticket = sensor.ask(Op.TRANSFER, 6, mailbox).words[0]
    assert sensor.ask(Op.ACCEPT, mailbox, ticket, 7).status == Status.INVALID_TOKEN
    assert station.ask(Op.ACCEPT, mailbox, ticket + 1, 7).status == Status.INVALID_TOKEN
    accepted = station.ask(Op.ACCEPT, mailbox, ticket, 7)
    assert accepted.words[0] == TokenKind.MAILBOX
    close_all(accepted)
    assert station.ask(Op.ACCEPT, mailbox, ticket, 8).status == Status.INVALID_TOKEN


def test_a_token_that_comes_home_is_an_own_token_again(server):
    station, sensor, mailbox = connected(server)
    sensor.ask(Op.TOKEN_CREATE, 8, PAYLOAD, 6)
    ticket = sensor.ask(Op.TRANSFER, 6, mailbox).words[0]
    close_all(station.ask(Op.ACCEPT, mailbox, ticket, 7))
    ticket = station.ask(Op.TRANSFER, 7, mailbox).words[0]
    home = sensor.ask(Op.ACCEPT, mailbox, ticket, 6)
    assert home.words[:2] == (TokenKind.OWN, PAYLOAD)
    assert sensor.ask(Op.TOKEN_INFO, 6).words[:3] == (PAYLOAD, TokenKind.OWN, 8)


def test_sending_a_token_needs_the_flag(server):
    _station, sensor, mailbox = connected(server, flags=PAYLOAD)
    sensor.ask(Op.TOKEN_CREATE, 8, PAYLOAD, 6)
    assert sensor.ask(Op.TRANSFER, 6, mailbox).status == Status.UNAUTHORIZED
    assert sensor.ask(Op.TOKEN_INFO, 6).status == Status.OK


def test_a_mailbox_cannot_carry_its_own_token(server):
    _station, sensor, mailbox = connected(server)
    assert sensor.ask(Op.TRANSFER, 5, mailbox).status == Status.BAD_REQUEST


def test_a_stranger_cannot_use_another_apps_mailbox(server):
    _station, _sensor, mailbox = connected(server)
    stranger = server.app("stranger")
    stranger.ask(Op.TOKEN_CREATE, 8, 0, 6)
    assert stranger.ask(Op.TRANSFER, 6, mailbox).status == Status.INVALID_TOKEN
    assert stranger.ask(Op.ACCEPT, mailbox, 1, 7).status == Status.INVALID_TOKEN
    assert stranger.ask(Op.DETACH, mailbox).status == Status.INVALID_TOKEN


@pytest.mark.parametrize("slot", [0, 64, 2**63])
def test_a_slot_out_of_range_is_refused(server, slot):
    app = server.app("any")
    assert app.ask(Op.TOKEN_CREATE, 1, 0, slot).status == Status.BAD_REQUEST


def test_unknown_flags_are_refused(server):
    app = server.app("any", weather="server")
    assert app.ask(Op.TOKEN_CREATE, 1, 1 << 9, 2).status == Status.BAD_REQUEST
    assert app.ask(Op.BIND, 1, 1, 1 << 9, data=b"weather").status == Status.BAD_REQUEST


def test_tokens_move_between_slots(server):
    app = server.app("any")
    app.ask(Op.TOKEN_CREATE, 1, 0, 2)
    app.ask(Op.TOKEN_CREATE, 2, 0, 3)
    assert app.ask(Op.TOKEN_MOVE, 3, 2).status == Status.CONFLICT
    assert app.ask(Op.TOKEN_MOVE, 4, 2).status == Status.OK
    assert app.ask(Op.TOKEN_INFO, 2).status == Status.INVALID_TOKEN
    assert app.ask(Op.TOKEN_INFO, 4).words[2] == 1


def test_a_shared_buffer_is_written_by_its_creator_only(server):
    import mmap

    station, sensor, mailbox = connected(server)
    created = sensor.ask(Op.BUFFER_CREATE, 8192, 6)
    assert created.status == Status.CREATED
    writable = mmap.mmap(created.descriptors[0], 8192)
    ticket = sensor.ask(Op.TRANSFER, 6, mailbox).words[0]
    accepted = station.ask(Op.ACCEPT, mailbox, ticket, 7)
    assert (accepted.words[0], accepted.words[3]) == (TokenKind.BUFFER, 8192)
    writable[:5] = b"hello"
    with mmap.mmap(accepted.descriptors[0], 8192, prot=mmap.PROT_READ) as readable:
        assert readable[:5] == b"hello"
    with pytest.raises(PermissionError):
        mmap.mmap(accepted.descriptors[0], 8192)
    with pytest.raises(PermissionError):
        os.pwrite(accepted.descriptors[0], b"x", 0)
    writable.close()
    close_all(created)
    close_all(accepted)


@pytest.mark.parametrize("size", [0, message.BUFFER_MAX_SIZE + 1])
def test_a_buffer_of_impossible_size_is_refused(server, size):
    assert server.app("any").ask(Op.BUFFER_CREATE, size, 6).status == Status.BAD_REQUEST


def granted_and_unfetched(server):
    """A client that has its token while the server app has not fetched the mailbox yet."""
    station, sensor = bound(server)
    request_id = sensor.request("weather", 5)
    incoming = station.next_event()
    station.ask(Op.TOKEN_CREATE, 1, PAYLOAD, 3)
    station.ask(Op.REPLY, incoming.words[1], 128, 0, 3)
    result = sensor.request_result(request_id)
    close_all(result)
    return station, sensor, result.words[4]


def test_the_last_messages_of_an_app_reach_a_server_that_was_slow_to_look(server):
    station, sensor, mailbox = granted_and_unfetched(server)
    sensor.socket.close()
    assert server.wait_event("disconnected")["app"] == "sensor"
    attach = station.ask(Op.NEXT_EVENT)
    assert attach.words[:2] == (Event.ATTACH, mailbox)
    assert len(attach.descriptors) == 2
    close_all(attach)
    closed = station.ask(Op.NEXT_EVENT)
    assert closed.words[:2] == (Event.CLOSED, mailbox)
    assert station.ask(Op.NEXT_EVENT).status == Status.NO_REPLY


def test_an_owner_that_dies_while_it_is_given_a_mailbox_leaves_nothing(server):
    station, sensor, _mailbox = granted_and_unfetched(server)
    sensor.socket.close()
    assert server.wait_event("disconnected")["app"] == "sensor"
    server.process.send_signal(signal.SIGSTOP)
    station.socket.send(HEADER.pack(Op.NEXT_EVENT, 0, *[0] * 6))
    station.socket.close()  # before the answer
    server.process.send_signal(signal.SIGCONT)
    assert server.wait_event("disconnected")["app"] == "station"
    held = Path(f"/proc/{server.process.pid}/fd")
    assert not [link for each in held.iterdir() if "kos-mailbox" in (link := os.readlink(each))]


def test_what_was_revoked_before_the_server_looked_is_never_delivered(server):
    station, _sensor, _mailbox = granted_and_unfetched(server)
    assert station.ask(Op.TOKEN_REVOKE, 1).words[0] == 1
    assert station.ask(Op.NEXT_EVENT).status == Status.NO_REPLY


def test_what_was_revoked_after_its_holder_died_is_never_delivered(server):
    station, sensor, _mailbox = granted_and_unfetched(server)
    sensor.socket.close()
    assert server.wait_event("disconnected")["app"] == "sensor"
    station.ask(Op.TOKEN_REVOKE, 1)
    assert station.ask(Op.NEXT_EVENT).status == Status.NO_REPLY


@pytest.mark.parametrize("ends", ["deleted", "revoked"])
def test_an_end_says_whether_its_last_messages_count(server, ends):
    station, sensor, mailbox = connected(server)
    if ends == "revoked":
        station.ask(Op.TOKEN_REVOKE, 1)
    else:
        sensor.ask(Op.TOKEN_DELETE, 5)
    closed = station.ask(Op.NEXT_EVENT)
    assert closed.words[:4] == (Event.CLOSED, mailbox, 0, ends == "revoked")


def test_a_token_for_a_holder_that_is_gone_stays_and_is_no_violation(server):
    station, sensor, mailbox = connected(server)
    sensor.socket.close()
    assert server.wait_event("disconnected")["app"] == "sensor"
    station.ask(Op.TOKEN_CREATE, 8, 0, 6)
    assert station.ask(Op.TRANSFER, 6, mailbox).status == Status.UNAVAILABLE
    assert station.ask(Op.TOKEN_INFO, 6).status == Status.OK
    station.ask(Op.READY)
    assert server.event()["event"] == "ready", "nothing was reported before"


def test_a_token_that_cannot_be_given_leaves_the_requester_waiting_for_another_answer(server):
    """A single-use token stays with its first holder; its slot and the request are what they were."""
    station, sensor, mailbox = connected(server)
    sensor.ask(Op.TOKEN_CREATE, 8, message.TOKEN_FLAG_SINGLE_USE, 6)
    ticket = sensor.ask(Op.TRANSFER, 6, mailbox).words[0]
    accepted = station.ask(Op.ACCEPT, mailbox, ticket, 7)
    close_all(accepted)
    request_id = sensor.request("weather", 9)
    incoming = station.next_event()
    assert station.ask(Op.REPLY, incoming.words[1], 128, 0, 7).status == Status.UNAUTHORIZED
    assert station.ask(Op.TOKEN_INFO, 7).status == Status.OK
    assert sensor.ask(Op.REQUEST_RESULT, request_id).status == Status.NO_REPLY
    assert station.ask(Op.REPLY, incoming.words[1], Status.FULL).status == Status.OK
    assert sensor.request_result(request_id).words[0] == Status.FULL


@pytest.mark.parametrize("when", ["before it was seen", "while it is answered", "after its answer"])
def test_a_request_that_nobody_waits_for_any_more_leaves_nothing(server, when):
    station, sensor = bound(server)
    request_id = sensor.request("weather", 5)
    incoming = None
    if when != "before it was seen":
        incoming = station.next_event()
        station.ask(Op.TOKEN_CREATE, 1, 0, 3)
    if when == "after its answer":
        assert station.ask(Op.REPLY, incoming.words[1], 128, 0, 3).status == Status.OK
    assert sensor.ask(Op.REQUEST_CANCEL, request_id + 1).status == Status.BAD_REQUEST
    assert sensor.ask(Op.REQUEST_CANCEL, request_id).status == Status.OK
    assert sensor.ask(Op.REQUEST_CANCEL, request_id).status == Status.BAD_REQUEST
    if when == "before it was seen":
        assert station.ask(Op.NEXT_EVENT).status == Status.NO_REPLY
    elif when == "while it is answered":
        assert station.ask(Op.REPLY, incoming.words[1], 128, 0, 3).status == Status.BAD_REQUEST
        assert station.ask(Op.TOKEN_INFO, 3).status == Status.OK
    status = server.status()
    assert (status["sensor"]["tokens"], status["station"]["clients"]) == (0, 0)
    assert sensor.ask(Op.TOKEN_CREATE, 1, 0, 5).status == Status.CREATED, "its slot is free"
    sensor.request("weather", 6)


def test_status_counts_what_each_app_holds(server):
    connected(server)
    status = server.status()
    assert status["station"]["clients"] == 1
    assert status["sensor"]["tokens"] == 1
    assert status["station"]["serves"] == ["weather"]


def test_a_status_of_many_apps_comes_in_parts(server):
    names = [f"app{number}" for number in range(600)]
    held = [server.register(name, 0x20000 + n, {"weather": "client"}) for n, name in enumerate(names)]
    assert sorted(server.status()) == sorted(names)
    for connection in held:
        connection.close()
