"""Looking into a running app of a device: which are open, and a WebSocket that carries a shell, a debugger
or a guest's console.

Binary messages are the stream's bytes. Text messages are JSON: from us `{"open": {…}}` once, `{"more": N}`
when the app takes N more bytes, `{"closed": reason, "hint": …}` before the end; from the reader `{"more":
N}` once it has taken what came.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

from kos.abi.debug import PIECE_MAX
from kos.abi.errors import KosError
from kos.abi.session import METHOD_STREAM_LIST, NAME_MAX
from kos.abi.stream import CONSOLE, GDB, KINDS, SHELL, WINDOW, Data, End, More
from kos.server.api.common import ERRORS, CanReadDevices, DeviceId, Own
from kos.server.api.devices import accepted, ask
from kos.server.core.auth import audit
from kos.server.core.auth.guard import identify_socket, services
from kos.server.core.auth.permissions import Principal
from kos.server.core.db import away
from kos.server.core.devices.streams import DeviceStream, open_stream
from kos.server.core.problems import Conflict, DatabaseAway, Forbidden, Unauthorized
from kos.server.core.services import Services

log = logging.getLogger(__name__)
router = APIRouter(prefix="/api/v1", tags=["streams"], responses=ERRORS)

CHECK_EVERY = 10.0  # seconds between two looks at whether the reader still may
REFUSED = 1008  # of RFC 6455: a policy was violated
NEEDS = {SHELL: "devices.debug", GDB: "devices.debug", CONSOLE: "devices.operate"}


class OpenApp(BaseModel):
    """An app that the manifest opens to people.

    Attributes:
        kind: shell, gdb or console.
        running: whether there is something to look into.
        who: looks into it now.
        allowed: whether the asker's role may open it.
    """

    kind: str
    running: bool
    who: str | None
    allowed: bool


@router.get("/devices/{device_id}/streams")
async def open_apps(own: Own, principal: CanReadDevices, device_id: DeviceId) -> dict[str, OpenApp]:
    """The apps that the device's manifest opens to a shell, a debugger or a guest's console."""
    found = (await ask(own, principal, device_id, METHOD_STREAM_LIST, {}, record=False)).get("apps")
    if not isinstance(found, dict):
        raise KosError("the device did not say which apps are open")
    return {
        str(name): OpenApp(
            kind=one["kind"],
            running=bool(one.get("running")),
            who=None if one.get("who") is None else str(one["who"]),
            allowed=principal.may(NEEDS[one["kind"]]),
        )
        for name, one in found.items()
        if isinstance(one, dict) and one.get("kind") in KINDS
    }


@router.websocket("/devices/{device_id}/streams/{kind}/{app}")
async def stream(
    socket: WebSocket,
    device_id: DeviceId,
    kind: str,
    app: Annotated[str, Path(max_length=NAME_MAX)],
) -> None:
    """One stream, as long as the socket is open."""
    own = services(socket)
    try:
        principal = await asyncio.to_thread(_admit, socket, kind)
    except (Unauthorized, Forbidden):
        await socket.close(REFUSED)  # before it is accepted: the handshake is answered with 403
        return
    except away.ERRORS as error:
        await _say_away(socket, error)
        return
    await socket.accept()
    try:
        await asyncio.to_thread(_may_begin, own, principal, device_id, kind, app)
        who = f"{principal.name} ({own.settings.product})"
        async with open_stream(own.bus, device_id, app, kind, who) as open_one:
            began = time.monotonic()
            reason = "the server ended"
            try:
                await socket.send_json({"open": {"app": app, "kind": kind, "window": WINDOW}})
                reason = await _carry(socket, open_one, kind)
            finally:
                seconds = round(time.monotonic() - began, 1)
                detail = {"app": app, "kind": kind, "reason": reason, "seconds": seconds}
                detail |= {"received": open_one.received, "sent": open_one.sent}
                await asyncio.shield(asyncio.to_thread(_note_close, own, principal, device_id, detail))
        await _say_closed(socket, reason, None)
    except KosError as error:
        await _say_closed(socket, error.message, error.hint)
    except away.ERRORS as error:
        await _say_away(socket, error)


def _admit(socket: WebSocket, kind: str) -> Principal:
    """Who asks. Raises Unauthorized or Forbidden."""
    principal = identify_socket(socket)
    needed = NEEDS.get(kind, "devices.debug")
    if not principal.may(needed):
        raise Forbidden(f"your role {principal.role} may not do this", hint=f"needs {needed}")
    return principal


def _may_begin(own: Services, principal: Principal, device_id: str, kind: str, app: str) -> None:
    with own.database.write() as session:
        device = accepted(session, principal, device_id)
        if not device.online:
            raise Conflict("the device is offline")
        audit.record(session, principal, "device.stream.open", device_id, app=app, kind=kind)


def _note_close(own: Services, principal: Principal, device_id: str, detail: dict[str, Any]) -> None:
    try:
        with own.database.write() as session:
            audit.record(session, principal, "device.stream.close", device_id, **detail)
    except away.ERRORS as error:
        # The audit log has its beginning; the end is here.
        log.error("%s: stream of %s closed: %s: %s", device_id, principal.name, detail, away.reason(error))


async def _carry(socket: WebSocket, one: DeviceStream, kind: str) -> str:
    """Pass everything on until one side ends it; → why."""
    tasks = [
        asyncio.create_task(coroutine)
        for coroutine in (_from_reader(socket, one), _from_device(socket, one), _still_allowed(socket, kind))
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _from_reader(socket: WebSocket, one: DeviceStream) -> str:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return "the reader left"
        data = message.get("bytes")
        try:
            if data is not None:
                for start in range(0, len(data), PIECE_MAX):
                    await one.send(data[start : start + PIECE_MAX])
            else:
                await one.more(_granted(message.get("text") or ""))
        except KosError as error:
            return f"the reader: {error.message}"


def _granted(text: str) -> int:
    try:
        count = json.loads(text)["more"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise KosError('expected {"more": N}') from error
    if type(count) is not int or not 0 <= count <= WINDOW:
        raise KosError(f"expected a whole number to {WINDOW}")
    return count


async def _from_device(socket: WebSocket, one: DeviceStream) -> str:
    while True:
        match await one.receive():
            case Data(data):
                await socket.send_bytes(data)
            case More(count) if count:
                await socket.send_json({"more": count})
            case End(reason):
                return reason


async def _still_allowed(socket: WebSocket, kind: str) -> str:
    """A token that was revoked, a role that was taken away, a log-out: they end what is open."""
    while True:
        await asyncio.sleep(CHECK_EVERY)
        try:
            await asyncio.to_thread(_admit, socket, kind)
        except KosError as error:
            return error.message
        except away.ERRORS as error:
            # Nobody can take the right away while the database is: what is open stays.
            if not away.is_away(error):
                raise


async def _say_away(socket: WebSocket, error: Exception) -> None:
    if not away.is_away(error):
        raise error
    told = DatabaseAway()
    with contextlib.suppress(RuntimeError):  # it is accepted already
        await socket.accept()
    await _say_closed(socket, told.message, told.hint)


async def _say_closed(socket: WebSocket, reason: str, hint: str | None) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it may have gone already
        await socket.send_json({"closed": reason, "hint": hint})
        await socket.close()
