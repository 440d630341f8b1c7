"""How long data is kept: by rules of the organisation, and never longer than the server says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from kos.abi.errors import KosError
from kos.server.core.data.retention import DAY, RULES_MAX, check_pattern, rule_for, sweep
from kos.server.core.db.database import Database
from kos.server.core.db.models import (
    Device,
    DeviceEvent,
    LogLine,
    Organisation,
    Point,
    RetentionRule,
    Series,
    now,
)
from kos.server.settings import Settings
from tests.server.running import Server

pytestmark = pytest.mark.group("server")

STREAMS = ("sensor/temperature", "sensor/raw/x", "device/load")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Two organisations, each with a device that sent one of everything 1, 5 and 40 days ago."""
    made = Database(f"sqlite:///{tmp_path / 'x.db'}")
    made.migrate()
    with made.write() as session:
        for number in (1, 2):
            session.add(Organisation(id=number, slug=f"o{number}", name="", created_at=now()))
            session.flush()
            device: Any = {"device_id": f"{number}" * 32}
            session.add(
                Device(
                    id=device["device_id"],
                    organisation_id=number,
                    public_key="U",
                    status="accepted",
                    name="",
                    tags=[],
                    created_at=now(),
                )
            )
            session.flush()
            series = [Series(**device, name=name) for name in STREAMS]
            session.add_all(series)
            session.flush()
            for days in (1, 5, 40):
                at = now() - days * DAY
                session.add_all(Point(series_id=one.id, at=at, value=days) for one in series)
                session.add(LogLine(**device, at=at, boot="b", seconds=days, app="a", text=""))
                session.add(DeviceEvent(**device, at=at, kind="k", app="a", text=str(days)))
    yield made
    made.close()


def kept(database: Database, organisation: int) -> dict[str, list[int]]:
    """Days of what is left, by stream."""
    device = f"{organisation}" * 32
    with database.read() as session:
        found: dict[str, list[int]] = {}
        for name in STREAMS:
            chosen = select(Point.value).join(Series, Series.id == Point.series_id)
            chosen = chosen.where(Series.device_id == device, Series.name == name).order_by(Point.value)
            found[name] = [int(value) for value in session.scalars(chosen)]
        lines = select(LogLine.seconds).where(LogLine.device_id == device).order_by(LogLine.seconds)
        found["@console"] = [int(seconds) for seconds in session.scalars(lines)]
        events = select(DeviceEvent.text).where(DeviceEvent.device_id == device)
        found["@events"] = sorted(int(text) for text in session.scalars(events))
        return found


def rules(database: Database, organisation: int, **days: float) -> None:
    with database.write() as session:
        for pattern, number in days.items():
            session.add(RetentionRule(organisation_id=organisation, pattern=pattern, days=number))


def test_rules_are_an_organisations_own(database: Database, tmp_path: Path) -> None:
    rules(database, 1, **{"sensor/*": 3, "sensor/raw/*": 0.5, "@console": 3})
    assert not sweep(Settings(data=tmp_path), database)
    assert kept(database, 1) == {
        "sensor/temperature": [1],
        "sensor/raw/x": [],
        "device/load": [1, 5],
        "@console": [1],
        "@events": [1, 5],
    }
    assert set(map(tuple, kept(database, 2).values())) == {(1, 5)}, "the server's maximum alone"


def test_no_rule_keeps_longer_than_the_server(database: Database, tmp_path: Path) -> None:
    rules(database, 1, **{"*": 365})
    sweep(Settings(data=tmp_path, retention_days=3), database)
    assert set(map(tuple, kept(database, 1).values())) == {(1,)}


def test_a_star_alone_means_everything(database: Database, tmp_path: Path) -> None:
    rules(database, 2, **{"*": 3, "@events": 10})
    sweep(Settings(data=tmp_path), database)
    found = kept(database, 2)
    assert found.pop("@events") == [1, 5], "the longer pattern counts"
    assert set(map(tuple, found.values())) == {(1,)}


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("a*", "a", True),
        ("*a", "ba", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "acb", False),
        ("*b*", "abc", True),
        ("a.c", "abc", False),
        ("**", "", True),
    ],
)
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    assert (rule_for([(pattern, 1.0)], name) == 1.0) is matches


def test_a_pattern_of_many_stars_is_judged_at_once() -> None:
    assert rule_for([("*a" * 60 + "*b", 1.0)], "a" * 128) is None


def test_what_is_no_pattern_is_refused() -> None:
    for good in ("sensor/*", "@console", "@events", "a" * 128):
        assert check_pattern(good) == good
    for wrong in ("", "@other", "a b", "a" * 129, "a?", "x\n"):
        with pytest.raises(KosError, match="not a pattern"):
            check_pattern(wrong)


def test_rules_by_the_api(fleet: Server) -> None:
    client = fleet.login()
    path = "/api/v1/retention"
    first = client.put(path, json={"pattern": "sensor/*", "days": 7}).json()
    again = client.put(path, json={"pattern": "sensor/*", "days": 3}).json()
    assert again == {**first, "days": 3}
    too_long = client.put(path, json={"pattern": "x", "days": 31})
    assert too_long.status_code == 400 and "30 days at most" in too_long.json()["detail"]
    for number in range(RULES_MAX - 1):
        client.put(path, json={"pattern": f"x{number}", "days": 1}).raise_for_status()
    assert client.put(path, json={"pattern": "one-more", "days": 1}).status_code == 409
    assert client.delete(f"{path}/{first['id']}").status_code == 204
    found = client.get(path).json()
    assert found["days_max"] == 30 and len(found["rules"]) == RULES_MAX - 1
    assert "x7" in client.get("/data").text
