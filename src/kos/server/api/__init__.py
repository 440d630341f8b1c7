"""The HTTP API, `/api/v1`: one router a file. Pages and command line use the same functions."""

from kos.server.api import (
    access,
    alarms,
    artifacts,
    data,
    devices,
    groups,
    live,
    notifications,
    oidc,
    overlays,
    releases,
    retention,
    rollouts,
    session,
    streams,
    studio,
    system,
    trace,
    tunnel,
)

ROUTERS = tuple(
    module.router
    for module in (
        system,
        session,
        oidc,
        devices,
        tunnel,
        groups,
        releases,
        overlays,
        artifacts,
        rollouts,
        data,
        retention,
        alarms,
        notifications,
        live,
        streams,
        access,
        studio,
        trace,
    )
)
