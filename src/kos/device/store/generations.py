"""Generations: what a device has run and may run, and which one a start leads to. Pure.

A generation is a manifest and, where the update carried them, the boot and root parts in one of two slots. It
is on trial until the running system found itself healthy. One that is good stays so; one that failed says
why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.abi.records import asdict, dataclass, field, fields, replace

TRIAL, GOOD, FAILED = "trial", "good", "failed"
STATES = (TRIAL, GOOD, FAILED)
REASON_MAX = 400  # characters
GENERATIONS_KEPT = 3  # good ones, besides the current one's predecessor
RECORD_MAX = 64 << 10  # bytes of one record


@dataclass(frozen=True)
class Part:
    """A blob that fills a partition of a slot."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Generation:
    """One generation.

    Attributes:
        number: from 1, never used twice.
        manifest: SHA-256 of the manifest's bytes.
        release: as the manifest says it.
        slot: where its boot and root parts are; empty on the host platform.
        parts: `bootfs` and `root`, as far as they are known.
        state: on trial, good or failed.
        attempts: starts while it was on trial.
        reason: why it failed.
        base: SHA-256 of the release's manifest, where an overlay lies on it; empty without one.
        overlay: SHA-256 of the overlay; empty without one.
        ticket: what whoever asked for it called it, so that it can ask again what became of it.
    """

    number: int
    manifest: str
    release: str
    slot: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)
    state: str = TRIAL
    attempts: int = 0
    reason: str = ""
    base: str = ""
    overlay: str = ""
    ticket: str = ""

    def failed(self, reason: str) -> Generation:
        return replace(self, state=FAILED, reason=reason[:REASON_MAX])

    def dump(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode() + b"\n"


def load(data: bytes, where: str) -> Generation:
    """A generation's record.

    Raises:
        KosError: it is not one.
    """
    try:
        if len(data) > RECORD_MAX:
            raise ValueError(f"{len(data)} bytes, at most {RECORD_MAX}")
        found: dict[str, Any] = json.loads(data)
        found["parts"] = {name: Part(**part) for name, part in found["parts"].items()}
        # A newer system may have written more than we know; its record stays readable after a fall-back.
        known = (one.name for one in fields(Generation))
        generation = Generation(**{name: found[name] for name in known if name in found})
        if generation.state not in STATES:
            raise ValueError(f"state {generation.state!r}")
        return generation
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise KosError(f"not a generation's record: {error}", where=where) from error


@dataclass(frozen=True)
class Choice:
    """What a start leads to.

    Attributes:
        run: number of the generation to run; 0 where there is none.
        changed: generations whose record changes first, by number.
        reboot_to: the slot to start instead, because no good generation lives in this one; empty otherwise.
    """

    run: int
    changed: Mapping[int, Generation]
    reboot_to: str = ""


def choose(
    generations: Mapping[int, Generation],
    current: int,
    slot: str,
    attempts_allowed: int,
    note: str = "",
    *,
    passed_over: bool = False,
) -> Choice:
    """The generation to run.

    Args:
        generations: all that the store holds.
        current: what the current link names; 0 where it names none.
        slot: the slot that the boot loader started; empty on the host platform.
        attempts_allowed: starts that a generation on trial has; 0 is without end.
        note: what the slot that did not start left behind.
        passed_over: the boot loader was to start the other slot, and could not.
    """
    changed: dict[int, Generation] = {}
    if passed_over:
        # Good ones too: to send the device back there would be without end.
        for number, one in generations.items():
            if one.slot != slot and one.state != FAILED:
                changed[number] = one.failed(_without_end(one, note))
        generations = {**generations, **changed}
    here = {number: one for number, one in generations.items() if one.slot == slot}
    elsewhere = {
        number: one for number, one in generations.items() if one.slot != slot and one.state == TRIAL
    }
    now = generations.get(current)
    if now is not None and now.number in here and now.state != FAILED:
        # We are where the current generation lives: a newer one that waits in the other slot did not start.
        for number, one in elsewhere.items():
            if number > current:
                changed[number] = one.failed(_without_end(one, note))
    candidates = [now] if now is not None and now.number in here else []
    # A trial in this slot that `current` does not name yet: an update of the slot that completes by this
    # start.
    waiting = [one for one in here.values() if one.state == TRIAL and one.number != current]
    if now is None or now.number not in here:
        candidates = sorted(waiting, key=lambda one: -one.number)
    for one in candidates:
        if one.state == GOOD:
            return Choice(one.number, changed)
        if one.state == TRIAL:
            if not attempts_allowed or one.attempts < attempts_allowed:
                changed[one.number] = replace(one, attempts=one.attempts + 1)
                return Choice(one.number, changed)
            changed[one.number] = one.failed(f"did not become healthy in {one.attempts} starts")
    return _fall_back(generations, here, changed)


def _without_end(one: Generation, note: str) -> str:
    """Why a trial in the other slot is over, though it said nothing itself."""
    if not one.attempts:
        return f"slot {one.slot} did not start" + (f": {note}" if note else "")
    return f"slot {one.slot} started and did not get to where it could say whether it is healthy"


def _fall_back(
    generations: Mapping[int, Generation], here: Mapping[int, Generation], changed: dict[int, Generation]
) -> Choice:
    good = [number for number, one in here.items() if one.state == GOOD]
    if good:
        return Choice(max(good), changed)
    away = [one for one in generations.values() if one.state == GOOD]
    if away:
        return Choice(0, changed, reboot_to=max(away, key=lambda one: one.number).slot)
    # Nothing was ever good: the newest that we have is better than none.
    return Choice(max(here, default=0), changed)


def keep(generations: Mapping[int, Generation], current: int) -> set[int]:
    """Numbers of the generations that garbage collection keeps: the current one, trials, and the newest good
    ones.
    """
    good = sorted((number for number, one in generations.items() if one.state == GOOD), reverse=True)
    trials = {number for number, one in generations.items() if one.state == TRIAL}
    failed = {number for number, one in generations.items() if one.state == FAILED and number > current}
    newest_failed = max((n for n, one in generations.items() if one.state == FAILED), default=0)
    return {current, newest_failed, *good[:GENERATIONS_KEPT], *trials, *failed} - {0}
