"""The supervisor's control socket: `ControlClient` for tools; the supervisor's own side is in `server`."""

from kos.device.control.client import ControlClient

__all__ = ["ControlClient"]
