"""Streams to open pages: notices that something changed, and a device's console as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import select

from kos.abi.errors import KosError
from kos.abi.session import UP_CONSOLE, Console, up_subject
from kos.server.api.common import ERRORS, CanReadData, CanReadDevices, DeviceId, Limit, Own, device_of
from kos.server.core.db.models import LogLine
from kos.server.core.live import ROOT

router = APIRouter(prefix="/api/v1", tags=["live"], responses=ERRORS)

KEEP_ALIVE = 15.0  # seconds between two signs of life, so that proxies keep the stream open
EVENT_STREAM = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[str], status_code: int = 200) -> None:
        super().__init__(
            content, status_code, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )


def event(kind: str, data: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


@router.get("/live", response_class=EventStream, responses=EVENT_STREAM)
async def live(request: Request, own: Own, principal: CanReadDevices) -> EventStream:
    """Notices `device` and `rollout`: what to ask for anew."""

    async def stream() -> AsyncIterator[str]:
        async with own.live.listen(f"{ROOT}.{principal.organisation_id}.>") as queue:
            yield event("hello", {})
            while not await request.is_disconnected():
                try:
                    message = await asyncio.wait_for(queue.get(), KEEP_ALIVE)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                notice = json.loads(message.data)
                if principal.device_query:
                    notice.pop("device", None)  # may be one that this principal does not see
                yield event(notice["topic"], notice)

    return EventStream(stream())


def _lines(rows: Any) -> list[list[Any]]:
    return [[row.seconds, row.app, row.text, row.at] for row in rows]


@router.get("/devices/{device_id}/console", response_class=EventStream, responses=EVENT_STREAM)
async def console(
    request: Request, own: Own, principal: CanReadData, device_id: DeviceId, backlog: Limit = 200
) -> EventStream:
    """The last lines, then each line as the device sends it: events `lines` of [seconds, app, text, time]."""

    def last_lines() -> list[list[Any]]:
        with own.database.read() as session:
            device_of(session, principal, device_id)
            chosen = select(LogLine).where(LogLine.device_id == device_id)
            rows = session.scalars(chosen.order_by(LogLine.id.desc()).limit(backlog)).all()
            return _lines(reversed(rows))

    before = await asyncio.to_thread(last_lines)

    async def stream() -> AsyncIterator[str]:
        async with own.live.listen(up_subject(device_id, UP_CONSOLE)) as queue:
            yield event("lines", before)
            while not await request.is_disconnected():
                try:
                    message = await asyncio.wait_for(queue.get(), KEEP_ALIVE)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                try:
                    document = Console.parse(message.data)
                except KosError:
                    continue  # ingest has written it to the log
                yield event("lines", [[*line, None] for line in document.lines])

    return EventStream(stream())


@router.get("/devices/{device_id}/log")
def search_log(
    own: Own,
    principal: CanReadData,
    device_id: DeviceId,
    app: Annotated[str, Query(max_length=64)] = "",
    text: Annotated[str, Query(max_length=256)] = "",
    before: Annotated[int, Query(ge=0, le=1 << 53)] = 0,
    limit: Limit = 200,
) -> list[dict[str, Any]]:
    """Stored console lines, newest first; `before` is the id to go on from."""
    with own.database.read() as session:
        device_of(session, principal, device_id)
        chosen = select(LogLine).where(LogLine.device_id == device_id)
        if app:
            chosen = chosen.where(LogLine.app == app)
        if text:
            chosen = chosen.where(LogLine.text.contains(text, autoescape=True))
        if before:
            chosen = chosen.where(LogLine.id < before)
        return [
            {
                "id": row.id,
                "at": row.at,
                "boot": row.boot,
                "seconds": row.seconds,
                "app": row.app,
                "text": row.text,
            }
            for row in session.scalars(chosen.order_by(LogLine.id.desc()).limit(limit))
        ]
