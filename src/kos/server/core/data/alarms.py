"""Alarms: a threshold to raise, another one to clear, and how long the value must stay past it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from kos.server.core.db.models import Alarm, AlarmRule, Device
from kos.server.core.devices.query import matching
from kos.server.core.notify.events import Occurrence, enqueue


@dataclass
class Watch:
    """One rule on one device."""

    raised: bool = False
    beyond_since: int | None = None

    def step(self, rule: AlarmRule, value: float, at: int) -> bool | None:
        """Take one value: True raises, False clears, None leaves it as it is."""
        beyond = value > rule.raise_at if rule.above else value < rule.raise_at
        back = value <= rule.clear_at if rule.above else value >= rule.clear_at
        if self.raised:
            if back:
                self.raised, self.beyond_since = False, None
                return False
            return None
        if not beyond:
            self.beyond_since = None
            return None
        if self.beyond_since is None:
            self.beyond_since = at
        if at - self.beyond_since >= rule.hold * 1000:
            self.raised = True
            return True
        return None


class AlarmBook:
    """All watches; lives in the process that ingests."""

    def __init__(self) -> None:
        self._rules: dict[str, list[tuple[AlarmRule, frozenset[str] | None]]] = {}
        self._watches: dict[tuple[int, str], Watch] = {}
        self._organisations: dict[str, int] = {}

    def load(self, session: Session) -> None:
        """Read rules and open alarms; called now and then, since people change them."""
        self._rules = {}
        for rule in session.scalars(select(AlarmRule)):
            devices = None
            if rule.target.strip() not in ("", "*"):
                devices = frozenset(
                    row.id for row in session.scalars(matching(rule.organisation_id, rule.target))
                )
            self._rules.setdefault(rule.series, []).append((rule, devices))
        if self._rules:
            self._organisations = dict(session.execute(select(Device.id, Device.organisation_id)).all())
        known = {rule.id for rules in self._rules.values() for rule, _ in rules}
        self._watches = {key: watch for key, watch in self._watches.items() if key[0] in known}
        for rule_id, device in session.execute(
            select(Alarm.rule_id, Alarm.device_id).where(Alarm.cleared_at.is_(None))
        ):
            self._watches.setdefault((rule_id, device), Watch()).raised = True

    def take(self, session: Session, rows: Iterable[tuple[str, str, int, float]]) -> set[str]:
        """Judge new points and notify; says which devices have a changed alarm."""
        changes: list[tuple[AlarmRule, Alarm]] = []
        for device, series, at, value in rows if self._rules else ():
            for rule, devices in self._rules.get(series, ()):
                if self._organisations.get(device) != rule.organisation_id:
                    continue
                if devices is not None and device not in devices:
                    continue
                result = self._watches.setdefault((rule.id, device), Watch()).step(rule, value, at)
                if result is None:
                    continue
                if result:
                    alarm = Alarm(rule_id=rule.id, device_id=device, raised_at=at, value=value)
                    session.add(alarm)
                    changes.append((rule, alarm))
                    continue
                open_ones = select(Alarm).where(
                    Alarm.rule_id == rule.id, Alarm.device_id == device, Alarm.cleared_at.is_(None)
                )
                for alarm in session.scalars(open_ones):
                    alarm.cleared_at = at
                    changes.append((rule, alarm))
        session.flush()
        _notify(session, changes)
        return {alarm.device_id for _, alarm in changes}


def _notify(session: Session, changes: list[tuple[AlarmRule, Alarm]]) -> None:
    names: dict[str, str] = {}
    devices = sorted({alarm.device_id for _, alarm in changes})
    for start in range(0, len(devices), 500):
        chosen = select(Device.id, Device.name).where(Device.id.in_(devices[start : start + 500]))
        names |= dict(session.execute(chosen).all())
    told: dict[int, list[Occurrence]] = {}
    for rule, alarm in changes:
        told.setdefault(rule.organisation_id, []).append(
            _occurrence(rule, alarm, names.get(alarm.device_id, alarm.device_id))
        )
    for organisation, occurrences in told.items():
        enqueue(session, organisation, occurrences)


def _occurrence(rule: AlarmRule, alarm: Alarm, name: str) -> Occurrence:
    raised = alarm.cleared_at is None
    return Occurrence(
        kind="alarm.raised" if raised else "alarm.cleared",
        severity=rule.severity,
        title=f"{rule.name}: {name}"
        + (f", {rule.series} is {alarm.value:.6g}" if raised else " is fine again"),
        at=alarm.raised_at if raised else alarm.cleared_at or alarm.raised_at,
        detail={
            "alarm": alarm.id,
            "rule": rule.name,
            "device": alarm.device_id,
            "device_name": name,
            "series": rule.series,
            "value": alarm.value,
        },
    )
