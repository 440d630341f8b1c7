"""The difference between two blobs: zstd with the older one as dictionary, where that saves bytes.

Made once and kept as a file beside the blobs; a pair that saves nothing is remembered as an empty file.
"""

from __future__ import annotations

from pathlib import Path

import zstandard

from kos.abi.session import DELTA_BLOB_MAX
from kos.server.core.artifacts.store import BlobStore

LEVEL = 9
WORTH = 0.7  # a difference above this share of the whole blob is not worth the trouble
MAGIC = b"\x37\xa4\x30\xec"  # of a formatted dictionary: such a blob cannot be a plain one


def difference(store: BlobStore, old: str, new: str) -> Path | None:
    """The file that turns blob `old` into blob `new`; None where the whole blob is the better way."""
    before, after = store.path(old), store.path(new)
    if old == new or not before.is_file() or not after.is_file():
        return None
    kept = store.folder / "deltas" / f"{old}-{new}"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        draft = store.draft()
        try:
            draft.write_bytes(_make(before, after))
            draft.replace(kept)
        finally:
            draft.unlink(missing_ok=True)
    return kept if kept.stat().st_size else None


def _make(before: Path, after: Path) -> bytes:
    sizes = before.stat().st_size, after.stat().st_size
    if max(sizes) > DELTA_BLOB_MAX or not min(sizes):
        return b""
    old, new = before.read_bytes(), after.read_bytes()
    if old.startswith(MAGIC):
        return b""
    # The window must reach back to the beginning of the older blob.
    window = max(10, (len(old) + len(new)).bit_length())
    parameters = zstandard.ZstdCompressionParameters.from_level(LEVEL, window_log=window, enable_ldm=True)
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    made: bytes = zstandard.ZstdCompressor(compression_params=parameters, dict_data=dictionary).compress(new)
    return made if len(made) < WORTH * len(new) else b""
