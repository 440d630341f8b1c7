"""The bus confines each device to its own subjects, and lets nobody in without a key that fits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
import nkeys
import paho.mqtt.client as paho
import pytest

from kos.abi import nkey
from kos.abi.errors import KosError
from kos.abi.session import UP_CONSOLE, UP_TELEMETRY, Console, down_subject, up_subject
from kos.server.core.bus.process import free_port
from kos.services.admin.identity import from_seed
from tests.server.devices import Park
from tests.server.running import Server, running, wait_for

pytestmark = pytest.mark.group("server")

SEED = b"a device of the bus' tests......"


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(work(), 120))


def test_a_free_port_is_given_to_nobody_else_until_it_is_used() -> None:
    ports = [free_port("127.0.0.1") for _ in range(200)]
    assert len(set(ports)) == len(ports)
    for _ in range(2000):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            assert other.getsockname()[1] not in ports
    socket.create_server(("127.0.0.1", ports[0])).close()
    with pytest.raises(KosError, match="cannot listen on"):
        free_port("192.0.2.1")


async def connect(server: Server, seed: bytes = SEED, **options: Any) -> nats.NATS:
    async def quiet(_error: Exception) -> None:
        return

    return await nats.connect(
        f"nats://127.0.0.1:{server.bus_port}",
        nkeys_seed_str=nkeys.encode_seed(seed, nkeys.PREFIX_BYTE_USER).decode(),
        allow_reconnect=False,
        max_reconnect_attempts=0,
        **{"error_cb": quiet, **options},
    )


def test_a_device_hears_and_says_only_its_own(studio: Server, devices: Park) -> None:
    (victim,) = devices.add(1, studio.bus_port, salt="victim")
    wait_for(victim.joined.is_set, "the victim joins")
    said = (
        up_subject(victim.id, UP_CONSOLE),
        down_subject(victim.id, "desired"),
        "kos.live.1.device",
        "$JS.API.STREAM.DELETE.KOS_UP",
        "$SYS.REQ.USER.AUTH",
    )
    heard = (down_subject(victim.id, ">"), up_subject(victim.id, ">"), "kos.>", "$SYS.>", ">")
    expected = [f'nats: permissions violation for publish to "{subject}"' for subject in said]
    expected += [f'nats: permissions violation for subscription to "{subject}"' for subject in heard]

    async def attack() -> list[str]:
        refusals: list[str] = []
        complete = asyncio.Event()

        async def note(error: Exception) -> None:
            refusals.append(str(error))
            if len(refusals) >= len(expected):
                complete.set()

        client = await connect(studio, error_cb=note)
        forged = Console("b", ((1.0, "sensor", "forged"),)).to_bytes()
        for subject in said:
            await client.publish(subject, forged)
        for subject in heard:
            await client.subscribe(subject)
        # The client's flush() sends its ping ahead of what waits in its queue: only the last refusal tells.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(complete.wait(), 60)
        await client.flush()
        await client.close()
        return refusals

    assert sorted(run(attack)) == sorted(refusal.lower() for refusal in expected)
    with studio.client() as client:
        log = client.get(f"/api/v1/devices/{victim.id}/log").json()
        assert not any(line["text"] == "forged" for line in log)
        assert client.get(f"/api/v1/devices/{victim.id}").json()["online"]


def test_no_key_no_entry(studio: Server) -> None:
    async def try_all() -> list[bool]:
        host, port = "127.0.0.1", studio.bus_port
        identity = from_seed(SEED)
        entered = []
        for options in (
            {},
            {"user": "admin", "pass": "admin"},
            {"nkey": nkey.encode(identity.public_key), "sig": "AAAA"},
            {"nkey": nkey.encode(identity.public_key)},
            {"nkey": studio.services.keys.public("server"), "sig": "AAAA"},
        ):
            reader, writer = await asyncio.open_connection(host, port)
            await reader.readline()
            writer.write(b"CONNECT " + json.dumps({"verbose": True, **options}).encode() + b"\r\nPING\r\n")
            entered.append(b"PONG" in await asyncio.wait_for(reader.read(), 60))  # to the end: it hangs up
            writer.close()
            await writer.wait_closed()
        return entered

    assert run(try_all) == [False] * 5


def test_wrong_documents_are_dropped_and_the_rest_goes_on(studio: Server) -> None:
    identity = from_seed(SEED)
    device = nkey.device_id(identity.public_key)

    async def send() -> None:
        client = await connect(studio)
        subject = up_subject(device, UP_TELEMETRY)
        good = {"v": 1, "sent": 1_700_000_000_000, "points": [["bus/ok", 1_700_000_000_000, 1.0]]}
        for document in (
            b"not json",
            b"\xff\xfe",
            b'{"v": 2}',
            b"[" * 5000,
            json.dumps({**good, "points": [["x", 1, float("inf")]]}).encode(),
            json.dumps({**good, "points": [["sp ace", 1, 1.0]]}).encode(),
            json.dumps({**good, "points": [["x", -1, 1.0]]}).encode(),
            json.dumps({**good, "points": [["x", 1, 1.0]] * 2001}).encode(),
            b'{"v": 1, "sent": 1, "points": [["x", 1, 1.0]]' + b" " * (256 * 1024) + b"}",
            json.dumps(good).encode(),
        ):
            await client.publish(subject, document)
        await client.flush()
        await client.close()

    run(send)
    with studio.client() as client:
        path = f"/api/v1/devices/{device}/series"
        wait_for(lambda: client.get(path).json() == ["bus/ok"], "only the good one is stored")


def test_an_mqtt_client_sends_data_for_its_device(tmp_path: Path, devices: Park) -> None:
    with running(tmp_path, auto_accept=True, mqtt_port=0) as server, server.client() as client:
        (device,) = devices.add(1, server.bus_port, salt="mqtt")
        wait_for(device.joined.is_set, "the device joins")
        process = server.services.process
        assert process is not None
        access = client.post(f"/api/v1/devices/{device.id}/mqtt").json()

        def publish(password: str, identity: str) -> bool:
            mqtt = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
            mqtt.username_pw_set(access["user"], password)
            entered: list[bool] = []
            mqtt.on_connect = lambda _client, _data, _flags, reason, _properties: entered.append(
                not reason.is_failure
            )
            mqtt.connect("127.0.0.1", process.node.mqtt_port)
            mqtt.loop_start()
            wait_for(lambda: entered, "the server answers")
            if entered[0]:
                at = 1_700_000_000_000
                document = {"v": 1, "sent": at, "points": [[f"mqtt/{identity[:4]}", at, 1.0]]}
                sent = mqtt.publish(f"kos/d/{identity}/up/telemetry", json.dumps(document), qos=1)
                sent.wait_for_publish(60)
            mqtt.disconnect()
            mqtt.loop_stop()
            return entered[0]

        assert not publish("wrong", device.id)
        assert publish(access["password"], "ab" * 16), (
            "another device's subject: said to be sent, and dropped"
        )
        assert publish(access["password"], device.id)
        path = f"/api/v1/devices/{device.id}/series"
        wait_for(lambda: f"mqtt/{device.id[:4]}" in client.get(path).json(), "the point is stored")
        assert client.get("/api/v1/devices", params={"query": "id:abab"}).json()["total"] == 0
