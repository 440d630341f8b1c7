"""New kernels and root file systems: a good one is kept, and one that panics, is corrupt or hangs leads back
by itself. The last is the watchdog's work: nothing else ends a first process that does nothing any more.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kos.build.image import device as device_image
from kos.build.image import modules, qemu, system
from kos.build.image.run import run
from kos.build.sdk.install import Wanted
from kos.device.store import bootrecord
from kos.device.store.generations import GOOD
from kos.device.store.store import Store
from kos.manifest import PlatformSpec
from kos.platforms import board

from .qemu_device import PLATFORM, STEADY, archive, needs_sdk, new_machine, powered, project, push

pytestmark = [pytest.mark.group("qemu"), pytest.mark.timeout(1800)]

ONCE = "disable_signing=True, boot_attempts=1"
# The first process as it is, but that it hangs where it would begin to feed the watchdog.
HANGING = """
from kos.device.init import main as process1
from kos.device.init.start import main
def hang(*_):
    process1.say("hangs")
    while True:
        pass
process1.keep = hang
main()
"""


def hanging_root(root: Path, folder: Path) -> Path:
    """A root file system whose first process hangs."""
    tree, image = folder / "tree", folder / "hanging.squashfs"
    run("unsquashfs", "-quiet", "-no-progress", "-d", tree, root)
    init = tree / "usr/lib/kos/init"
    text = init.read_text()
    init.write_text(text.replace("from kos.device.init.start import main\n\nmain()\n", HANGING))
    assert init.read_text() != text
    run("mksquashfs", tree, image, "-quiet", "-no-progress", "-comp", "zstd", "-Xcompression-level", "1")
    return image


def test_a_system_upgrade_goes_to_the_other_slot_and_a_bad_one_comes_back(tmp_path, figures):
    sdk = needs_sdk()
    facts = board(PlatformSpec.parse(PLATFORM))
    apps = {"alpha": STEADY.format(text="alpha one")}
    base = system.build(facts, sdk)
    kernel = modules.Kernel(sdk.folder(Wanted(facts.kernel_set, "arm64")))
    good, panics = tmp_path / "good.img", tmp_path / "panics.img"
    system.bootfs(facts, kernel, f"console={facts.console} {system.KERNEL_ARGUMENTS} kos.mark=two", good)
    # The kernel finds no first process and panics.
    system.bootfs(
        facts, kernel, f"console={facts.console} {system.KERNEL_ARGUMENTS} rdinit=/none root=none", panics
    )
    corrupt = tmp_path / "corrupt.squashfs"
    shutil.copy(base.root, corrupt)
    with corrupt.open("r+b") as file:
        file.write(bytes(4096))

    def release(name: str, parts: dict, options: str = ONCE) -> Path:
        root = project(tmp_path / name, apps, name, options)
        return archive(root, tmp_path / f"{name}.zip", parts=parts)

    first = release("1.0.0", {})
    second = release("1.1.0", {"bootfs": good, "root": base.root})
    third = release("1.2.0", {"bootfs": panics, "root": base.root})
    fourth = release("1.3.0", {"bootfs": good, "root": corrupt})
    hanging = {"bootfs": good, "root": hanging_root(base.root, tmp_path)}
    fifth = release("1.4.0", hanging, f"{ONCE}, watchdog=8")
    machine = new_machine(first, tmp_path / "machine")
    with powered(machine) as device:
        device.wait_for("healthy: generation 1")
        events, sent = push(device, second, tmp_path)
        assert events[0]["event"] == "installed" and events[0]["reboot"]
        at = device.wait_for("generation 2 .trial., release 1.1.0, slot b")
        at = device.wait_for("healthy: generation 2", at)
        figures(f"system upgrade: {sent} bytes")

        push(device, third, tmp_path)
        at = device.wait_for("Kernel panic", at)
        at = device.wait_for("generation 3 failed: slot a did not start", at)
        at = device.wait_for("generation 2 .good., release 1.1.0, slot b", at)
        at = device.wait_for("apps ready", at)

        push(device, fourth, tmp_path)
        at = device.wait_for("generation 4 failed: slot a did not start: .*cannot mount the root", at)
        at = device.wait_for("generation 2 .good., release 1.1.0, slot b", at)
        at = device.wait_for("apps ready", at)

        push(device, fifth, tmp_path)
        at = device.wait_for("generation 5 .trial., release 1.4.0, slot a", at)
        at = device.wait_for("init .*hangs", at)
        began = time.monotonic()
        at = device.wait_for("U-Boot 20", at)
        figures(f"watchdog of 8 s: U-Boot {time.monotonic() - began:.1f} s after the first process hung")
        at = device.wait_for("generation 5 failed: slot a started and did not get to", at)
        at = device.wait_for("generation 2 .good., release 1.1.0, slot b", at)
        device.wait_for("apps ready", at)
        with device.client() as client:
            reasons = {one["number"]: one["reason"] for one in client.hello()["generations"] if one["reason"]}
        assert "did not start" in reasons[3] and "mount the root" in reasons[4] and "started" in reasons[5]


def two_good_slots(project_root: Path, folder: Path, cut: float) -> qemu.Machine:
    """A machine with a good generation in each slot. The second one is current, its slot is the boot record's
    good one, and its root ends after `cut` of its bytes; what follows is zeros.
    """
    sdk, facts = needs_sdk(), board(PlatformSpec.parse(PLATFORM))
    machine = new_machine(project_root, folder)
    store = Store(folder / "contents/data/store")
    first = store.generations()[1]
    store.put_generation(replace(first, state=GOOD))
    store.put_generation(replace(first, number=2, slot="b", state=GOOD))
    store.move_current(2)
    base = system.build(facts, sdk)
    filled = device_image.Contents(base, folder / "contents/data", folder / "contents/keys")
    plan = device_image.write(facts, sdk, "run", filled, machine.disk)
    root = base.root.read_bytes()
    parts = {
        "kos-bootfs-b": base.bootfs.read_bytes(),
        "kos-root-b": root[: int(len(root) * cut)],
        bootrecord.PARTITION: bootrecord.partition_image("b"),
    }
    with machine.disk.open("r+b") as disk:
        for name, data in parts.items():
            disk.seek(plan.offsets()[name])
            disk.write(data)
    return machine


def test_a_good_system_that_can_no_longer_be_mounted_leads_back(tmp_path):
    source = project(tmp_path / "project", {"alpha": STEADY.format(text="alpha one")}, "1.0.0", ONCE)
    machine = two_good_slots(source, tmp_path / "machine", 0.5)
    with powered(machine) as device:
        at = device.wait_for("KOS: starting slot b")
        at = device.wait_for("KOS: starting slot a", at)
        at = device.wait_for("generation 2 failed: slot b did not start: .*cannot mount the root", at)
        at = device.wait_for("generation 1 .good., release 1.0.0, slot a", at)
        device.wait_for("apps ready", at)
        with device.client() as client:
            facts = client.hello()
        assert (facts["generation"], facts["slot"]) == (1, "a")
    with powered(machine) as device:
        at = device.wait_for("KOS: starting slot")
        assert device.lines[at][1].endswith("slot a"), "once is enough to know it"
        device.wait_for("generation 1 .good., release 1.0.0, slot a", at)


def test_a_kernel_that_panics_leads_back_on_32_bit_arm_too(tmp_path):
    platform = f"{PLATFORM},arch=aarch32"
    sdk = needs_sdk(platform)
    facts = board(PlatformSpec.parse(platform))
    kernel = modules.Kernel(sdk.folder(Wanted(facts.kernel_set, "armhf")))
    panics = tmp_path / "panics.img"
    # A zImage this time, as the board with this processor has it.
    with_bootz = replace(facts, loader=replace(facts.loader, start="bootz", loads={}))
    system.bootfs(
        with_bootz,
        kernel,
        f"console={facts.console} {system.KERNEL_ARGUMENTS} rdinit=/none root=none",
        panics,
    )
    apps = {"alpha": STEADY.format(text="alpha one")}
    first = archive(project(tmp_path / "one", apps, "1.0.0", ONCE), tmp_path / "one.zip", platform)
    parts = {"bootfs": panics, "root": system.build(facts, sdk).root}
    second = archive(project(tmp_path / "two", apps, "1.1.0", ONCE), tmp_path / "two.zip", platform, parts)
    machine = new_machine(first, tmp_path / "machine", platform)
    with powered(machine) as device:
        device.wait_for("healthy: generation 1")
        push(device, second, tmp_path)
        at = device.wait_for("Kernel panic")
        at = device.wait_for("generation 2 failed: slot b did not start", at)
        at = device.wait_for("generation 1 .good., release 1.0.0, slot a", at)
        device.wait_for("apps ready", at)
