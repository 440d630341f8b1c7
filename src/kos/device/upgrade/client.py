"""The other end of an upgrade: offers a manifest.zip's contents to a device and sends what it lacks.

Used by `kos-tool device.upgrade`. It trusts no answer's size; what the device says is shown, not interpreted.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.abi.records import dataclass
from kos.device.control.address import short_address

SOCKET_NAME = "upgrade.sock"
ANSWER_MAX = 1 << 20  # bytes of one line
CHUNK = 64 << 10
MEET_SECONDS = 15.0  # for an answer to the first words, before they are said again
HANG_UP_SECONDS = 1.0  # in which a device sees that its client is gone


@dataclass(frozen=True)
class Sent:
    """What went over the wire."""

    blobs: int
    bytes: int


class UpgradeClient:
    """A connection to a device's upgrade engine.

    Args:
        to: the Unix socket: of a run directory, or of the simulator's virtio-serial port; or one that is
            connected.
        timeout: seconds to wait for an answer.
    """

    def __init__(self, to: Path | socket.socket, timeout: float = 300.0) -> None:
        self._to = to
        self._timeout = timeout
        self._take(_connected(to) if isinstance(to, Path) else to)
        try:
            self._meet()
        except BaseException:
            self.close()
            raise

    def _take(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.settimeout(self._timeout)
        self._file = self._socket.makefile("rb")

    def _meet(self) -> None:
        """Wait for the device to speak to us.

        A virtio-serial port has no connections: a device that did not see the client before us go takes what
        we say for the rest of what that one said, and what it answers may be for that one. So we hang up and
        call again until we hear an answer to our own words.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            self._socket.settimeout(min(MEET_SECONDS, self._timeout))
            name = os.urandom(8).hex()
            try:
                self._write(json.dumps({"op": "hello", "id": name}).encode() + b"\n")
                while line := self._file.readline(ANSWER_MAX):
                    if _named(line) == name:
                        self._socket.settimeout(self._timeout)
                        return
            except (OSError, KosError) as error:
                problem = str(error)
            else:
                problem = "the connection ended"
            if time.monotonic() > deadline or not isinstance(self._to, Path):
                raise KosError(f"the device does not answer: {problem}")
            self.close()
            time.sleep(HANG_UP_SECONDS)
            self._take(_connected(self._to))

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> UpgradeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hello(self) -> dict[str, Any]:
        """What the device says of itself."""
        return self._request({"op": "hello"})

    def offer(self, manifest: bytes, signatures: Mapping[str, bytes]) -> dict[str, int]:
        """Offer a manifest; the blobs that the device lacks, with their sizes."""
        texts = {name: text.decode() for name, text in signatures.items()}
        return self._request({"op": "offer", "manifest": manifest.decode(), "signatures": texts})["missing"]

    def send(self, sha256: str, path: Path) -> None:
        """Send one blob."""
        size = path.stat().st_size
        with path.open("rb") as file:
            self._write(json.dumps({"op": "blob", "sha256": sha256, "size": size}).encode() + b"\n")
            while chunk := file.read(CHUNK):
                self._write(chunk)
        self._answer()

    def commit(self) -> Iterator[dict[str, Any]]:
        """Install what was offered; what the device tells, up to the end or its restart."""
        self._request({"op": "commit"})
        while True:
            try:
                line = self._file.readline(ANSWER_MAX)
            except ConnectionError:
                return
            except OSError as error:
                raise KosError(
                    f"the device said nothing more about the upgrade: {error}",
                    hint="it may still be at it; see what it runs: kos-tool device.status",
                ) from error
            event = _object(line) if line else {"last": True}
            if event.get("last"):
                return
            yield event
            if event.get("reboot"):
                return  # nothing more comes: the simulator's socket stays open while its machine restarts

    def collect(self) -> list[str]:
        """Have the device remove what no generation needs; the names of what went."""
        return self._request({"op": "collect"})["removed"]

    def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        self._write(json.dumps(request).encode() + b"\n")
        return self._answer()

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise KosError(f"the device does not take it: {error}") from error

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._file.readline(ANSWER_MAX)
        except OSError as error:
            raise KosError(f"the device does not answer: {error}") from error
        if not line:
            raise KosError("the device ended the connection")
        answer = _object(line)
        if not answer.get("ok"):
            said = answer.get("error")
            said = said if isinstance(said, dict) else {}
            raise KosError(f"the device refused: {said.get('message')}", hint=said.get("hint"))
        return answer


def _object(line: bytes) -> dict[str, Any]:
    """A line of the device.

    Raises:
        KosError: it is not a JSON object.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise KosError(f"expected a JSON object from the device, found {line[:40]!r}")
    return found


def _named(line: bytes) -> str | None:
    """The name in an answer to `hello`; None where it is something else."""
    try:
        answer = json.loads(line)
    except ValueError:  # the end of a line whose beginning went to another client
        return None
    return answer.get("id") if isinstance(answer, dict) else None


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        with short_address(path) as address:
            connection.connect(address)
    except OSError as error:
        connection.close()
        raise KosError(
            f"no device takes upgrades there: {error.strerror or error}",
            where=str(path),
            hint="is it running?",
        ) from error
    return connection


def push(
    client: UpgradeClient,
    manifest: bytes,
    signatures: Mapping[str, bytes],
    blob: Callable[[str], Path],
    tell: Callable[[dict[str, Any]], None],
) -> Sent:
    """A whole upgrade: offer, send what is missing, commit; `tell` hears the device's events."""
    missing = client.offer(manifest, signatures)
    for sha256 in sorted(missing):
        client.send(sha256, blob(sha256))
    for event in client.commit():
        tell(event)
    return Sent(len(missing), sum(missing.values()))
