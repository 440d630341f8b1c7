"""Everything that a request or a background job needs, made once at start and passed by reference."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from kos.abi.errors import KosError
from kos.abi.session import BUS_PORT
from kos.server.core.artifacts.store import BlobStore
from kos.server.core.auth.first import make_first_admin
from kos.server.core.auth.limits import RateLimit
from kos.server.core.auth.oidc import Provider
from kos.server.core.bus.claims import Signer
from kos.server.core.bus.client import Bus
from kos.server.core.bus.config import Node
from kos.server.core.bus.keys import BusKeys, load_or_create
from kos.server.core.bus.process import BusProcess, free_port
from kos.server.core.data.ingest import Ingest
from kos.server.core.data.presence import Presence
from kos.server.core.data.progress import resume
from kos.server.core.data.retention import retain
from kos.server.core.db.database import Database
from kos.server.core.db.models import Organisation, now
from kos.server.core.devices.desired import DownloadTokens
from kos.server.core.devices.login import DEFAULT_ORGANISATION, LoginDesk
from kos.server.core.devices.sessions import Sessions
from kos.server.core.gateway_process import GatewayProcess, services_of
from kos.server.core.live import Live
from kos.server.core.notify.kinds import Office
from kos.server.core.notify.sender import Sender
from kos.server.core.overlays import keep_documents
from kos.server.core.shared_secret import read_or_create
from kos.server.core.telemetry import Tracer
from kos.server.core.upkeep import clean, settle
from kos.server.core.worker import Worker
from kos.server.fleet.engine import RolloutEngine
from kos.server.settings import Settings

log = logging.getLogger(__name__)

REQUESTS_AT_ONCE = 2000  # of one person or token
REQUESTS_PER_MINUTE = 12_000
FIRST_PASSWORD = "KOS_SERVER_ADMIN_PASSWORD"


class Services:
    """The running parts of one server process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database_url)
        self.blobs = BlobStore(settings.blobs)
        self.keys: BusKeys = load_or_create(settings.keys)
        self.tokens = DownloadTokens(read_or_create(settings.keys / "download.key", secrets.token_bytes(32)))
        self.studio_csrf = secrets.token_hex(32)
        self.claim_limit = RateLimit(burst=10, per_minute=10)
        self.request_limit = RateLimit(burst=REQUESTS_AT_ONCE, per_minute=REQUESTS_PER_MINUTE)
        self.login_limit = RateLimit(burst=10, per_minute=20)
        self.notify_limit = RateLimit(burst=20, per_minute=20)  # tests of channels
        self.oidc = Provider(settings)
        self.tracer = Tracer(settings.otlp, f"kos-{settings.product}")
        self.first_password: str | None = None  # to be shown once
        self.process: BusProcess | None = None
        self.gateway: GatewayProcess | None = None
        self.bus = Bus(
            settings.bus_url.split(",") if settings.bus_url else [], self.keys, settings.bus_replicas
        )
        self.live = Live(self.bus)
        desk = LoginDesk(settings, self.database, Signer(self.keys.account))
        self.sessions = Sessions(settings, self.database, self.bus, desk, self.tokens, self.live)
        self.wake = asyncio.Event()
        self.office = Office(settings)
        self.sender = Sender(self.database, self.office)
        self.ingest = Ingest(self.database, self.bus, self.live, self.wake, self.tracer)
        self.presence = Presence(settings, self.database, self.bus, self.live, self.ingest.heard)
        self.rollouts = RolloutEngine(
            settings,
            self.database,
            self.sessions,
            self.live,
            self.wake,
            self.tracer,
            self.ingest.heard,
        )
        self.worker = Worker(
            self.database,
            self.bus.process_id,
            (
                self.ingest.run,
                self.presence.run,
                self.rollouts.run,
                self.sender.run,
                lambda: retain(settings, self.database),
                lambda: settle(self.database, self.blobs, self.sessions, self.live),
                lambda: clean(self.database, self.blobs),
            ),
        )

    def prepare(self) -> None:
        """Database ready for work. Blocking.

        Raises:
            KosError: it cannot be used, such as a damaged file or a server that is away.
        """
        try:
            self.database.migrate()
        except DBAPIError as error:
            raise KosError(
                f"the database cannot be used: {error.orig}",
                where=self.database.engine.url.render_as_string(hide_password=True),
                hint="is it there, and is it a server's? server.restore brings a backup back",
            ) from error
        with self.database.write() as session:
            self.database.only_one(session)
            if session.scalar(select(Organisation).limit(1)) is None:
                session.add(Organisation(slug=DEFAULT_ORGANISATION, name="Default", created_at=now()))
                session.flush()
            keep_documents(session, self.blobs)
            if not self.settings.studio:
                self.first_password = make_first_admin(session, os.environ.get(FIRST_PASSWORD))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Services]:
        """Everything started, and ended in the opposite order."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self.database.close)
            self.tracer.start()
            stack.callback(self.tracer.stop)
            bus_ready = asyncio.create_task(self._start_bus(stack))
            await asyncio.to_thread(self.prepare)
            await bus_ready
            await self.bus.connect()
            stack.push_async_callback(self.bus.close)
            await self.bus.ensure_streams()
            if self.settings.workers:
                # Before a device may send: a stream that lost its end must not have grown past it again.
                await resume(self.database, self.bus)
            await self.sessions.start()
            stack.push_async_callback(self.sessions.stop)
            stack.push_async_callback(self.sender.stop)
            if self.settings.workers:
                self.worker.start()
                stack.push_async_callback(self.worker.stop)
            if self.settings.gateway:
                await self._start_gateway(stack)
            yield self

    async def _start_gateway(self, stack: contextlib.AsyncExitStack) -> None:
        settings = self.settings
        # With a bus elsewhere, devices reach it where its first node is.
        own = self.process.node if self.process is not None else None
        bus = (settings.bus_host, own.port) if own else _host_and_port(self.bus.urls[0])
        services = services_of(settings, bus, own.mqtt_port if own else settings.mqtt_port)
        self.gateway = GatewayProcess(settings, self.database, services)
        await self.gateway.start()
        stack.push_async_callback(self.gateway.stop)

    def devices_changed(self) -> None:
        """Say that who may connect has changed: the gateway looks at once."""
        if self.gateway is not None:
            self.gateway.changed()

    async def _start_bus(self, stack: contextlib.AsyncExitStack) -> None:
        settings = self.settings
        if settings.bus_url:
            return
        node = Node(
            name=settings.product,
            host=settings.bus_host,
            port=settings.bus_port or free_port(settings.bus_host),
            store=settings.data / "bus",
            mqtt_port=settings.mqtt_port or free_port(settings.bus_host),
            sync=settings.bus_sync,
        )
        self.process = BusProcess(node, self.keys, settings.data / "run")
        stack.push_async_callback(self.process.stop)
        await self.process.start()
        reachable = "127.0.0.1" if node.host == "0.0.0.0" else node.host
        self.bus.urls[:] = [f"nats://{reachable}:{node.port}"]


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or BUS_PORT
