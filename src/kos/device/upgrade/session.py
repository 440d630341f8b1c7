"""The upgrade protocol over a byte stream: a line of JSON, and after `blob` that blob's bytes.

Requests: `hello {id}`, `offer {manifest, signatures}` (also `overlay`, `overlay_signatures`, `ticket`), `blob
{sha256, size}` + bytes, `commit`, `collect`, `images`, `read {sha256}`. Each is answered by a line
`{"ok": true, …}` or `{"ok": false, "error": {"message", "hint"}}`; `commit` is followed by lines
`{"event": …}` up to the one that has `"last": true`, `read`'s answer by as many bytes as its `size` says. The
same code serves every channel; it must not know which one it is.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.hints import Any, BinaryIO, Protocol
from kos.device.upgrade.engine import Tell
from kos.device.upgrade.installer import Overlay
from kos.manifest.limits import IMAGE_BYTES_MAX, MANIFEST_BYTES_MAX

LINE_MAX = 2 * MANIFEST_BYTES_MAX + (1 << 20)  # bytes: a manifest as a JSON string, and its signatures
CHUNK = 64 << 10
ID_MAX = 64  # characters of what a client calls itself


class Serves(Protocol):
    """What the session serves: `kos.device.upgrade.engine.Engine`."""

    def facts(self) -> dict[str, Any]: ...

    def offer(
        self, document: bytes, signatures: dict[str, bytes], over: Overlay | None = None, ticket: str = ""
    ) -> dict[str, int]: ...

    def take(self, sha256: str, chunks: Iterator[bytes]) -> None: ...

    def commit(self, tell: Tell) -> None: ...

    def collect(self) -> list[str]: ...

    def images(self) -> dict[str, int]: ...

    def read(self, sha256: str) -> Path: ...


class Session:
    """One client on one stream."""

    def __init__(self, engine: Serves, reader: BinaryIO, writer: BinaryIO) -> None:
        self._engine = engine
        self._reader = reader
        self._writer = writer

    def run(self) -> None:
        """Serve until the client is gone."""
        while line := self._reader.readline(LINE_MAX + 1):
            if len(line) > LINE_MAX or not line.endswith(b"\n"):
                self._fail(KosError(f"a request has at most {LINE_MAX} bytes"))
                return
            try:
                request = json.loads(line)
                operation = request["op"] if isinstance(request, dict) else None
            except (ValueError, KeyError, RecursionError):
                operation = None
            try:
                self._serve(operation, request if operation else {})
            except (KosError, OSError) as error:
                self._fail(_said(error))

    def _serve(self, operation: str | None, request: dict[str, Any]) -> None:
        match operation:
            case "hello":
                # A client that comes right after another one tells its own answer by what it gave.
                self._answer(**self._engine.facts(), id=str(request.get("id", ""))[:ID_MAX])
            case "offer":
                self._answer(missing=self._engine.offer(*_offer(request)))
            case "blob":
                self._blob(request)
            case "commit":
                self._answer()
                try:
                    self._engine.commit(self._tell)
                except (KosError, OSError) as error:
                    self._tell({"event": "failed", "reason": str(_said(error))})
                self._send({"event": "end", "last": True})
            case "collect":
                self._answer(removed=self._engine.collect())
            case "images":
                self._answer(images=self._engine.images())
            case "read":
                self._read(str(request.get("sha256")))
            case _:
                raise KosError(
                    f"there is no operation {operation!r}",
                    hint="hello, offer, blob, commit, collect, images, read",
                )

    def _read(self, sha256: str) -> None:
        with self._engine.read(sha256).open("rb") as file:
            self._answer(size=file.seek(0, 2))
            file.seek(0)
            while chunk := file.read(CHUNK):
                self._writer.write(chunk)
        self._writer.flush()

    def _blob(self, request: dict[str, Any]) -> None:
        sha256, size = request.get("sha256"), request.get("size")
        if not isinstance(sha256, str) or type(size) is not int or not 0 <= size <= IMAGE_BYTES_MAX:
            raise KosError("a blob has a sha256 and a size")
        chunks = self._chunks(size)
        try:
            self._engine.take(sha256, chunks)
        finally:
            # Whatever became of it, the stream goes on after the blob.
            for _chunk in chunks:
                pass
        self._answer()

    def _chunks(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self._reader.read(min(size, CHUNK))
            if not chunk:
                raise KosError("the connection ended in the middle of a blob")
            size -= len(chunk)
            yield chunk

    def _tell(self, event: dict[str, Any]) -> None:
        self._send(event)

    def _answer(self, **members: Any) -> None:
        self._send({"ok": True, **members})

    def _fail(self, error: KosError) -> None:
        self._send({"ok": False, "error": {"message": error.message, "hint": error.hint}})

    def _send(self, value: dict[str, Any]) -> None:
        self._writer.write(json.dumps(value).encode() + b"\n")
        self._writer.flush()


def _said(error: KosError | OSError) -> KosError:
    """What a client is told; where its own stream failed, telling it fails too and ends the session."""
    if isinstance(error, KosError):
        return error
    hint = "have it remove what no generation needs" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    return KosError(f"the device's storage failed: {error.strerror or error}", hint=hint)


def _offer(request: dict[str, Any]) -> tuple[bytes, dict[str, bytes], Overlay | None, str]:
    manifest, over, ticket = request.get("manifest"), request.get("overlay"), request.get("ticket", "")
    if not isinstance(manifest, str) or not isinstance(ticket, str):
        raise KosError("an offer has a manifest and signatures")
    if over is not None:
        if not isinstance(over, str):
            raise KosError("an overlay is text")
        over = Overlay(over.encode(), _signatures(request.get("overlay_signatures", {})))
    return manifest.encode(), _signatures(request.get("signatures", {})), over, ticket


def _signatures(given: object) -> dict[str, bytes]:
    if not isinstance(given, dict):
        raise KosError("an offer has a manifest and signatures")
    if not all(isinstance(text, str) for text in given.values()):
        raise KosError("a signature is text")
    return {str(name): text.encode() for name, text in given.items()}
