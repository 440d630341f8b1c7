"""Read a file that somebody else wrote, and never more of it than it may hold."""

from __future__ import annotations

from pathlib import Path

from kos.abi.errors import KosError


def read_bounded(path: Path, limit: int) -> bytes:
    """All of a file.

    Raises:
        KosError: it has more than `limit` bytes.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise KosError(f"expected at most {limit} bytes, found more", where=str(path))
    return data
