"""Servers and simulated devices for the tests of this folder."""

from tests.server.fixtures import devices, fleet, studio

__all__ = ["devices", "fleet", "studio"]
