"""Rings of traced apps: who gets one, who may read them, and what is left of an app that ended."""

import mmap
import os

import pytest

from kos.abi import trace
from kos.abi.control import Op
from kos.abi.status import Status
from kos.device.msgserver.tables import ENDED_RINGS_MAX
from tests.device.msgserver.test_operations import close_all

SIZE = trace.ring_size(trace.RECORD_SIZE)


@pytest.fixture
def tracer(server):
    return server.traced("trace_server", tracer=True)


def next_ring(tracer, after=0):
    """Number, app's name and what the ring holds; its descriptor is closed."""
    reply = tracer.ask(Op.TRACE_NEXT, after)
    if reply.status != Status.OK:
        return Status(reply.status), None, None
    with mmap.mmap(reply.descriptors[0], reply.words[3], prot=mmap.PROT_READ) as ring:
        contents = ring[:]
    close_all(reply)
    return reply.words[0], reply.data.decode(), contents


def own_ring(app):
    reply = app.ask(Op.TRACE_RING)
    assert reply.status == Status.CREATED
    ring = mmap.mmap(reply.descriptors[0], SIZE)
    return reply.descriptors[0], ring


def test_an_app_that_is_not_traced_has_no_ring(server):
    assert server.app("sensor", weather="client").ask(Op.TRACE_RING).status == Status.NOT_FOUND


def test_only_the_trace_server_may_read(server):
    for app in (server.app("sensor", weather="client"), server.traced("pump", weather="client")):
        assert app.ask(Op.TRACE_NEXT).status == Status.UNAUTHORIZED
        assert app.ask(Op.TRACE_PEERS).status == Status.UNAUTHORIZED


def test_what_an_app_writes_reaches_the_trace_server(server, tracer):
    assert next_ring(tracer)[0] == Status.NO_REPLY
    pump = server.traced("pump", weather="client")
    fd, ring = own_ring(pump)
    ring[trace.HEADER_SIZE : trace.HEADER_SIZE + 5] = b"hello"
    number, name, contents = next_ring(tracer)
    assert (name, len(contents)) == ("pump", SIZE)
    assert contents[trace.HEADER_SIZE :][:5] == b"hello"
    assert int.from_bytes(contents[:4], "little") == trace.MAGIC
    assert next_ring(tracer, number)[0] == Status.NO_REPLY
    ring.close()
    os.close(fd)


def test_an_app_has_one_ring_however_often_it_asks(server, tracer):
    pump = server.traced("pump", weather="client")
    for _ in range(3):
        fd, ring = own_ring(pump)
        ring.close()
        os.close(fd)
    number, _name, _contents = next_ring(tracer)
    assert next_ring(tracer, number)[0] == Status.NO_REPLY


def test_the_trace_server_cannot_write_and_nobody_can_resize(server, tracer):
    pump = server.traced("pump", weather="client")
    fd, ring = own_ring(pump)
    reply = tracer.ask(Op.TRACE_NEXT)
    with pytest.raises(PermissionError):
        mmap.mmap(reply.descriptors[0], SIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 4096)
    close_all(reply)
    ring.close()
    os.close(fd)


def test_an_app_that_closes_its_ring_to_all_stops_nobody(server, tracer):
    """Where there is one uid for all, an app may change the mode of the memory that it was given."""
    pump = server.traced("pump", weather="client")
    fd, ring = own_ring(pump)
    os.fchmod(fd, 0)
    assert next_ring(tracer)[1] == "pump"
    ring.close()
    os.close(fd)


def test_the_last_records_of_an_app_that_ended_are_still_there(server, tracer):
    pump = server.traced("pump", weather="client")
    fd, ring = own_ring(pump)
    ring[trace.HEADER_SIZE : trace.HEADER_SIZE + 4] = b"last"
    ring.close()
    os.close(fd)
    pump.socket.close()
    server.wait_event("disconnected")
    _number, name, contents = next_ring(tracer)
    assert (name, contents[trace.HEADER_SIZE :][:4]) == ("pump", b"last")


def test_of_apps_that_ended_only_the_newest_rings_are_kept(server, tracer):
    for _ in range(ENDED_RINGS_MAX + 3):
        pump = server.traced("pump", weather="client")
        fd, ring = own_ring(pump)
        ring.close()
        os.close(fd)
        pump.socket.close()
        server.wait_event("disconnected")
    found, number = 0, 0
    while not isinstance(number := next_ring(tracer, number)[0], Status):
        found += 1
    assert found == ENDED_RINGS_MAX


def test_who_is_at_the_ends_of_a_mailbox_is_the_message_servers_word(server, tracer):
    station = server.traced("station", weather="server")
    sensor = server.traced("sensor", weather="client")
    assert station.ask(Op.BIND, 7, 99, 1, data=b"weather").status == Status.OK
    request = sensor.request("weather", 5)
    incoming = station.next_event()
    station.ask(Op.TOKEN_CREATE, 1, 1, 3)
    assert station.ask(Op.REPLY, incoming.words[1], 128, 0, 3).status == Status.OK
    result = sensor.request_result(request)
    close_all(result)
    mailbox = result.words[4]
    found = list(trace.peers(tracer.ask(Op.TRACE_PEERS, 0).data))
    assert found == [trace.Peer(mailbox, station.id, sensor.id, "weather")]
    assert tracer.ask(Op.TRACE_PEERS, mailbox).data == b""
