"""The DHCP client as a state machine (RFC 2131, 4.4). Pure: time and packets come in, packets and leases go
out.

Times are seconds of a clock that never jumps. Randomness is handed in, so that tests know it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface

from kos.abi.errors import KosError
from kos.services.ethernet import dhcp_packet as wire

RETRY_FIRST, RETRY_MAX = 2.0, 64.0  # seconds between messages; doubles (RFC 2131, 4.1)
TRIES_MAX = 4  # messages in one state before the client starts anew
REBOOT_TRIES = 2  # the same where the link came back: a server that knows our address says so at once
LEASE_DEFAULT, LEASE_MIN, LEASE_MAX = 3600, 30, 30 * 86400  # seconds
RENEW_MIN = 10.0  # seconds between two renewals; the RFC's 60 is too slow for short leases
DNS_MAX = 3


class State(Enum):
    """Where the client is; the names are the RFC's."""

    DOWN = "down"
    SELECTING = "selecting"
    REQUESTING = "requesting"
    BOUND = "bound"
    RENEWING = "renewing"
    REBINDING = "rebinding"


@dataclass(frozen=True)
class Lease:
    """What a server gave us. Times are of the client's clock."""

    address: IPv4Interface
    gateway: IPv4Address | None
    dns: tuple[IPv4Address, ...]
    server: IPv4Address
    mtu: int | None
    renew_at: float
    rebind_at: float
    expires_at: float


@dataclass(frozen=True)
class Send:
    """A packet to send; to everybody, or to one server by its address."""

    packet: bytes
    destination: IPv4Address | None = None


def lease_from(message: wire.Message, asked_at: float) -> Lease:
    """The lease in an acknowledgement.

    Raises:
        KosError: no usable address, mask or server.
    """
    mask = message.addresses(wire.OPTION_MASK)
    if not mask or message.server is None:
        raise KosError("a DHCP lease without a mask or a server")
    try:
        address = IPv4Interface(f"{message.address}/{mask[0]}")
    except ValueError:
        raise KosError(f"a DHCP lease with the mask {mask[0]}") from None
    bad = address.ip.is_loopback or address.ip.is_multicast or address.ip.is_unspecified
    if bad or (address.ip in (address.network.broadcast_address,) and address.network.prefixlen < 31):
        raise KosError(f"a DHCP lease for {address}, which no host can have")
    seconds = message.whole(wire.OPTION_LEASE) or LEASE_DEFAULT
    seconds = min(max(seconds, LEASE_MIN), LEASE_MAX)
    renew = message.whole(wire.OPTION_RENEWAL) or seconds // 2
    rebind = message.whole(wire.OPTION_REBINDING) or seconds * 7 // 8
    if not 0 < renew < rebind < seconds:
        renew, rebind = seconds // 2, seconds * 7 // 8
    routers = message.addresses(wire.OPTION_ROUTER)
    mtu = message.whole(wire.OPTION_MTU)
    return Lease(
        address,
        routers[0] if routers else None,
        message.addresses(wire.OPTION_DNS)[:DNS_MAX],
        message.server,
        mtu if mtu is not None and 576 <= mtu <= 9000 else None,
        asked_at + renew,
        asked_at + rebind,
        asked_at + seconds,
    )


