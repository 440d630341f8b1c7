"""A blob from an older one and the difference between them: zstd with the older blob as dictionary.

The library is the machine's own (libzstd, which OpenSSL and dpkg need too); where there is none, blobs come
whole. What comes out is checked by whoever stores it, against its digest.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

from kos.abi.errors import KosError
from kos.abi.session import DELTA_BLOB_MAX

LIBRARY = "libzstd.so.1"
DICTIONARY_MAGIC = b"\x37\xa4\x30\xec"  # bytes that would make the library take the old blob for tables


@lru_cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    library.ZSTD_createDCtx.restype = ctypes.c_void_p
    library.ZSTD_freeDCtx.argtypes = [ctypes.c_void_p]
    library.ZSTD_decompress_usingDict.restype = ctypes.c_size_t
    library.ZSTD_decompress_usingDict.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    return library


def possible() -> bool:
    """Whether this device can make a blob from a difference."""
    return _library() is not None


def patch(old: bytes, difference: bytes, size: int) -> bytes:
    """The blob of `size` bytes.

    Raises:
        KosError: they do not fit together, or are too big.
    """
    library = _library()
    if library is None:
        raise KosError(f"there is no {LIBRARY}")
    if max(len(old), size) > DELTA_BLOB_MAX or old.startswith(DICTIONARY_MAGIC):
        raise KosError(f"no difference is made between blobs of more than {DELTA_BLOB_MAX} bytes")
    out = ctypes.create_string_buffer(max(size, 1))
    context = library.ZSTD_createDCtx()
    try:
        got = library.ZSTD_decompress_usingDict(
            context, out, size, difference, len(difference), old, len(old)
        )
    finally:
        library.ZSTD_freeDCtx(context)
    if library.ZSTD_isError(got) or got != size:
        raise KosError("the difference does not fit the blob that is here")
    return out.raw[:size]
