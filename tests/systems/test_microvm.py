"""What `MicroVM` puts into a system, and what it refuses by name."""

from __future__ import annotations

import pytest

from kos.manifest import Context, Kvm, ManifestError, PlatformSpec, Storage, VmImage
from kos.systems import Disk, MicroVM, Poukai

MIB = 1 << 20


def context(platform: str = "qemu-arm-virt,hyp=on", **layer: bool) -> Context:
    return Poukai(**layer).setup(Context("house", platform=PlatformSpec.parse(platform)))


def vm(**changes: object) -> MicroVM:
    return MicroVM(**{"name": "guest", "initrd": "guest", **changes})


def test_a_guest_gets_what_it_needs_and_nothing_else() -> None:
    disks = ["images/root.img", Disk("data.img", size="16M", blank=True)]
    manifest = context().put_app(vm(ram="64M", blk=disks, shutdown="off\n")).manifest()
    app = manifest.apps["guest"]
    assert app.image == VmImage("kos.services.vmm.main:main", "guest", None, ("images/root.img",))
    assert [type(each) for each in app.resources] == [Kvm, Storage]
    assert app.config["memory"] == 64 * MIB < app.memory
    assert [dict(disk) for disk in app.config["disks"]] == [
        {"image": "root.img", "readonly": True, "size": 0},
        {"image": "data.img", "readonly": False, "size": 16 * MIB},
    ]
    assert {name: access.role for name, access in app.access["msg0"].items()} == {
        "guest_console_protocol": "server"
    }


def test_a_disk_with_snapshots_has_room_for_two_copies() -> None:
    plain = context().put_app(vm(blk=[Disk("a.img", size="4M")])).apps["guest"]
    kept = context().put_app(vm(blk=[Disk("a.img", size="4M", snapshots=True)])).apps["guest"]
    assert kept.config["disks"][0]["snapshots"] is True and "snapshots" not in plain.config["disks"][0]
    assert kept.resources_of(Storage)[0].size - plain.resources_of(Storage)[0].size == 12 * MIB


def test_a_network_is_the_tunnel() -> None:
    app = context(tunnel=True).put_app(vm(net=True)).apps["guest"]
    assert app.access["msg0"]["kos_internet_protocol"].role == "client"


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("one-cpu", {"cpus": 2}),
        ("one-net", {"net": 2}),
        ("one-console", {"consoles": 2}),
        ("five-disks", {"blk": [f"{number}.img" for number in range(6)]}),
        ("linux-only", {"os": "zephyr"}),
        ("initrd-missing", {"initrd": None}),
        ("kernel-missing", {"kernel": ""}),
        ("ram", {"ram": "8M"}),
        ("ram", {"ram": "65G"}),
        ("size", {"ram": "much"}),
        ("size", {"blk": [Disk("a.img", size="1X")]}),
        ("disk-name", {"blk": ["a/one.img", "b/one.img"]}),
        ("disk-name", {"blk": ["one,two.img"]}),
        ("disk-size", {"blk": [Disk("a.img", blank=True)]}),
        ("disk-size", {"blk": [Disk("a.img", size=1000)]}),
        ("disk-size", {"blk": [Disk("a.img", snapshots=True)]}),
    ],
)
def test_what_a_microvm_cannot_have_is_refused_by_the_rules_name(rule: str, changes: dict) -> None:
    with pytest.raises(ManifestError, match=rf"microVM 'guest': {rule}: ") as refused:
        context().put_app(vm(**changes))
    assert "test_microvm.py:" in (refused.value.where or "")


@pytest.mark.parametrize("platform", ["host", "qemu-arm-virt", "rpi4", "portenta-x8", "am335x"])
def test_platforms_without_hyp_are_refused(platform: str) -> None:
    with pytest.raises(ManifestError, match="microVM 'guest': hyp-off: "):
        context(platform).put_app(vm())


@pytest.mark.parametrize("platform", ["qemu-arm-virt", "rpi4", "imx8mm-evk"])
def test_platforms_with_hyp_take_it(platform: str) -> None:
    assert "guest" in context(f"{platform},hyp=on").put_app(vm(ram="16M")).apps
