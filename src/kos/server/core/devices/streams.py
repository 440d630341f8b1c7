"""The server's end of a stream of a device: opened by a request, then frames both ways over the bus.

What a device sends is bounded by what was granted to it; a device that sends more is a broken one, and its
stream ends. Who may open a stream is the API's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

from nats.aio.msg import Msg

from kos.abi.errors import KosError
from kos.abi.session import DOWN_STREAM, METHOD_STREAM_OPEN, UP_STREAM, down_subject, up_subject
from kos.abi.stream import KEEP_ALIVE, WINDOW, Data, End, Frame, More, parse
from kos.server.core.bus.client import Bus

FRAMES_MAX = 1024  # that may wait; a device that fills this with grants and crumbs is not one of ours


class DeviceStream:
    """One open stream.

    Attributes:
        received: bytes that the device has sent.
        sent: bytes that were sent to it.
    """

    def __init__(self, bus: Bus, device: str, identity: str) -> None:
        self.received = self.sent = 0
        self._bus = bus
        self._subject = down_subject(device, f"{DOWN_STREAM}.{identity}")
        self._frames: asyncio.Queue[Frame] = asyncio.Queue(FRAMES_MAX)
        self._granted = WINDOW  # bytes that the device may send
        self._allowed = WINDOW  # bytes that we may send

    async def send(self, data: bytes) -> None:
        """Bytes for the app. Raises KosError when they are more than it has said that it takes."""
        if len(data) > self._allowed:
            raise KosError(f"more than the {WINDOW} bytes that may be on the way")
        self._allowed -= len(data)
        self.sent += len(data)
        await self._publish(Data(data))

    async def more(self, count: int) -> None:
        """The reader takes so much more."""
        self._granted = min(WINDOW, self._granted + count)
        await self._publish(More(count))

    async def receive(self) -> Frame:
        """The next frame: bytes, a grant, or the end."""
        frame = await self._frames.get()
        match frame:
            case Data(data):
                if len(data) > self._granted:
                    return End("the device sent more than it may")
                self._granted -= len(data)
                self.received += len(data)
            case More(count):
                self._allowed = min(WINDOW, self._allowed + count)
        return frame

    async def close(self, reason: str) -> None:
        await self._publish(End(reason))

    async def take(self, message: Msg) -> None:
        """A frame as it comes from the bus."""
        try:
            frame = parse(message.data)
        except KosError as error:
            frame = End(error.message)
        if self._frames.full():
            self._frames.get_nowait()
            frame = End("the device sends faster than it may")
        self._frames.put_nowait(frame)

    async def keep_alive(self) -> None:
        """Tell the device that somebody is there, until cancelled."""
        while True:
            await asyncio.sleep(KEEP_ALIVE)
            await self._publish(More(0))

    async def _publish(self, frame: Frame) -> None:
        await self._bus.client.publish(self._subject, frame.to_bytes())


@contextlib.asynccontextmanager
async def open_stream(bus: Bus, device: str, app: str, kind: str, who: str) -> AsyncIterator[DeviceStream]:
    """A stream of a device, closed with the context.

    Raises:
        KosError: the device refused it, with its own words and hint, or does not answer.
    """
    identity = secrets.token_hex(8)
    stream = DeviceStream(bus, device, identity)
    # Frames may overtake the answer: listen first, and be sure that the bus knows.
    subscription = await bus.client.subscribe(up_subject(device, f"{UP_STREAM}.{identity}"), cb=stream.take)
    await bus.client.flush()
    try:
        wanted = {"id": identity, "app": app, "kind": kind, "who": who}
        await bus.request(device, METHOD_STREAM_OPEN, wanted)
        alive = asyncio.create_task(stream.keep_alive())
        try:
            yield stream
        finally:
            alive.cancel()
            with contextlib.suppress(Exception):
                await stream.close("the reader left")
    finally:
        with contextlib.suppress(Exception):
            await subscription.unsubscribe()
