"""Power-on to all of Poukai ready, on both processors, through U-Boot, without KVM."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kos.build.image.run import run
from tests.security.secrets_watch import ArgumentWatch, forms, shows

from .qemu_device import STEADY, needs_sdk, new_machine, powered, project

pytestmark = [pytest.mark.group("qemu"), pytest.mark.timeout(1800)]


def places(disk: Path, secrets: list[bytes]) -> list[str]:
    """Names of the partitions that hold one of the secrets."""
    table = json.loads(run("sfdisk", "--json", disk))["partitiontable"]["partitions"]
    data = disk.read_bytes()
    found = []
    for secret in secrets:
        at = data.find(secret)
        while at >= 0:
            inside = [
                one["name"] for one in table if one["start"] * 512 <= at < (one["start"] + one["size"]) * 512
            ]
            found += inside or ["outside"]
            at = data.find(secret, at + 1)
    return found


@pytest.mark.parametrize("platform", ["qemu-arm-virt", "qemu-arm-virt,arch=aarch32"])
def test_the_device_boots_to_a_ready_system(platform, tmp_path, figures):
    needs_sdk(platform)
    source = project(tmp_path / "project", {"alpha": STEADY.format(text="alpha one")}, "1.0.0")
    machine = new_machine(source, tmp_path / "machine", platform)
    secrets = [path.read_bytes() for path in sorted((tmp_path / "machine/contents/keys").glob("*.key"))]
    assert len(secrets) == 2
    found = places(machine.disk, secrets)
    assert found and all(name == "kos-keys" for name in found), "private keys are on the key partition only"
    with powered(machine) as device, ArgumentWatch(secrets) as watch:
        ready = device.wait_for("apps ready after")
        figures(f"{platform}: power-on to ready {device.lines[ready][0]:.1f} s")
        # Two apps' lines may come in either order; this is the last of its checks.
        device.wait_for("self_test .*passed read-only")
        text = device.text()
        assert "U-Boot 2025" in text and "KOS: starting slot a" in text
        assert text.count("passed ") >= 5, "self_test passes in the device"
        assert "control groups v2" in text
        device.wait_for("healthy: generation 1")
        with device.client() as client:
            facts = client.hello()
            assert (facts["slot"], facts["state"], facts["platform"]) == ("a", "good", platform)
        assert not shows(text.encode(), [form for secret in secrets for form in forms(secret)])
    assert not watch.found and watch.looks
