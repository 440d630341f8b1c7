"""Rollouts decided: phases, pace, thresholds, silence. A pure state machine: facts in, decision out.

No clock, no database, no bus: `advance` gets the time and says what to do; `kos.server.fleet.engine` does it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kos.abi.errors import KosError

# --- states of a rollout ------------------------------------------------------------------------------------
WAITING = "waiting"  # for approval
RUNNING = "running"
PAUSED = "paused"
STOPPED = "stopped"  # by itself: too many failures
ABORTED = "aborted"  # by a person
DONE = "done"
ACTIVE = (RUNNING, PAUSED, WAITING)
ENDED = (STOPPED, ABORTED, DONE)

# --- states of a device in a rollout ------------------------------------------------------------------------
PENDING = "pending"
OFFERED = "offered"
DOWNLOADING = "downloading"
INSTALLED = "installed"
BOOTED = "booted"
HEALTHY = "healthy"
REVERTED = "reverted"
FAILED = "failed"
TIMED_OUT = "timed_out"
WITHDRAWN = "withdrawn"
ROLLED_BACK = "rolled_back"
UNDER_WAY = (OFFERED, DOWNLOADING, INSTALLED, BOOTED)
FAILURES = (REVERTED, FAILED, TIMED_OUT)
FINISHED = (HEALTHY, *FAILURES, WITHDRAWN, ROLLED_BACK)

# Who may do what when.
STEPS = {
    "approve": ((WAITING,), RUNNING),
    "pause": ((RUNNING,), PAUSED),
    "resume": ((PAUSED, STOPPED), RUNNING),
    "abort": ((WAITING, RUNNING, PAUSED, STOPPED), ABORTED),
}

PHASES_MAX = 20
DAY_MINUTES = 24 * 60


@dataclass(frozen=True)
class Plan:
    """How a release reaches its devices.

    Attributes:
        phases: how many devices may be done at the end of each phase: a share ("10%") or a number ("25").
        parallel: devices under way at one time; 0 is no limit.
        soak: seconds between the end of a phase and the next one.
        max_failures: failed devices at which the rollout stops; None is no limit.
        max_failure_rate: share of the finished devices; judged once `min_sample` have finished.
        device_timeout: seconds from the offer to "healthy"; a silent device has failed then.
        window: minutes of the day (UTC) in which devices get offers: (from, to); None is always.
        approval: a second person must approve first.
        late_joiners: devices that begin to match later take part.
        standing: they do so also once the rollout is done: its release is what the target should have.
        forgiven: failures that a person has seen and that no longer count.
    """

    phases: tuple[str, ...] = ("10%", "50%", "100%")
    parallel: int = 0
    soak: float = 0.0
    max_failures: int | None = None
    max_failure_rate: float | None = 0.1
    min_sample: int = 5
    device_timeout: float = 3600.0
    window: tuple[int, int] | None = None
    approval: bool = False
    late_joiners: bool = True
    standing: bool = False
    forgiven: int = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.phases) <= PHASES_MAX:
            raise KosError(f"a rollout has 1 to {PHASES_MAX} phases, found {len(self.phases)}")
        sizes = [phase_size(phase, 1000) for phase in self.phases]
        if sizes != sorted(sizes):
            raise KosError("each phase must reach at least as many devices as the one before")
        if self.parallel < 0 or self.soak < 0 or self.device_timeout <= 0 or self.min_sample < 1:
            raise KosError("parallel, soak, device_timeout and min_sample must not be negative or zero")
        if self.max_failures is not None and self.max_failures < 1:
            raise KosError("max_failures must be at least 1")
        if self.standing and not self.late_joiners:
            raise KosError("a standing rollout takes late joiners", hint="leave one of the two out")
        if self.max_failure_rate is not None and not 0 < self.max_failure_rate <= 1:
            raise KosError("max_failure_rate must be above 0 and at most 1")
        if self.window is not None and not all(0 <= minute <= DAY_MINUTES for minute in self.window):
            raise KosError(f"a window is two minutes of the day, 0 to {DAY_MINUTES}")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        if "phases" in known:
            known["phases"] = tuple(known["phases"])
        if known.get("window") is not None:
            known["window"] = tuple(known["window"])
        return cls(**known)


def phase_size(phase: str, total: int) -> int:
    """How many of `total` devices a phase reaches; a share is rounded up, so that it is never nobody."""
    share = phase.removesuffix("%")
    try:
        number = float(share)
    except ValueError as error:
        raise KosError(f'a phase is a share like "10%" or a number, found {phase!r}') from error
    if not math.isfinite(number) or number <= 0 or (share != phase and number > 100):
        raise KosError(f"a phase reaches more than nobody and at most 100%, found {phase!r}")
    size = math.ceil(total * number / 100 - 1e-9) if share != phase else int(number)
    return min(max(size, 0), total)


def order(rollout_id: int, device_ids: Sequence[str]) -> list[str]:
    """Devices in the order of this rollout: by hash, so that no device is always the first one."""
    return sorted(device_ids, key=lambda one: hashlib.sha256(f"{rollout_id} {one}".encode()).digest())


def phases_of(plan: Plan, total: int) -> list[int]:
    """The phase of each position 0 … total-1. The last phase takes whoever is left over."""
    result: list[int] = []
    for index, phase in enumerate(plan.phases):
        result += [index] * (phase_size(phase, total) - len(result))
    return result + [len(plan.phases) - 1] * (total - len(result))


@dataclass(frozen=True)
class Member:
    """One device in the rollout, as `advance` sees it."""

    device: str
    phase: int
    state: str
    offered_at: float | None = None
    free: bool = True  # False: another rollout has it, or it is not accepted


@dataclass(frozen=True)
class Observed:
    """What a device says about the version that it was offered."""

    version: int
    state: str
    running: bool  # it runs the release


@dataclass(frozen=True)
class Decision:
    """What to do now."""

    state: str
    phase: int
    reason: str = ""
    phase_began: bool = False
    offer: tuple[str, ...] = ()
    time_out: tuple[str, ...] = ()
    withdraw: tuple[str, ...] = ()


def observe(state: str, offered_version: int, seen: Observed) -> str:
    """The state of a device under way, after what it says. Only the device's word makes it healthy."""
    if state not in UNDER_WAY or seen.version != offered_version:
        return state
    match seen.state:
        case "healthy":
            return HEALTHY if seen.running else state
        case "reverted" | "failed":
            return seen.state
        case "downloading" | "installed" | "booted":
            return seen.state
    return state


