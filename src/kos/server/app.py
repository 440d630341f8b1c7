"""The web application: puts the parts together. Start it with `kos-tool server.start`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles

from kos.abi.errors import KosError
from kos.abi.version import VERSION
from kos.server.api import ROUTERS
from kos.server.core import problems
from kos.server.core.db import away
from kos.server.core.services import Services
from kos.server.core.telemetry import Traced
from kos.server.settings import Settings
from kos.server.web.headers import Headers
from kos.server.web.pages import PAGES
from kos.server.web.render import FOLDER, problem_page

log = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """One server process. Everything it runs starts and ends with the application's life span."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            services = Services(settings)
            async with services.running():
                app.state.services = services
                yield
        except KosError as error:
            app.state.failure = error  # for whoever started the server
            raise
        except OSError as error:
            if getattr(app.state, "services", None) is None:  # what the user can mend, too
                app.state.failure = KosError(
                    f"cannot be used: {error.strerror or error}", where=str(error.filename or settings.data)
                )
            raise

    app = FastAPI(
        title=f"KOS {settings.product.title()} Server",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,  # its page would fetch assets from elsewhere; ours is under /api
        redoc_url=None,
        openapi_url="/api/openapi.json",
        servers=[{"url": "/"}],
    )
    problems.install(app)
    app.add_middleware(Headers)
    app.add_middleware(Traced)
    for router in ROUTERS:
        app.include_router(router)
    for router in PAGES:
        app.include_router(router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")

    @app.exception_handler(KosError)
    async def refused(request: Request, error: KosError) -> Response:
        # Pages are for people, everything else for programs.
        if isinstance(error, problems.Problem) and "text/html" in request.headers.get("accept", ""):
            return problem_page(request, error)
        return await problems.on_kos_error(request, error)

    async def database_failed(request: Request, error: Exception) -> Response:
        if not away.is_away(error):
            raise error
        log.warning("%s %s: the database is away: %s", request.method, request.url.path, away.reason(error))
        return await refused(request, problems.DatabaseAway())

    for kind in away.ERRORS:
        app.add_exception_handler(kind, database_failed)
    return app
