"""A device's trace as it comes: the device records for a page as long as that page is open, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

from fastapi import APIRouter, Request

from kos.abi.errors import KosError
from kos.abi.session import METHOD_TRACE_START, STREAM_TRACE, UP_STREAM, load, up_subject
from kos.abi.trace_frame import parse
from kos.server.api.common import ERRORS, CanOperateDevices, DeviceId, Own
from kos.server.api.devices import ask
from kos.server.api.live import EVENT_STREAM, KEEP_ALIVE, EventStream, event
from kos.server.core.db import away
from kos.tracing import Timeline

router = APIRouter(prefix="/api/v1", tags=["live"], responses=ERRORS)

LEASE = 15.0  # seconds that a device goes on when it hears no more of us
RENEW = 5.0
UNFINISHED_MAX = 32  # calls without an answer, and sleeps, of each app that a page is told of
UNFINISHED_EVERY = 0.5  # seconds


@router.get("/devices/{device_id}/trace", response_class=EventStream, responses=EVENT_STREAM)
async def trace(request: Request, own: Own, principal: CanOperateDevices, device_id: DeviceId) -> EventStream:
    """Events `trace`: new events of the time line in Chrome's trace-event format, twice a second all that has
    begun and not ended, and counts of lost records.

    The system must trace. Recording what apps say to each other is an act upon the device: it is audited.
    """
    begin = {"seconds": LEASE, "anew": True}
    await ask(own, principal, device_id, METHOD_TRACE_START, begin)

    async def stream() -> AsyncIterator[str]:
        timeline = Timeline()
        async with own.live.listen(up_subject(device_id, f"{UP_STREAM}.{STREAM_TRACE}")) as queue:
            # Once more, now that what it sends is heard: the first frames tell all that is so.
            await own.bus.request(device_id, METHOD_TRACE_START, begin)
            renew_at = monotonic() + RENEW
            quiet_until, unfinished_at = monotonic() + KEEP_ALIVE, 0.0
            yield event("hello", {})
            while not await request.is_disconnected():
                if monotonic() >= renew_at:
                    renew_at = monotonic() + RENEW
                    try:
                        await ask(
                            own, principal, device_id, METHOD_TRACE_START, {"seconds": LEASE}, record=False
                        )
                    except KosError as error:
                        yield event("stopped", {"detail": error.message, "hint": error.hint})
                        return
                    except away.ERRORS as error:
                        # Who might a moment ago may still: no right is taken away while the database is.
                        if not away.is_away(error):
                            raise
                        await own.bus.request(device_id, METHOD_TRACE_START, {"seconds": LEASE})
                if monotonic() >= quiet_until:
                    quiet_until = monotonic() + KEEP_ALIVE
                    yield ": still here\n\n"
                try:
                    message = await asyncio.wait_for(queue.get(), max(0.01, renew_at - monotonic()))
                    frame = parse(load("trace", message.data).data.get("frame"))
                except (TimeoutError, KosError):
                    continue  # nothing now, or nothing that a device of ours would send
                events = timeline.feed(frame)
                told = {"events": events, "lost": timeline.lost, "invalid": timeline.invalid}
                if monotonic() >= unfinished_at:
                    unfinished_at = monotonic() + UNFINISHED_EVERY
                    told["unfinished"] = timeline.unfinished(UNFINISHED_MAX)
                yield event("trace", told)

    return EventStream(stream())
