"""Is it plausible that these bytes are random? Catches a stuck or repeating source; it proves nothing."""

from __future__ import annotations

from kos.abi.errors import KosError

BLOCK = 16  # bytes
# The number of ones in n random bits has a standard deviation of sqrt(n)/2. Eight of them are exceeded once
# in 10**15 times: never by chance in the life of a fleet.
_DEVIATIONS = 8


def check(data: bytes, before: bytes) -> None:
    """Check `data` against chance, and against what the source gave before.

    Raises:
        KosError: says what is wrong.
    """
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    seen = {before[at : at + BLOCK] for at in range(0, len(before), BLOCK)}
    if len(set(blocks)) != len(blocks) or seen.intersection(blocks):
        raise KosError(f"expected fresh random bytes, found a block of {BLOCK} bytes twice")
    bits = len(data) * 8
    ones = int.from_bytes(data, "little").bit_count()
    if abs(ones - bits / 2) > _DEVIATIONS * (bits**0.5) / 2:
        raise KosError(f"expected about half of {bits} random bits to be ones, found {ones}")
