"""Debian's U-Boot runs our script on every kind of boot record, and does what the device's own code says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kos.build.image import bootscript, disk, flash
from kos.device.store import bootrecord
from kos.device.store.bootrecord import BootRecord
from kos.manifest import PlatformSpec
from kos.platforms import board

from .qemu_device import needs_sdk
from .uboot import u_boot

pytestmark = [pytest.mark.group("qemu"), pytest.mark.timeout(1200)]

MIB = 1 << 20
# Says which slot was started, and stays.
SLOT = 'echo "started slot ${kos_slot} end"\nwhile true; do sleep 1; done\n'
SEEDS = 6


def small_disk(folder: Path, platform: str) -> tuple[Path, disk.Layout]:
    """A disk with the boot script, a boot record and two slots that only say their names."""
    facts = board(PlatformSpec.parse(platform))
    script = bootscript.compiled(SLOT)
    disk.fat(folder / "slot.img", 2 * MIB, "SLOT", {"slot.scr": script})
    (folder / "env.img").write_bytes(bootrecord.partition_image())
    parts = [
        disk.Partition("kos-boot", 2 * MIB, "fat", folder / "boot.img", bootable=True),
        disk.Partition("kos-env", bootrecord.PARTITION_SIZE, "linux", folder / "env.img"),
        disk.Partition("kos-bootfs-a", 2 * MIB, "fat", folder / "slot.img"),
        disk.Partition("kos-bootfs-b", 2 * MIB, "fat", folder / "slot.img"),
    ]
    layout = disk.Layout("test", parts)
    sector = layout.offsets()["kos-env"] // disk.SECTOR
    numbers = {slot: layout.number(f"kos-bootfs-{slot}") for slot in bootrecord.SLOTS}
    boot = bootscript.compiled(bootscript.boot_script(facts.loader, sector, numbers))
    disk.fat(folder / "boot.img", 2 * MIB, "KOS", {"boot.scr": boot})
    disk.write(layout, folder / "disk.img")
    return folder / "disk.img", layout


def torn(old: bytes, new: bytes, chance: random.Random) -> bytes:
    """A copy of the record whose write was cut: any sectors are the new ones."""
    size = disk.SECTOR
    picked = [(new if chance.random() < 0.5 else old)[at : at + size] for at in range(0, len(old), size)]
    return b"".join(picked)


def states() -> list[tuple[bytes, bytes]]:
    """Pairs of copies: every turn of the numbers, all that a trial goes through, cuts in a write."""
    found = []
    for sequence in range(1, bootrecord.SEQUENCES + 1):
        older = BootRecord(sequence, "a")
        newer = older.begin_trial("b", sequence)
        found += [(older.encode(), newer.encode()), (newer.encode(), older.encode())]
    exhausted = BootRecord(1, "b", "a", 0)
    found += [(exhausted.encode(), exhausted.encode()), (bytes(bootrecord.COPY_SIZE), exhausted.encode())]
    found.append((BootRecord(2, "b", "a", bootrecord.TRIES_MAX).encode(), b"\xff" * bootrecord.COPY_SIZE))
    for seed in range(SEEDS):
        chance = random.Random(seed)
        kept = BootRecord(1, "a", "b", 2)
        cut = torn(BootRecord(3, "a").encode(), kept.take()[1].encode(), chance)
        found.append((kept.encode(), cut) if seed % 2 else (cut, kept.encode()))
    return found


def put(image: Path, at: int, data: bytes) -> None:
    with image.open("r+b") as file:
        file.seek(at)
        file.write(data)


def get(image: Path, at: int, size: int) -> bytes:
    with image.open("rb") as file:
        file.seek(at)
        return file.read(size)


@pytest.mark.parametrize("platform", ["qemu-arm-virt", "qemu-arm-virt,arch=aarch32"])
def test_the_script_takes_what_the_record_says(platform, tmp_path, figures):
    image, layout = small_disk(tmp_path, platform)
    env = layout.offsets()["kos-env"]
    places = [env + offset for offset in bootrecord.COPY_OFFSETS]
    with u_boot(needs_sdk(), platform, image, tmp_path / "machine") as machine:
        machine.wait_for("started slot a end")
        cases = states()
        for copies in cases:
            for place, copy in zip(places, copies, strict=True):
                put(image, place, copy)
            slot, left = bootrecord.newest(list(copies))[0].take()
            machine.reset()
            machine.wait_for(f"started slot {slot} end")
            found = bootrecord.newest([get(image, place, bootrecord.COPY_SIZE) for place in places])[0]
            assert found == left
        # No copy is whole: something starts all the same.
        for place in places:
            put(image, place, bytes(bootrecord.COPY_SIZE))
        machine.reset()
        machine.wait_for("started slot a end")
        # The slot on trial does not load: the good one does, and the try was counted.
        put(image, places[0], BootRecord(1, "a", "b", 2).encode())
        put(image, layout.offsets()["kos-bootfs-b"], bytes(4096))
        machine.reset()
        machine.wait_for("slot b did not start")
        machine.wait_for("started slot a end")
        assert bootrecord.newest([get(image, place, bootrecord.COPY_SIZE) for place in places])[0].left == 1
        # A note says that the good slot failed: the other one goes first, if it holds something.
        note = f"{bootrecord.NOTE_SLOT}=a\nkos-root-a: cannot mount\n".encode().ljust(
            bootrecord.NOTE_SIZE, b"\0"
        )
        put(image, env + bootrecord.NOTE_OFFSET, note)
        for place in places:
            put(image, place, BootRecord(1, "a").encode())
        machine.reset()
        machine.wait_for("slot b did not start")
        machine.wait_for("started slot a end")
        put(image, layout.offsets()["kos-bootfs-b"], (tmp_path / "slot.img").read_bytes()[:4096])
        machine.reset()
        machine.wait_for("started slot b end")
        put(image, env + bootrecord.NOTE_OFFSET, note.replace(b"=a", b"=b"))
        machine.reset()
        machine.wait_for("started slot a end")
    figures(f"{platform}: U-Boot and the device agree on {len(cases)} states of the boot record")


def test_u_boot_itself_verifies_what_uuu_wrote(tmp_path):
    """The commands of the generated script, on this machine's storage; and no fastboot in Debian's build."""
    image, _ = small_disk(tmp_path, "qemu-arm-virt")
    put(image, 7 * MIB, random.Random(1).randbytes(MIB))
    commands = list(flash.verifying(board(PlatformSpec.parse("qemu-arm-virt")), image))
    with u_boot(needs_sdk(), "qemu-arm-virt", image, tmp_path / "machine", prompt=True) as machine:

        def answer(command: str) -> str:
            machine.type(f"if {command}; then echo said yes; else echo said no; fi")
            return machine.wait_for("^said (yes|no)")

        assert [answer(command) for command in commands] == ["said yes"] * len(commands)
        byte = get(image, 7 * MIB + 1000, 1)[0]
        put(image, 7 * MIB + 1000, bytes([byte ^ 1]))
        assert [answer(command) for command in commands][-1] == "said no"
        # What `run` on a board needs: tested against a peer of ours, because this build has none.
        machine.type("fastboot udp")
        machine.wait_for("Unknown command 'fastboot'")
