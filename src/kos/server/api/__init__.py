"""The HTTP API, `/api/v1`: one router a file. Pages and command line use the same functions."""

from kos.server.api import devices, groups, live, system

ROUTERS = (system.router, devices.router, groups.router, live.router)
