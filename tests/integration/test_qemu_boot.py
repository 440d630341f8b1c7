"""Power-on to all of Poukai ready, on both processors, through U-Boot, without KVM."""

from __future__ import annotations

import pytest

from .qemu_device import STEADY, needs_sdk, new_machine, powered, project

pytestmark = [pytest.mark.group("qemu"), pytest.mark.timeout(900)]


@pytest.mark.parametrize("platform", ["qemu-arm-virt", "qemu-arm-virt,arch=aarch32"])
def test_the_device_boots_to_a_ready_system(platform, tmp_path, capsys):
    needs_sdk(platform)
    source = project(tmp_path / "project", {"alpha": STEADY.format(text="alpha one")}, "1.0.0")
    with powered(new_machine(source, tmp_path / "machine", platform)) as device:
        ready = device.wait_for("5 of 5 apps ready")
        with capsys.disabled():
            print(f"\n{platform}: power-on to ready {device.lines[ready][0]:.1f} s")
        text = device.text()
        assert "U-Boot 2025" in text and "KOS: starting slot a" in text
        assert text.count("passed ") >= 5, "self_test passes in the device"
        assert "control groups v2" in text
        device.wait_for("healthy: generation 1")
        with device.client() as client:
            facts = client.hello()
            assert (facts["slot"], facts["state"], facts["platform"]) == ("a", "good", platform)