@dataclass
class Tally:
    """How many members are in which state."""

    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, members: Sequence[Member]) -> Tally:
        tally = cls()
        for member in members:
            tally.counts[member.state] = tally.counts.get(member.state, 0) + 1
        return tally

    def among(self, states: Sequence[str]) -> int:
        return sum(self.counts.get(state, 0) for state in states)


def too_many_failures(plan: Plan, members: Sequence[Member]) -> str:
    """Why the rollout must stop; "" when it need not."""
    tally = Tally.of(members)
    failed = max(0, tally.among(FAILURES) - plan.forgiven)
    finished = failed + tally.among((HEALTHY,))
    if plan.max_failures is not None and failed >= plan.max_failures:
        return f"{failed} devices failed, the limit is {plan.max_failures}"
    if plan.max_failure_rate is not None and finished >= min(plan.min_sample, len(members)) and failed:
        rate = failed / finished
        if rate > plan.max_failure_rate:
            return f"{failed} of {finished} devices failed, the limit is {plan.max_failure_rate:.0%}"
    return ""


def in_window(plan: Plan, at: float) -> bool:
    """Whether devices may get offers at this time (seconds since 1970)."""
    if plan.window is None:
        return True
    begin, end = plan.window
    minute = int(at // 60) % DAY_MINUTES
    return begin <= minute < end if begin <= end else minute >= begin or minute < end


def advance(
    plan: Plan,
    state: str,
    phase: int,
    phase_at: float,
    members: Sequence[Member],
    at: float,
    heard: float = math.inf,
) -> Decision:
    """What to do with a rollout at the time `at` (seconds). Deciding twice on the same facts is harmless.

    What devices said after `heard` is not known yet: none of them is silent because of it.
    """
    if state not in ACTIVE:
        return Decision(state, phase)
    late = tuple(
        one.device
        for one in members
        if one.state in UNDER_WAY
        and one.offered_at is not None
        and min(at, heard) - one.offered_at > plan.device_timeout
    )
    members = (
        [
            Member(one.device, one.phase, TIMED_OUT, one.offered_at, one.free)
            if one.device in set(late)
            else one
            for one in members
        ]
        if late
        else list(members)
    )
    if state != RUNNING:
        return Decision(state, phase, time_out=late)
    if reason := too_many_failures(plan, members):
        withdraw = tuple(one.device for one in members if one.state in (OFFERED, DOWNLOADING))
        return Decision(STOPPED, phase, reason, time_out=late, withdraw=withdraw)
    if not any(one.state in (PENDING, *UNDER_WAY) for one in members):
        return Decision(DONE, phase, time_out=late)
    began = False
    current = [one for one in members if one.phase <= phase]
    if phase + 1 < len(plan.phases) and not any(one.state in (PENDING, *UNDER_WAY) for one in current):
        last = phase_at
        if at - last >= plan.soak:
            phase, began = phase + 1, True
            current = [one for one in members if one.phase <= phase]
    offer: tuple[str, ...] = ()
    if in_window(plan, at):
        room = len(members)
        if plan.parallel:
            room = plan.parallel - Tally.of(members).among(UNDER_WAY)
        waiting = [one.device for one in current if one.state == PENDING and one.free]
        offer = tuple(waiting[: max(room, 0)])
    return Decision(state, phase, phase_began=began, offer=offer, time_out=late)


def step(state: str, action: str) -> str:
    """The rollout's state after a person's `action`. Raises KosError when it may not follow."""
    if action not in STEPS:
        raise KosError(f"no such action: {action!r}", hint="one of " + ", ".join(STEPS))
    allowed, result = STEPS[action]
    if state not in allowed:
        raise KosError(f"a rollout that is {state} cannot be {result}")
    return result
