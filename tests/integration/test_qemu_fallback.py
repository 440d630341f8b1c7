"""New kernels and root file systems: a good one is kept, and one that panics or is corrupt leads back by
itself.
"""

from __future__ import annotations

import shutil

import pytest

from kos.build.image import modules, system
from kos.build.sdk.install import Wanted
from kos.manifest import PlatformSpec
from kos.platforms import board

from .qemu_device import PLATFORM, STEADY, archive, needs_sdk, new_machine, powered, project, push

pytestmark = [pytest.mark.group("qemu"), pytest.mark.timeout(900)]

ONCE = "disable_signing=True, boot_attempts=1"


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

    def release(name: str, parts: dict) -> object:
        root = project(tmp_path / name, apps, name, ONCE)
        return archive(root, tmp_path / f"{name}.zip", parts=parts)

    first = release("1.0.0", {})
    second = release("1.1.0", {"bootfs": good, "root": base.root})
    third = release("1.2.0", {"bootfs": panics, "root": base.root})
    fourth = release("1.3.0", {"bootfs": good, "root": corrupt})
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
        device.wait_for("generation 2 .good., release 1.1.0, slot b", at)
        device.wait_for("apps ready", at)
        with device.client() as client:
            reasons = {one["number"]: one["reason"] for one in client.hello()["generations"] if one["reason"]}
        assert "did not start" in reasons[3] and "mount the root" in reasons[4]
