"""Read-only copies of the guest's disks, as the console's port offers them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.status import Status
from kos.services.answer import Answer
from kos.services.vmm import disks
from kos.services.vmm.command import Place
from kos.services.vmm.config import Guest


class Snapshots:
    """Takes and reads them; `paused` lets the guest stand still meanwhile."""

    def __init__(self, guest: Guest, place: Place, paused: Callable[[], AbstractContextManager]) -> None:
        self._guest, self._place, self._paused = guest, place, paused

    def take(self, _app: str, _label: int, _param: int, payload: bytes) -> Answer:
        """Copy the disk that the payload names."""
        try:
            with self._paused():
                size = disks.take_snapshot(self._guest, self._place, payload.decode())
        except (KeyError, UnicodeDecodeError):
            return Answer(Status.NOT_FOUND)
        except (OSError, ValueError) as error:
            return Answer(Status.UNAVAILABLE, 0, str(error).encode()[:PAYLOAD_MAX_SIZE])
        return Answer(Status.OK, -(-size // PAYLOAD_MAX_SIZE))

    def read(self, _app: str, _label: int, param: int, payload: bytes) -> Answer:
        """A piece of the copy of the disk that the payload names."""
        try:
            piece = disks.read_snapshot(self._guest, self._place, payload.decode(), param)
        except (KeyError, UnicodeDecodeError, FileNotFoundError):
            return Answer(Status.NOT_FOUND)
        except OSError as error:
            return Answer(Status.UNAVAILABLE, 0, str(error).encode()[:PAYLOAD_MAX_SIZE])
        return Answer(Status.OK, param, piece)
