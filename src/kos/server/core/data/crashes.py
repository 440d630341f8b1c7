"""Crashes that a device tells again: whenever its admin app starts, it sends the records that it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kos.server.core.db.models import DeviceEvent

CRASHED = "crashed"
LOOKED_AT = 256  # of a device's newest crashes; it keeps 64


def unknown(session: Session, events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events without the crashes that are stored, or among them, already."""
    stored: dict[str, set[tuple[Any, ...]]] = {}
    found = []
    for event in events:
        if event["kind"] == CRASHED and "number" in event["detail"]:
            device = event["device_id"]
            if device not in stored:
                stored[device] = _stored(session, device)
            mark = _mark(event["app"], event["detail"])
            if mark in stored[device]:
                continue
            stored[device].add(mark)
        found.append(event)
    return found


def _stored(session: Session, device: str) -> set[tuple[Any, ...]]:
    chosen = select(DeviceEvent.app, DeviceEvent.detail).where(
        DeviceEvent.device_id == device, DeviceEvent.kind == CRASHED
    )
    rows = session.execute(chosen.order_by(DeviceEvent.id.desc()).limit(LOOKED_AT))
    return {_mark(app, detail) for app, detail in rows}


def _mark(app: str, detail: dict[str, Any]) -> tuple[Any, ...]:
    """What no two crashes have in common; a number begins anew where a device was emptied."""
    return app, str(detail.get("number")), str(detail.get("time"))
