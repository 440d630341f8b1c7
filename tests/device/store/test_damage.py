"""Damage that no power cut explains: worn flash, a full or broken storage. A device starts what is whole."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.device.init import main as process1
from kos.device.store import bootrecord
from kos.device.store.filesystem import FileSystem
from kos.device.store.generations import FAILED, GOOD, TRIAL, Generation
from kos.device.store.store import Store
from kos.device.upgrade.slots import Slots
from kos.manifest import Context, codec

HUGE = 1 << 70  # a generation's number has no end


class Device:
    """Store and slots in a folder, with generations 1 and 2, both good; the second one is current."""

    def __init__(self, folder: Path) -> None:
        (folder / "dev").mkdir()
        names = [f"{part}-{slot}" for part in ("bootfs", "root") for slot in bootrecord.SLOTS]
        for name in names:
            (folder / "dev" / name).write_bytes(bytes(4096))
        self.env = folder / "dev/env"
        self.env.write_bytes(bootrecord.partition_image())
        places = {name: folder / "dev" / name for name in [*names, "env"]}
        self.slots = Slots("a", places, FileSystem())
        self.store = Store(folder / "store")
        self.store.recover()
        for number in (1, 2):
            self.add(number, GOOD)
        self.store.move_current(2)

    def add(self, number: int, state: str) -> None:
        release = f"1.{number}.0"
        document = codec.dump(Context("small", release=release).manifest())
        sha256 = self.store.add_manifest(document, {})
        self.store.put_generation(Generation(number, sha256, release, "a", {}, state))

    def record(self, number: int) -> Path:
        return self.store.root / "generations" / str(number) / "record.json"

    def manifest(self, number: int) -> Path:
        return self.store.root / "manifests" / f"{self.store.generations()[number].manifest}.json"

    def pick(self) -> int:
        """The number of the generation that process 1 starts."""
        return process1.pick(self.store, self.slots)[0].number


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_a_boot_record_of_which_nothing_is_left_begins_anew(device: Device) -> None:
    device.env.write_bytes(bytes(bootrecord.PARTITION_SIZE))
    assert device.pick() == 2
    assert device.slots.record().take()[0] == "a"
    with device.env.open("rb") as file:
        for offset in bootrecord.COPY_OFFSETS:
            file.seek(offset)
            assert bootrecord.decode(file.read(bootrecord.COPY_SIZE)).good == "a"


@pytest.mark.parametrize("index", [0, 1])
def test_one_damaged_copy_of_the_boot_record_is_no_reason_to_write(device: Device, index: int) -> None:
    with device.env.open("r+b") as file:
        file.seek(bootrecord.COPY_OFFSETS[index])
        file.write(b"\xff" * 100)
    before = device.env.read_bytes()
    assert device.pick() == 2
    assert device.env.read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"number": 2}', "[" * 60000, "\xff"])
def test_a_damaged_record_costs_its_generation_only(device: Device, text: str) -> None:
    device.record(2).write_text(text, "latin-1")
    assert device.pick() == 1
    assert device.store.next_number() == 3, "its number is not used again"
    assert "generations/2" in device.store.collect({1: []})


def test_a_damaged_manifest_costs_its_generation_only(device: Device) -> None:
    device.manifest(2).write_bytes(b"{}")
    assert device.pick() == 1
    failed = device.store.generations()[2]
    assert failed.state == FAILED and "damaged" in failed.reason
    assert device.pick() == 1


def test_where_every_manifest_is_damaged_the_device_says_so_and_does_not_turn_round_for_ever(
    device: Device,
) -> None:
    for number in (1, 2):
        device.manifest(number).unlink()
    with pytest.raises(KosError, match="the manifest cannot be read"):
        device.pick()


def test_a_current_link_that_is_none_is_no_obstacle(device: Device) -> None:
    (device.store.root / "current").unlink()
    (device.store.root / "current").write_text("2")
    assert device.pick() == 2


def test_a_full_storage_does_not_keep_a_trial_or_the_way_back_from_starting(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.add(3, TRIAL)
    device.store.move_current(3)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(FileSystem, "write", full)
    assert device.pick() == 3
    monkeypatch.undo()
    for _ in range(3):
        assert device.pick() == 3
    monkeypatch.setattr(FileSystem, "write", full)
    assert device.pick() == 2, "its attempts are over, though nobody could write that down"


def test_numbers_go_on_beyond_any_size(device: Device) -> None:
    device.add(HUGE, GOOD)
    device.store.move_current(HUGE)
    assert device.pick() == HUGE
    assert device.store.next_number() == HUGE + 1


def test_no_clock_is_needed(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board without a battery begins in 1970, or anywhere."""

    def none() -> float:
        raise AssertionError("asked what time it is")

    monkeypatch.setattr(time, "time", none)
    device.add(3, TRIAL)
    device.store.move_current(3)
    os.utime(device.record(3), (0, 0))
    assert device.pick() == 3
