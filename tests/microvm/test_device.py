"""The example inside the emulated device: the image with hyp=on, emulated EL2, the kernel's KVM, the sandbox.

One boot shared by all checks, because in software emulation it takes a minute.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.qemu_device import Device, needs_sdk, new_machine, powered

pytestmark = [pytest.mark.group("microvm"), pytest.mark.timeout(900)]

PLATFORM = "qemu-arm-virt,hyp=on"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples/vmm_example"
DRIVER = Path(__file__).with_name("driver.py")
GUEST_SECONDS = 400.0  # to the guest's user space, on a busy machine without KVM of its own


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """The device with its guest, ready."""
    needs_sdk(PLATFORM)
    folder = tmp_path_factory.mktemp("device")
    project = shutil.copytree(EXAMPLE, folder / "project")
    shutil.copy(DRIVER, project / "apps/visitor/visitor/__init__.py")
    with powered(new_machine(project, folder / "machine", PLATFORM)) as running:
        running.wait_for(r"guest +\| guest: ready", seconds=GUEST_SECONDS)
        yield running


def test_the_guest_sees_one_processor_its_memory_and_its_disks(device: Device) -> None:
    device.wait_for(r"guest +\| guest: up, 1 processor, [2-6][0-9] MiB of memory")
    device.wait_for(r'guest +\| guest: disk vda, 64 KiB, read-only, begins with "A letter to you\."')
    device.wait_for(r"guest +\| guest: disk vdb, 4096 KiB, writable, start 1")
    device.wait_for(r"guest +\| guest: no network")


def test_an_app_speaks_with_it_through_its_port(device: Device) -> None:
    line = device.wait_for(r"visitor +\| status ", seconds=GUEST_SECONDS)
    device.wait_for(r"visitor +\| the guest said hello")
    status = json.loads(device.lines[line][1].partition("status ")[2])
    assert status["memory"] == 64 << 20
    assert status["cpu_seconds"] > 0 and status["disks"]["data.img"]["wr_bytes"] > 0


def test_a_guest_that_ate_its_memory_is_restarted_and_keeps_its_disk(device: Device) -> None:
    device.wait_for(r"guest +\| vmm: the guest panicked or restarted itself", seconds=GUEST_SECONDS)
    device.wait_for(r"visitor +\| the guest is back", seconds=GUEST_SECONDS)
    device.wait_for(r"guest +\| guest: disk vdb, 4096 KiB, writable, start 2")
    assert "killed: out of memory" not in device.text(), "the limit must hold the guest and its monitor"


def test_nothing_broke_its_rules(device: Device) -> None:
    assert "is not allowed" not in device.text()
