"""Downloads from the server: a blob in pieces, going on where the connection broke. Checks no digest."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

from kos.abi.errors import KosError
from kos.abi.session import DELTA_BLOB_MAX, DELTA_HEADER
from kos.services.admin.backoff import Backoff

CHUNK = 64 * 1024
TIMEOUT = 20.0  # seconds without a byte
TRIES = 6  # in a row without a byte; then the update has failed


class Source:
    """Where the blobs of one desired state come from.

    Args:
        base: URL to which the digest is added.
        token: bearer token.
        sleep: waits between tries.
    """

    def __init__(self, base: str, token: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._base = base
        self._token = token
        self._sleep = sleep

    def read(self, digest: str, size: int) -> bytes:
        """A small blob at once."""
        return b"".join(self.chunks(digest, size))

    def chunks(self, digest: str, size: int) -> Iterator[bytes]:
        """Exactly `size` bytes of a blob.

        Raises:
            KosError: the server does not give it, or gives more or less.
        """
        done, tries, backoff = 0, 0, Backoff()
        while done < size:
            try:
                with self._open(digest, done) as answer:
                    while chunk := answer.read(min(CHUNK, size - done)):
                        done += len(chunk)
                        tries = 0
                        yield chunk
                    if done < size:
                        raise ConnectionError("the connection ended early")
            except urllib.error.HTTPError as error:
                error.close()
                # A server that is restarted or overloaded says 5xx or 429; anything else is its last word.
                if error.code < 500 and error.code != 429:
                    raise KosError(f"the server does not give {digest[:12]}: {error.code}") from error
                tries = self._again(tries, backoff, digest, error)
            except (OSError, http.client.HTTPException) as error:
                tries = self._again(tries, backoff, digest, error)

    def difference(self, digest: str, size: int) -> tuple[str, bytes] | None:
        """The older blob and the difference to it, where the server has one that saves; else None."""
        if size > DELTA_BLOB_MAX:
            return None
        request = urllib.request.Request(f"{self._base}sha256/{digest}?delta=1")
        request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                old = answer.headers.get(DELTA_HEADER)
                # Without the header it is the whole blob, which `chunks` fetches with resumption.
                return (old, answer.read(size)) if old else None
        except (OSError, http.client.HTTPException):
            return None

    def _again(self, tries: int, backoff: Backoff, digest: str, error: Exception) -> int:
        if tries + 1 >= TRIES:
            raise KosError(f"download of {digest[:12]} failed: {error}") from error
        self._sleep(backoff.wait())
        return tries + 1

    def _open(self, digest: str, begin: int) -> http.client.HTTPResponse:
        request = urllib.request.Request(f"{self._base}sha256/{digest}")
        request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        if begin:
            request.add_header("Range", f"bytes={begin}-")
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
        if begin and answer.status != 206:
            answer.close()
            raise KosError("the server cannot go on in the middle of a download")
        return answer


def base_url(download: str, host: str) -> str:
    """The address of downloads: `:PORT/path` means the host that the bus is on."""
    if download.startswith(":"):
        return f"http://[{host}]{download}" if ":" in host else f"http://{host}{download}"
    if download.startswith(("http://", "https://")):
        return download
    raise KosError(f"not an address for downloads: {download[:80]!r}")
