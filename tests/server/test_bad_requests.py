"""Bad words and files for every command of the servers, against a real one: refused, said, and no bug."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kos.server.core.auth.permissions import ROLES
from tests.server.devices import park
from tests.server.running import Server, wait_for
from tests.tool.sweep import goods
from tests.tool.sweep.attempt import attempt, refused
from tests.tool.sweep.entries import SERVER_ENTRIES
from tests.tool.sweep.kinds import STRANGE, Text
from tests.tool.sweep.lines import beside, goods_of, inside, line
from tests.tool.sweep.places import place

__all__ = ["place"]
pytestmark = pytest.mark.group("server")

OUT_OF_RANGE = {
    "parallel": ("-1",),
    "max_failures": ("-1",),
    "max_failure_rate": ("-0.1", "2", "nan", "inf"),
    "timeout": ("-1", "nan", "inf", "1e30"),
    "soak": ("-1", "nan", "inf", "1e30"),
    "phases": ("0%", "101%", "ten", "-1", ""),
    "priority": ("9" * 15,),
}


@pytest.fixture(scope="module")
def known(fleet: Server, studio: Server) -> Iterator[dict[str, str]]:
    """What commands name, of servers that have one of each; and the token to speak with Fleet."""
    admin = fleet.login()
    scopes = sorted(ROLES["admin"])
    token = admin.post("/api/v1/tokens", json={"name": "sweep", "scopes": scopes}).raise_for_status().json()
    kind = {"content-type": "application/zip"}
    admin.post("/api/v1/releases", content=goods.archive(), headers=kind).raise_for_status()
    overlay = {"name": "faster", "document": {"settings": {"heartbeat": 5}}}
    admin.post("/api/v1/overlays", json=overlay).raise_for_status()
    with park() as devices, studio.client() as developer:
        (device,) = devices.add(1, fleet.bus_port, salt="sweep")
        (other,) = devices.add(1, studio.bus_port, salt="free")
        path = f"/api/v1/devices/{device.id}"
        wait_for(lambda: admin.get(path).is_success, "the device waits")
        wait_for(lambda: developer.get(f"/api/v1/devices/{other.id}").is_success, "the other one is there")
        admin.post(f"{path}/accept").raise_for_status()
        yield {"token": token["token"], "device": device.id, "other": other.id}


@pytest.fixture
def spoken_with(
    fleet: Server, known: dict[str, str], monkeypatch: pytest.MonkeyPatch, place: Path
) -> dict[str, str]:
    """The same, when commands speak with that server by themselves."""
    monkeypatch.setenv("KOS_SERVER_URL", fleet.url)
    monkeypatch.setenv("KOS_SERVER_TOKEN", known["token"])
    return known


def good_of(name: str, place: Path, known: dict[str, str]) -> dict[str, str]:
    good = goods_of(SERVER_ENTRIES[name].kinds, place)
    return {one: known["device"] if one == "device" else value for one, value in good.items()}


REQUIRED = {"email": "a@b.example", "password": "a password of the tests"}


@pytest.mark.parametrize("name", SERVER_ENTRIES)
def test_words(
    name: str, place: Path, capfd: pytest.CaptureFixture[str], spoken_with: dict[str, str]
) -> None:
    entry, faults = SERVER_ENTRIES[name], []
    good = good_of(name, place, spoken_with)
    for one, kind in entry.kinds.items():
        if isinstance(kind, Text) and not kind.free:
            for word in (*STRANGE, *kind.refused):
                words = line(name, beside(name, entry, one, good) | {one: word})
                faults += refused(capfd, place, words)
    assert not faults, f"{len(faults)}\n" + "\n\n".join(faults)


@pytest.mark.parametrize("name", SERVER_ENTRIES)
def test_words_that_may_be_taken(
    name: str,
    place: Path,
    capfd: pytest.CaptureFixture[str],
    spoken_with: dict[str, str],
    studio: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They change what the server has, so they are asked of another one."""
    monkeypatch.setenv("KOS_SERVER_URL", studio.url)
    entry, faults = SERVER_ENTRIES[name], []
    good = good_of(name, place, {"device": spoken_with["other"]})
    for one, kind in entry.kinds.items():
        if isinstance(kind, Text) and kind.free:
            given = beside(name, entry, one, good)
            given |= {each: REQUIRED[each] for each in REQUIRED if each in entry.kinds and each != one}
            for word in STRANGE:
                done = attempt(capfd, words := line(name, given | {one: word}))
                if done.code not in (0, 1) or "Traceback" in done.err:
                    faults.append(f"{words}: {done.code} {done.err[-500:]}")
    assert not faults, f"{len(faults)}\n" + "\n\n".join(faults)


@pytest.mark.parametrize("name", [one for one in SERVER_ENTRIES if one.startswith("server.rollouts.")])
def test_a_rollout_that_is_not_there(
    name: str, place: Path, capfd: pytest.CaptureFixture[str], spoken_with: dict[str, str]
) -> None:
    faults = []
    if name == "server.rollouts.create":
        for one, values in OUT_OF_RANGE.items():
            for value in values:
                faults += refused(capfd, place, line(name, {"release": "0.0.0", one: value}))
    elif name != "server.rollouts.list":
        for number in ("0", "-1", "999", str(1 << 60)):
            faults += refused(capfd, place, line(name, {"rollout": number}))
    assert not faults, f"{len(faults)}\n" + "\n\n".join(faults)


@pytest.mark.parametrize(
    "name",
    [
        one
        for one in SERVER_ENTRIES
        if any(not isinstance(k, Text) for k in SERVER_ENTRIES[one].kinds.values())
    ],
)
def test_files(
    name: str, place: Path, capfd: pytest.CaptureFixture[str], spoken_with: dict[str, str]
) -> None:
    entry, faults = SERVER_ENTRIES[name], []
    good = good_of(name, place, spoken_with)
    for number, (one, kind) in enumerate(entry.kinds.items()):
        if isinstance(kind, Text):
            continue
        corner = place / f"bad {number}"
        corner.mkdir()
        for path in kind.bad(corner):
            words = line(name, beside(name, entry, one, good) | {one: inside(path)})
            faults += refused(capfd, place, words)
    assert not faults, f"{len(faults)}\n" + "\n\n".join(faults)