class DhcpClient:
    """One interface's client.

    Attributes:
        state: where it is.
        lease: what it has; None when it has none.
        deadline: when `step` has something to do; None while the link is down.
    """

    def __init__(self, mac: bytes, random: Callable[[int], int]) -> None:
        """`random(n)` gives a number from 0 to n - 1."""
        self.state = State.DOWN
        self.lease: Lease | None = None
        self.deadline: float | None = None
        self._mac = mac
        self._random = random
        self._transaction = 0
        self._tries = 0
        self._started = 0.0
        self._asked_at = 0.0
        self._offer: wire.Message | None = None

    def link_up(self, now: float) -> None:
        """The cable is in: ask, first for the address that we still hold (RFC 2131, 4.3.2)."""
        if self.state is not State.DOWN:
            return
        if self.lease and self.lease.expires_at > now:
            self._enter(State.REBINDING, now)
        else:
            self._enter(State.SELECTING, now)

    def link_down(self) -> None:
        """The cable is out: hold the lease, say nothing."""
        self.state = State.DOWN
        self.deadline = None

    def _enter(self, state: State, now: float) -> None:
        self.state, self.deadline, self._tries, self._started = state, now, 0, now
        self._transaction = self._random(1 << 32)
        if state is State.SELECTING:
            self._offer = None

    def step(self, now: float) -> list[Send]:
        """What to send now; nothing before `deadline`."""
        if self.deadline is None or now < self.deadline:
            return []
        lease = self.lease
        if lease and now >= lease.expires_at:
            self.lease = None
            self._enter(State.SELECTING, now)
        elif self.state is State.BOUND and lease:
            self._enter(State.RENEWING, now)
        elif self.state is State.RENEWING and lease and now >= lease.rebind_at:
            self._enter(State.REBINDING, now)
        elif self.state is State.REQUESTING and self._tries >= TRIES_MAX:
            self._enter(State.SELECTING, now)
        elif self.state is State.REBINDING and self._tries >= REBOOT_TRIES and self._came_back(now):
            self.lease = None
            self._enter(State.SELECTING, now)
        return self._ask(now)

    def _came_back(self, now: float) -> bool:
        """Rebinding because the link came back, not because the lease is old: nobody here knows our
        address."""
        return self.lease is not None and now < self.lease.rebind_at

    def _ask(self, now: float) -> list[Send]:
        pause = min(RETRY_FIRST * 2**self._tries, RETRY_MAX) + self._random(1000) / 1000 - 0.5
        self._tries += 1
        self._asked_at = now
        lease = self.lease
        ends = None
        if lease and self.state in (State.RENEWING, State.REBINDING):
            ends = lease.rebind_at if self.state is State.RENEWING else lease.expires_at
            # Half of the time that is left (RFC 2131, 4.4.5), unless we are in a hurry because the link
            # came back.
            if not (self.state is State.REBINDING and now < lease.rebind_at):
                pause = max((ends - now) / 2, RENEW_MIN)
        self.deadline = now + pause if ends is None else min(now + pause, max(ends, now + 0.1))
        seconds = int(now - self._started)
        match self.state:
            case State.SELECTING:
                return [Send(wire.encode(wire.DISCOVER, self._transaction, self._mac, seconds=seconds))]
            case State.REQUESTING if self._offer:
                packet = wire.encode(
                    wire.REQUEST,
                    self._transaction,
                    self._mac,
                    requested=self._offer.address,
                    server=self._offer.server,
                    seconds=seconds,
                )
                return [Send(packet)]
            case State.RENEWING if lease:
                packet = wire.encode(
                    wire.REQUEST,
                    self._transaction,
                    self._mac,
                    source=lease.address.ip,
                    destination=lease.server,
                    seconds=seconds,
                )
                return [Send(packet, lease.server)]
            case State.REBINDING if lease:
                if now < lease.rebind_at:  # INIT-REBOOT: the address is a wish until somebody confirms it
                    packet = wire.encode(
                        wire.REQUEST,
                        self._transaction,
                        self._mac,
                        requested=lease.address.ip,
                        seconds=seconds,
                    )
                else:
                    packet = wire.encode(
                        wire.REQUEST, self._transaction, self._mac, source=lease.address.ip, seconds=seconds
                    )
                return [Send(packet)]
        return []

    def received(self, packet: bytes, now: float) -> list[Send]:
        """What to send after a packet came; `lease` and `state` may have changed.

        Raises:
            KosError: a packet that is no answer to us; nothing has changed.
        """
        message = wire.decode(packet)
        if message.transaction != self._transaction or message.mac != self._mac:
            raise KosError("a DHCP message for somebody else")
        if self.state is State.SELECTING and message.kind == wire.OFFER and message.server is not None:
            lease_from(message, now)  # an offer that cannot become a lease is no offer
            self._offer = message
            self.state, self._tries, self.deadline = State.REQUESTING, 0, now
            return self.step(now)
        waiting = self.state in (State.REQUESTING, State.RENEWING, State.REBINDING)
        if waiting and message.kind == wire.ACK:
            self.lease = lease_from(message, self._asked_at)
            self.state, self.deadline = State.BOUND, self.lease.renew_at
        elif waiting and message.kind == wire.NAK:
            self.lease = None
            self._enter(State.SELECTING, now)
            return self.step(now)
        return []
