"""When to look the peer up, when to tell WireGuard, when to start afresh. Pure: decides, does nothing.

WireGuard itself finds the way while packets flow. What it cannot do is: look up a name again when the peer
has moved, and notice at once that a peer has restarted and forgotten the session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

RESOLVE_FIRST, RESOLVE_MAX = 1.0, 60.0  # seconds between look-ups that did not help; doubles
CHECK_WAITING, CHECK_CONNECTED = 0.5, 2.0  # seconds between two looks at WireGuard's state
HANDSHAKE_MAX = 180.0  # seconds after which WireGuard drops a session (Reject-After-Time in its paper)
STALL_SECONDS = 6.0  # something was sent and nothing came back for so long: the peer has forgotten us
FRESH_MAX = 60.0  # seconds between two fresh starts of a session; doubles from STALL_SECONDS
KEEPALIVE_BYTES = 32

WAITING, RESOLVING, CONNECTING, CONNECTED = "waiting", "resolving", "connecting", "connected"


@dataclass(frozen=True)
class Resolve:
    """Look the peer's name up."""


@dataclass(frozen=True)
class SetPeer:
    """Tell WireGuard where the peer is; `fresh` forgets the session too."""

    address: str
    fresh: bool


@dataclass(frozen=True)
class Check:
    """Read WireGuard's state."""


@dataclass(frozen=True)
class Wait:
    """Nothing to do for so many seconds."""

    seconds: float


Action = Resolve | SetPeer | Check | Wait


class Peering:
    """One peer.

    Attributes:
        state: one of "resolving", "connecting", "connected".
        reason: why it is not connected; "" when it is.
    """

    def __init__(self, keep_alive: int, random: Callable[[], float]) -> None:
        """`keep_alive` as WireGuard has it, in seconds; `random()` gives a number from 0 to 1."""
        self.state = RESOLVING
        self.reason = "the peer was not looked up yet"
        self._keep_alive = keep_alive
        self._random = random
        self._resolve_at = 0.0
        self._resolve_pause = RESOLVE_FIRST
        self._check_at = 0.0
        self._addresses: tuple[str, ...] = ()
        self._current: str | None = None
        self._pending: SetPeer | None = None
        self._seen: tuple[int, int] | None = None  # rx and tx bytes
        self._silent_since = 0.0
        self._unanswered = 0  # bytes sent since something last came, without keep-alives
        self._fresh_pause = STALL_SECONDS
        self._fresh_at = 0.0

    def next(self, now: float) -> Action:
        """What to do now."""
        if self._pending is not None:
            action, self._pending = self._pending, None
            self._check_at = now + CHECK_WAITING
            return action
        if self.state != CONNECTED and now >= self._resolve_at:
            return Resolve()
        if self._current is None:
            return Wait(self._resolve_at - now)
        if now >= self._check_at:
            return Check()
        waits = [self._check_at - now]
        if self.state != CONNECTED:
            waits.append(self._resolve_at - now)
        return Wait(max(0.0, min(waits)))

    def resolved(self, addresses: tuple[str, ...], now: float) -> None:
        """The name has these addresses. The one in use stays, as long as it is one of them and has not
        failed."""
        failed = self._current if self.state == CONNECTING and self._addresses else None
        self._addresses = addresses
        self._later(now)
        if self._current not in addresses:
            choice = addresses[0]
        elif failed is not None:
            choice = addresses[(addresses.index(failed) + 1) % len(addresses)]
        else:
            return
        if choice != self._current:
            self._current = choice
            self._pending = SetPeer(choice, fresh=False)
            self._forget_traffic()
        if self.state != CONNECTED:
            self.state, self.reason = CONNECTING, f"{choice} has not answered yet"

    def not_resolved(self, reason: str, now: float) -> None:
        """The look-up failed; an address that was known before is still tried."""
        self.reason = reason
        self._later(now)

    def _later(self, now: float) -> None:
        # A tenth of chance, so that a fleet that lost its server does not come back as one wave.
        self._resolve_at = now + self._resolve_pause * (0.9 + 0.2 * self._random())
        self._resolve_pause = min(self._resolve_pause * 2, RESOLVE_MAX)

    def network_changed(self, now: float) -> None:
        """The device has a new address or its link is back: whatever was slowed down is tried now."""
        self._resolve_pause = RESOLVE_FIRST
        self._fresh_pause = STALL_SECONDS
        if self.state != CONNECTED:
            self._resolve_at = now
        if self._current is not None:
            # Told the same again, WireGuard forgets from which address it sent before.
            self._pending = SetPeer(self._current, fresh=False)
        self._check_at = now

    def _forget_traffic(self) -> None:
        self._seen, self._unanswered = None, 0

    def checked(self, handshake_age: float | None, rx_bytes: int, tx_bytes: int, now: float) -> None:
        """WireGuard's state: seconds since the last handshake (None: never), bytes received and sent."""
        heard = self._seen is None or rx_bytes != self._seen[0]
        if heard:
            self._silent_since, self._unanswered = now, 0
        elif self._seen is not None:
            quiet = now - self._silent_since
            spared = KEEPALIVE_BYTES * (int(quiet / self._keep_alive) + 2) if self._keep_alive else 0
            self._unanswered += tx_bytes - self._seen[1]
            if quiet >= STALL_SECONDS and self._unanswered > spared:
                self._stalled(now)
        self._seen = (rx_bytes, tx_bytes)
        alive = handshake_age is not None and handshake_age < HANDSHAKE_MAX
        if alive and heard and rx_bytes and self.state != CONNECTED:
            self.state, self.reason = CONNECTED, ""
            self._resolve_pause, self._fresh_pause = RESOLVE_FIRST, STALL_SECONDS
        elif not alive and self.state == CONNECTED:
            self._lost("no handshake for too long", now)
        self._check_at = now + (CHECK_CONNECTED if self.state == CONNECTED else CHECK_WAITING)

    def _stalled(self, now: float) -> None:
        if self.state == CONNECTED:
            self._lost("the peer does not answer any more", now)
        if now >= self._fresh_at and self._current is not None:
            self._pending = SetPeer(self._current, fresh=True)
            self._fresh_at = now + self._fresh_pause
            self._fresh_pause = min(self._fresh_pause * 2, FRESH_MAX)
            self._forget_traffic()

    def _lost(self, reason: str, now: float) -> None:
        self.state, self.reason = CONNECTING, reason
        self._resolve_pause = RESOLVE_FIRST
        self._resolve_at = now
