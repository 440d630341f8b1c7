"""What came of one delivery."""

from __future__ import annotations

from dataclasses import dataclass

ERROR_MAX = 256  # characters


@dataclass(frozen=True)
class Outcome:
    """Whether it arrived.

    Attributes:
        error: why it did not; "" where it did.
        wait: seconds that the receiver wants us to wait, where it says so.
        gone: the receiver wants nothing any more: the channel is turned off.
    """

    error: str = ""
    wait: float | None = None
    gone: bool = False

    @property
    def arrived(self) -> bool:
        return not self.error
