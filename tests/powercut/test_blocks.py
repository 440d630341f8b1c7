"""The same on the real device: QEMU logs every write and flush of an upgrade, and the disk as a cut at many
of them would leave it is repaired by e2fsck, read by debugfs and, for a few, booted.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from kos.build.image.device import DATA_SIZE
from kos.build.image.run import find
from kos.device.store import generations
from kos.device.store.store import Store
from kos.device.upgrade.installer import app_images
from kos.manifest import codec
from tests.integration.qemu_device import STEADY, archive, needs_sdk, new_machine, powered, project, push

from .blocklog import FLUSH, BlockLog

pytestmark = [pytest.mark.group("powercut"), pytest.mark.timeout(900)]

POINTS = 60  # disks that are looked at
BOOTS = 2  # of them, that are booted


def test_a_device_survives_cuts_at_the_block_layer(tmp_path, capsys):
    needs_sdk()
    apps = {"alpha": STEADY.format(text="alpha one"), "beta": STEADY.format(text="beta one")}
    first = archive(project(tmp_path / "one", apps, "1.0.0"), tmp_path / "one.zip")
    apps["beta"] = STEADY.format(text="beta two")
    second = archive(project(tmp_path / "two", apps, "1.1.0"), tmp_path / "two.zip")
    machine = new_machine(first, tmp_path / "machine")
    log_path, disk = tmp_path / "writes.log", machine.disk
    fresh = tmp_path / "fresh.img"
    subprocess.run(["cp", "--sparse=always", disk, fresh], check=True)
    log_path.touch()
    machine.drive = (
        f"if=none,id=disk,driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename={disk},"
        f"log.driver=file,log.filename={log_path},log-sector-size=512"
    )
    with powered(machine) as device:
        device.wait_for("healthy: generation 1")
        before = len(BlockLog(log_path).entries)
        events, _ = push(device, second, tmp_path)
        assert events[-1]["event"] == "healthy"
    machine.drive = ""
    log = BlockLog(log_path)
    upgrade = range(before, len(log.entries) + 1)
    chance = random.Random(before)
    flushes = [number + 1 for number in upgrade[:-1] if log.entries[number].flags & FLUSH]
    points = sorted({*flushes[:POINTS], *chance.sample(upgrade, min(len(upgrade), POINTS))})[:POINTS]

    start = fresh.stat().st_size - DATA_SIZE - (1 << 20)
    outcomes: Counter[str] = Counter()
    for point in points:
        release = _release(log, log.cut(point, random.Random(point)), fresh, start, tmp_path / "look")
        outcomes[release] += 1
    with capsys.disabled():
        print(f"\n{len(upgrade) - 1} requests in the upgrade, {len(flushes)} flushes, {len(points)} cuts:")
        for release, count in sorted(outcomes.items()):
            print(f"  {release} runs: {count}")
    assert set(outcomes) == {"1.0.0", "1.1.0"}
    for point in (points[len(points) // 2], points[-1])[:BOOTS]:
        subprocess.run(["cp", "--sparse=always", fresh, disk], check=True)
        log.write_out(log.cut(point, random.Random(point)), disk, 0, disk.stat().st_size)
        with powered(machine) as device:
            device.wait_for(r"generation [12] \(.*release 1\.[01]\.0")
            device.wait_for(r"7 of 7 apps ready|6 of 6 apps ready")


def _release(log: BlockLog, entries: list, fresh: Path, start: int, folder: Path) -> str:
    """The release that a start from this data partition leads to, after what it needs was found whole."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    data = folder / "data.img"
    with fresh.open("rb") as source, data.open("wb") as target:
        target.truncate(DATA_SIZE)
        at = start
        while at < start + DATA_SIZE:
            source.seek(at)
            block = source.read(1 << 20)
            if block.count(0) != len(block):
                target.seek(at - start)
                target.write(block)
            at += 1 << 20
    log.write_out(entries, data, start, DATA_SIZE)
    done = subprocess.run([find("e2fsck"), "-fy", str(data)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout
    command = [find("debugfs"), "-R", f"rdump /store {folder}", str(data)]
    subprocess.run(command, capture_output=True, check=True)
    store = Store(folder / "store")
    store.recover()
    choice = generations.choose(store.generations(), store.current(), "a", 3)
    generation = store.generations()[choice.run]
    manifest = codec.load(store.manifest(generation))
    for sha256 in app_images(manifest):
        assert any(path.suffix == ".py" and path.stat().st_size for path in store.image(sha256).rglob("*"))
    return generation.release
