"""The same on the real device: QEMU logs every write and flush of two upgrades, one of an app and one of the
kernel, from the first request to the confirmation after the restart; U-Boot's own writes are among them.

At each of some hundreds of points the disk is what a power cut would leave: the device's own code says which
system starts from it, other people's tools read it, and some of these disks are booted to see that it was
right.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from kos.build.image import modules, qemu, system
from kos.build.sdk.install import Sdk, Wanted
from kos.device.store import bootrecord
from kos.manifest import PlatformSpec
from kos.platforms import board
from tests.integration.qemu_device import (
    KEEPING,
    PLATFORM,
    STEADY,
    archive,
    needs_sdk,
    new_machine,
    powered,
    project,
    push,
)

from .at_rest import AtRest, images_of, partitions
from .blocklog import BlockLog, Replay

pytestmark = [pytest.mark.group("powercut"), pytest.mark.timeout(1500)]

POINTS = 150  # in each upgrade, where there are so many
OPTIONS = "disable_signing=True, data_size=48 << 20"


@dataclass(frozen=True)
class Upgrade:
    """The requests of one upgrade: from `first` up to `end`."""

    what: str
    old: str
    new: str
    first: int
    end: int


def archives(folder: Path, sdk: Sdk) -> list[Path]:
    """Three releases: the second changes an app, the third kernel and root."""
    facts = board(PlatformSpec.parse(PLATFORM))
    kernel = modules.Kernel(sdk.folder(Wanted(facts.kernel_set, "arm64")))
    bootfs = folder / "bootfs.img"
    system.bootfs(facts, kernel, f"console={facts.console} {system.KERNEL_ARGUMENTS} kos.mark=new", bootfs)
    parts = {"bootfs": bootfs, "root": system.build(facts, sdk).root}
    apps = {"alpha": KEEPING.format(text="alpha one"), "beta": STEADY.format(text="beta one")}
    first = archive(project(folder / "one", apps, "1.0.0", OPTIONS), folder / "one.zip")
    apps["beta"] = STEADY.format(text="beta two")
    second = archive(project(folder / "two", apps, "1.1.0", OPTIONS), folder / "two.zip")
    third = archive(project(folder / "three", apps, "1.2.0", OPTIONS), folder / "three.zip", parts=parts)
    return [first, second, third]


def record(machine: qemu.Machine, releases: list[Path], log: Path, folder: Path) -> list[Upgrade]:
    """Do both upgrades on a device that logs its writes."""
    log.touch()
    machine.drive = (
        f"if=none,id=disk,driver=blklogwrites,file.driver=raw,file.file.driver=file,"
        f"file.file.filename={machine.disk},log.driver=file,log.filename={log},log-sector-size=512"
    )
    with powered(machine) as device:
        device.wait_for("healthy: generation 1")
        first = len(BlockLog(log).entries)
        events, _ = push(device, releases[1], folder)
        assert events[-1]["event"] == "healthy"
        second = len(BlockLog(log).entries)
        events, _ = push(device, releases[2], folder)
        assert events[-1]["reboot"]
        device.wait_for("healthy: generation 3")
        # The confirmation comes before these words.
        end = len(BlockLog(log).entries)
    machine.drive = ""
    return [
        Upgrade("apps", "1.0.0", "1.1.0", first, second),
        Upgrade("system", "1.1.0", "1.2.0", second, end),
    ]


def points(log: BlockLog, upgrade: Upgrade, env: list[int], chance: random.Random) -> list[int]:
    """Where to cut: at writes of the boot record, before and after flushes, and anywhere."""
    flushes = log.flushes(upgrade.first, upgrade.end)
    every = {point for number in flushes for point in (number, number + 1)}
    certain = {number + 1 for number in env} | set(chance.sample(sorted(every), min(len(every), POINTS // 2)))
    others = sorted(set(range(upgrade.first, upgrade.end + 1)) - certain)
    return sorted(certain | set(chance.sample(others, min(len(others), max(0, POINTS - len(certain))))))


def kind_of(log: BlockLog, point: int, places: dict[str, tuple[int, int]]) -> str:
    """What the last request before a cut was."""
    entry = log.entries[point - 1]
    inside = [name for name, (at, size) in places.items() if at <= entry.offset < at + size]
    return f"write {inside[0] if inside else 'elsewhere'}" if entry.size else "flush"


def test_a_device_survives_cuts_at_the_block_layer(tmp_path, figures):
    sdk = needs_sdk()
    releases = archives(tmp_path, sdk)
    machine = new_machine(releases[0], tmp_path / "machine")
    fresh = tmp_path / "fresh.img"
    subprocess.run(["cp", "--sparse=always", machine.disk, fresh], check=True)
    upgrades = record(machine, releases, tmp_path / "writes.log", tmp_path)
    log, places = BlockLog(tmp_path / "writes.log"), partitions(fresh)
    device = AtRest(places, images_of(releases, tmp_path), {"alpha/kept": b"kept"}, tmp_path / "look")
    replay = Replay(log, fresh)
    rows, booted = [], []
    for upgrade in upgrades:
        for name in ("kos-boot", "kos-bootfs-a", "kos-root-a"):
            assert not log.touching(upgrade.first, upgrade.end, *places[name]), (
                f"{name} runs, and was written"
            )
        env = log.touching(upgrade.first, upgrade.end, *places[bootrecord.PARTITION])
        chosen = points(log, upgrade, env, random.Random(upgrade.first))
        # In the middle of the new root, and right after U-Boot's own write of the record, the last but one.
        root = log.touching(upgrade.first, upgrade.end, *places["kos-root-b"])
        tried = {root[len(root) // 2] + 1, env[-2] + 1} if root else set()
        chosen = sorted({*chosen, *tried})
        outcomes: Counter[tuple[str, str]] = Counter()
        for point in chosen:
            with replay.cut(point, random.Random(point)) as disk:
                found = device.start(disk)
                assert found.release in (upgrade.old, upgrade.new), f"after request {point}"
                outcomes[kind_of(log, point, places), found.release] += 1
                if upgrade.what == "system" and point in tried:
                    booted.append((found, tmp_path / f"cut-{point}.img"))
                    subprocess.run(["cp", "--sparse=always", disk, booted[-1][1]], check=True)
        flushes = len(log.flushes(upgrade.first, upgrade.end))
        rows.append(
            f"{upgrade.what}: {upgrade.end - upgrade.first} requests, {flushes} flushes, {len(env)} of "
            f"the boot record, {len(chosen)} cuts; request before the cut: old / new generation runs"
        )
        for kind in sorted({kind for kind, _ in outcomes}):
            rows.append(f"  {kind:<20} {outcomes[kind, upgrade.old]:>5} / {outcomes[kind, upgrade.new]}")
        assert {release for _, release in outcomes} == {upgrade.old, upgrade.new}
    for expected, disk in booted:
        shutil.move(disk, machine.disk)
        with powered(machine) as running:
            at = running.wait_for(
                rf"generation {expected.number} \(.*release {expected.release}, slot {expected.slot}"
            )
            running.wait_for(r"apps ready after", at)
            running.all_ready()
        rows.append(f"booted: generation {expected.number}, release {expected.release}, as foreseen")
    figures("\n".join(rows))
