"""Running systems of core services, for tests: a service as the manifest names it, and what may use what."""

from __future__ import annotations

from typing import Any

from tests.device.systems import app


def service(name: str, *ports: str, **members: Any) -> dict[str, Any]:
    """A core app that serves ports."""
    access = {"msg0": {port: {"role": "server"} for port in ports}} if ports else {}
    return app(image={"kind": "service", "entry": f"kos.services.{name}.main:main"}, access=access, **members)


def client(source: str, *ports: str, **members: Any) -> dict[str, Any]:
    """An app of the test's own that may use ports."""
    return app(source, access={"msg0": {port: {"role": "client"} for port in ports}}, **members)


def ports_of(apps: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Every port that these apps name, as the manifest declares them."""
    return {"msg0": sorted({port for each in apps.values() for port in each["access"].get("msg0", {})})}
