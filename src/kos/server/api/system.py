"""The server itself: alive, ready, metrics, what it is."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from sqlalchemy import func, select, text

from kos.abi.version import VERSION
from kos.server.api.common import ERRORS, Own
from kos.server.core.auth.guard import identify
from kos.server.core.db.models import Device
from kos.server.core.problems import Unavailable

router = APIRouter(tags=["system"], responses=ERRORS)

PROBE_TIMEOUT = 5.0  # seconds


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(own: Own) -> dict[str, str]:
    """Database and bus answer too, each within five seconds."""

    def ask_database() -> None:
        with own.database.read() as session:
            session.execute(text("SELECT 1"))

    async def ask_bus() -> None:
        if not own.bus.client.is_connected:
            raise ConnectionError
        await own.bus.settle()  # a connection says nothing: a bus that stands still keeps it open

    # Both at once: who asks waits for the slower one only.
    probes = {"database": asyncio.to_thread(ask_database), "bus": ask_bus()}
    answers = await asyncio.gather(
        *(asyncio.wait_for(probe, PROBE_TIMEOUT) for probe in probes.values()), return_exceptions=True
    )
    for name, answer in zip(probes, answers, strict=True):
        if isinstance(answer, BaseException):
            raise Unavailable(f"the {name} does not answer") from answer
    return {"status": "ready"}


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(own: Own) -> str:
    """Counters in Prometheus' text form: numbers of the whole installation, no names."""
    with own.database.read() as session:
        chosen = select(Device.status, Device.online, func.count()).group_by(Device.status, Device.online)
        devices = session.execute(chosen).all()
    lines = ["# TYPE kos_devices gauge"]
    for status, online, number in devices:
        lines.append(f'kos_devices{{status="{status}",online="{str(online).lower()}"}} {number}')
    for name, kind, value in (
        ("kos_ingest_documents_total", "counter", own.ingest.stored),
        ("kos_ingest_refused_total", "counter", own.ingest.refused),
        ("kos_worker_active", "gauge", int(own.worker.active)),
    ):
        lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
    return "\n".join(lines) + "\n"


@router.get("/api/v1/whoami")
def whoami(request: Request, own: Own) -> dict[str, object]:
    """Who the caller is, what it may do, and what this server is."""
    principal = identify(request)
    return {
        "name": principal.name,
        "role": principal.role,
        "organisation_id": principal.organisation_id,
        "permissions": sorted(principal.permissions),
        "server": {"product": own.settings.product, "version": VERSION},
    }
