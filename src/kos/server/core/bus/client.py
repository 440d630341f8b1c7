"""Our side of the bus: connection, streams, requests to devices, turning a device's connection off.

Knows subjects and bytes; what the documents mean is `kos.server.core.devices`' business.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import DiscardPolicy, RePublish, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from kos.abi.errors import KosError
from kos.abi.session import (
    DOWN_REQUEST,
    ROOT,
    STORED_KINDS,
    UP_DATA,
    UP_REPLY,
    Reply,
    Request,
    down_subject,
    up_subject,
)
from kos.server.core.bus.keys import BusKeys

log = logging.getLogger(__name__)

STREAM = "KOS_UP"
STREAM_BYTES = 2 << 30  # when it is full, devices keep their data: nothing acknowledged is thrown away
DATA_STREAM = "KOS_DATA"  # what apps sent, each record once
DATA_BYTES = 1 << 30  # then the oldest goes; the database has its numbers
CLEAN_ROOT = "kos.clean"  # of its subjects, which nobody else may publish to
DATA_ROOT = "kos.data"  # where readers find the same
CONNECT_TIMEOUT = 20.0
REQUEST_TIMEOUT = 10.0
SETTLE_TIMEOUT = 10.0
KICK_AGAIN = 2.0  # seconds: a log-in that was decided just before a revocation shows up by then

Handler = Callable[[Msg], Awaitable[None]]


@dataclass(frozen=True)
class StreamFacts:
    """Which stream it is, by when it was made, and the sequence of its last message, gone or not."""

    made: str
    last: int


class Bus:
    """Connected to the bus as the server's own user."""

    def __init__(self, urls: list[str], keys: BusKeys, replicas: int = 1) -> None:
        self.urls = urls
        self.keys = keys
        self.replicas = replicas
        self.process_id = secrets.token_hex(6)
        self.client: Client = Client()
        self.system: Client = Client()
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def connect(self) -> None:
        """Connect both users."""
        self._loop = asyncio.get_running_loop()
        self.client = await self._connect(self.keys.server)
        self.system = await self._connect(self.keys.system)
        await self.client.subscribe(f"{ROOT}.*.up.{UP_REPLY}.{self.process_id}.*", cb=self._on_reply)

    async def _connect(self, seed: str) -> Client:
        deadline = asyncio.get_running_loop().time() + CONNECT_TIMEOUT
        while True:
            connecting = nats.connect(
                servers=self.urls,
                nkeys_seed_str=seed,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,
                connect_timeout=5,
                pending_size=64 << 20,
                error_cb=_on_error,
            )
            try:
                client = await asyncio.wait_for(connecting, deadline - asyncio.get_running_loop().time())
            except (TimeoutError, ValueError, OSError, nats.errors.Error) as error:
                raise KosError(
                    f"no connection to the bus: {str(error) or 'nobody answers'}",
                    where=", ".join(self.urls),
                    hint="does it run, and is its address nats://HOST:PORT?",
                ) from error
            # nats-py can come back "connected" when the log-in timed out.
            if client.is_connected:
                return client
            await client.close()
            if asyncio.get_running_loop().time() > deadline:
                raise KosError("no connection to the bus", where=", ".join(self.urls))

    async def ensure_streams(self) -> None:
        """The stream that keeps what devices send until it is in the database, and the one for readers."""
        kinds = (*STORED_KINDS, f"{UP_DATA}.>")
        await self._ensure(
            StreamConfig(
                name=STREAM,
                subjects=[f"{ROOT}.*.up.{kind}" for kind in kinds],
                storage=StorageType.FILE,
                discard=DiscardPolicy.NEW,
                max_bytes=STREAM_BYTES,
                num_replicas=self.replicas,
            )
        )
        await self._ensure(
            StreamConfig(
                name=DATA_STREAM,
                subjects=[f"{CLEAN_ROOT}.>"],
                storage=StorageType.FILE,
                discard=DiscardPolicy.OLD,
                max_bytes=DATA_BYTES,
                num_replicas=self.replicas,
                republish=RePublish(src=f"{CLEAN_ROOT}.>", dest=f"{DATA_ROOT}.>"),
            )
        )

    async def _ensure(self, config: StreamConfig) -> None:
        assert config.name is not None
        stream = self.client.jetstream()
        deadline = asyncio.get_running_loop().time() + CONNECT_TIMEOUT
        while True:
            try:
                try:
                    await stream.stream_info(config.name)
                    await stream.update_stream(config)
                except NotFoundError:
                    await stream.add_stream(config)
                return
            except (nats.errors.TimeoutError, nats.errors.NoRespondersError, nats.js.errors.APIError):
                # A cluster without a leader yet answers so for a moment.
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.2)

    async def stream_facts(self, name: str) -> StreamFacts:
        """Raises what the bus' client raises: NotFoundError where there is none."""
        info = await self.client.jetstream(timeout=CONNECT_TIMEOUT).stream_info(name)
        return StreamFacts(info.created.isoformat() if info.created else "", info.state.last_seq)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in (self.client, self.system):
            if client.is_connected or client.is_reconnecting:
                await client.close()

    async def settle(self) -> None:
        """Return once the bus has taken all that this client said before: subscriptions above all.

        The library's `flush` does not say that: it sends its ping ahead of what waits in its queue.
        """
        inbox = self.client.new_inbox()
        echo = await self.client.subscribe(inbox)
        await self.client.publish(inbox, b"")
        try:
            await echo.next_msg(timeout=SETTLE_TIMEOUT)
        finally:
            await echo.unsubscribe()

    # --- devices ------------------------------------------------------------------------------------------
    async def request(
        self, device: str, method: str, params: dict[str, Any], timeout: float = REQUEST_TIMEOUT
    ) -> dict[str, Any]:
        """Ask a device and wait for its answer. Raises KosError when it is silent or says no."""
        number = secrets.token_hex(8)
        reply = up_subject(device, f"{UP_REPLY}.{self.process_id}.{number}")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = future
        try:
            message = Request(number, reply, method, params)
            await self.client.publish(down_subject(device, DOWN_REQUEST), message.to_bytes())
            answer = await asyncio.wait_for(future, timeout)
        except TimeoutError as error:
            raise KosError(
                f"the device did not answer within {timeout:g} s", hint="is it online? See its last report"
            ) from error
        finally:
            self._waiting.pop(reply, None)
        if not answer.ok:
            raise KosError(answer.error or "the device refused", hint=answer.hint or None)
        return answer.result

    async def _on_reply(self, message: Msg) -> None:
        # A device publishes below its own id only, so nobody answers for another.
        future = self._waiting.get(message.subject)
        if future is None or future.done():
            return
        try:
            future.set_result(Reply.parse(message.data))
        except KosError as error:
            future.set_exception(error)

    def disconnect_device(self, device: str) -> None:
        """End every connection of that name, now and once more shortly after. Returns at once; any thread."""

        def begin() -> None:
            task = asyncio.get_running_loop().create_task(self._disconnect(device))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        if self._loop is not None:
            self._loop.call_soon_threadsafe(begin)

    async def _disconnect(self, device: str) -> None:
        try:
            await self.kick(device)
            await asyncio.sleep(KICK_AGAIN)
            await self.kick(device)
        except nats.errors.Error as error:
            # A connection that stays is still judged by its device's row in all that it sends.
            log.error("device %s could not be disconnected: %s", device, str(error) or type(error).__name__)

    async def kick(self, device: str) -> int:
        """End the connections that logged in under this device's name; says how many."""
        count = 0
        for server, connection in await self._connections(device):
            await self.system.request(
                f"$SYS.REQ.SERVER.{server}.KICK", json.dumps({"cid": connection}).encode(), timeout=5
            )
            count += 1
        return count

    async def _connections(self, device: str) -> list[tuple[str, int]]:
        inbox = self.system.new_inbox()
        answers = await self.system.subscribe(inbox)
        question = {"auth": True, "acc": "KOS", "user": device, "limit": 1024}
        found: list[tuple[str, int]] = []
        try:
            await self.system.publish(
                "$SYS.REQ.SERVER.PING.CONNZ", json.dumps(question).encode(), reply=inbox
            )
            # Each server of a cluster answers for itself; how many there are nobody says.
            while True:
                message = await answers.next_msg(timeout=0.5)
                answer = json.loads(message.data)
                server = answer["server"]["id"]
                for one in answer.get("data", {}).get("connections", []):
                    found.append((server, one["cid"]))
        except nats.errors.TimeoutError:
            pass
        finally:
            await answers.unsubscribe()
        return found


async def _on_error(error: Exception) -> None:
    log.warning("bus: %s", str(error) or type(error).__name__)
