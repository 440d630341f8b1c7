"""The live side of device sessions: log-ins and hellos. Stored documents are the business of `core.data`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from nats.aio.msg import Msg
from sqlalchemy import select, update

from kos.abi.errors import KosError
from kos.abi.session import DOWN_DESIRED, HELLO_TIMEOUT, ROOT, UP_HELLO, Hello, down_subject
from kos.server.core.batch import Batcher
from kos.server.core.bus.client import Bus
from kos.server.core.bus.config import CALLOUT_TIMEOUT
from kos.server.core.db import away
from kos.server.core.db.database import Database
from kos.server.core.db.models import Device, now
from kos.server.core.devices.desired import DownloadTokens, desired_document
from kos.server.core.devices.login import LoginDesk
from kos.server.core.live import Live
from kos.server.settings import Settings

log = logging.getLogger(__name__)

AWAY_AGAIN = 0.5  # seconds between two tries while the database is away
QUEUE = "servers"  # each question goes to one server process
CALLOUT = "$SYS.REQ.USER.AUTH"


class Sessions:
    """Answers devices; runs in every server process."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        bus: Bus,
        desk: LoginDesk,
        tokens: DownloadTokens,
        live: Live,
    ) -> None:
        self.settings = settings
        self.database = database
        self.bus = bus
        self.tokens = tokens
        self.live = live
        self._logins: Batcher[bytes, bytes] = Batcher(desk.decide, life=CALLOUT_TIMEOUT)
        self._hellos: Batcher[tuple[str, Hello], tuple[int, bytes] | None] = Batcher(
            self._welcome, life=HELLO_TIMEOUT
        )

    async def start(self) -> None:
        self._logins.start()
        self._hellos.start()
        await self.bus.client.subscribe(CALLOUT, queue=QUEUE, cb=self._spawned(self._on_login))
        await self.bus.client.subscribe(
            f"{ROOT}.*.up.{UP_HELLO}", queue=QUEUE, cb=self._spawned(self._on_hello)
        )

    async def stop(self) -> None:
        await self._logins.stop()
        await self._hellos.stop()

    def _spawned(self, handler):  # type: ignore[no-untyped-def]
        """nats-py hands out one message at a time; batches need many under way."""
        running: set[asyncio.Task[None]] = set()

        async def spawn(message: Msg) -> None:
            task = asyncio.create_task(handler(message))
            running.add(task)
            task.add_done_callback(running.discard)

        return spawn

    async def _on_login(self, message: Msg) -> None:
        try:
            async with asyncio.timeout(CALLOUT_TIMEOUT):
                answer = await self._answer(message.data)
        except TimeoutError:
            return  # the bus has turned the client away; it comes again
        except (KosError, asyncio.QueueFull, OSError) as error:
            log.warning("log-in not answered: %s", error)
            return
        if answer:
            await message.respond(answer)

    async def _answer(self, question: bytes) -> bytes:
        """The answer to a log-in; while the database is away the client waits, and is not turned away."""
        while True:
            try:
                return await self._logins.submit(question)
            except away.ERRORS as error:
                if not away.is_away(error):
                    raise
                await asyncio.sleep(AWAY_AGAIN)

    async def _on_hello(self, message: Msg) -> None:
        device = message.subject.split(".")[2]
        try:
            result = await self._hellos.submit((device, Hello.parse(message.data)))
        except TimeoutError:
            return
        except (KosError, asyncio.QueueFull) as error:
            log.warning("hello of %s: %s", device, error)
            return
        except away.ERRORS as error:
            if not away.is_away(error):
                raise
            return  # its session stays as it is, and it says hello again
        if result is None:
            return
        organisation, document = result
        # The subject of the answer is the device's own wish: it must stay below its own tree.
        if message.reply.startswith(down_subject(device, "")):
            await self.bus.client.publish(message.reply, document)
        await self.live.tell(organisation, "device", device=device)

    def _welcome(self, hellos: Sequence[tuple[str, Hello]]) -> list[tuple[int, bytes] | None]:
        results: list[tuple[int, bytes] | None] = []
        with self.database.write() as session:
            wanted = {device for device, _ in hellos}
            rows = {row.id: row for row in session.scalars(select(Device).where(Device.id.in_(wanted)))}
            for identity, hello in hellos:
                device = rows.get(identity)
                if device is None:
                    results.append(None)
                    continue
                device.online, device.last_seen_at = True, now()
                if self.settings.studio:
                    _forget_last_run(device, hello)
                device.platform, device.system, device.agent = hello.platform, hello.system, hello.agent
                if hello.name and device.name == device.id[:8]:
                    device.name = hello.name
                document = desired_document(session, device, self.settings, self.tokens)
                results.append((device.organisation_id, document.to_bytes()))
        return results

    async def push_desired(self, device_ids: Sequence[str]) -> None:
        """Send the desired document to devices that are connected; the others ask when they come back."""
        for chunk in range(0, len(device_ids), 500):
            documents = await asyncio.to_thread(self._documents, device_ids[chunk : chunk + 500])
            for device, document in documents:
                await self.bus.client.publish(down_subject(device, DOWN_DESIRED), document)

    def _documents(self, device_ids: Sequence[str]) -> list[tuple[str, bytes]]:
        with self.database.read() as session:
            rows = session.scalars(select(Device).where(Device.id.in_(device_ids)))
            return [
                (row.id, desired_document(session, row, self.settings, self.tokens).to_bytes())
                for row in rows
            ]

    def mark_offline(self, device_ids: Sequence[str]) -> None:
        with self.database.write() as session:
            session.execute(update(Device).where(Device.id.in_(device_ids)).values(online=False))


def _forget_last_run(device: Device, hello: Hello) -> None:
    """A run on the developer's machine keeps nothing: it begins with what was just built, not with what an
    earlier run was upgraded to.
    """
    fresh = device.boot and hello.boot != device.boot
    if fresh and hello.platform.partition(",")[0] == "host" and (device.release_id or device.overlay_id):
        device.release_id = device.overlay_id = None
        device.desired_version += 1
