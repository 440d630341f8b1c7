"""Disk images by our own hand, looked at with tools that others wrote."""

import json
import os
import re
import subprocess
import time

import pytest

from kos.abi.errors import KosError
from kos.build.image import bootscript, cpio, disk
from kos.build.image.run import find
from kos.manifest import PlatformSpec
from kos.platforms import board

MIB = 1 << 20
SPECS = ["qemu-arm-virt", "qemu-arm-virt,arch=aarch32", "rpi4", "imx8mm-evk", "portenta-x8", "am335x"]


@pytest.fixture(autouse=True)
def tools():
    try:
        for program in ("sfdisk", "mke2fs", "mkfs.vfat", "mcopy", "mkimage", "dumpimage", "e2fsck"):
            find(program)
    except KosError as error:
        pytest.skip(f"needs {error.hint}")


def tool(*command):
    return subprocess.run(
        [find(command[0]), *map(str, command[1:])], capture_output=True, text=True, check=True
    ).stdout


def make(folder):
    """A small disk with one of everything."""
    folder.mkdir()
    (folder / "tree").mkdir()
    (folder / "tree/file").write_text("hello")
    (folder / "tree/sub folder").mkdir()
    (folder / 'tree/sub folder/a "name"').write_text("odd")
    (folder / "loader").write_bytes(b"L" * 1000)
    disk.fat(folder / "fat.img", 2 * MIB, "KOS", {"a.txt": b"text", "sub/b.txt": b"more"})
    disk.ext4(folder / "data.img", 8 * MIB, "kos-data", folder / "tree")
    parts = [
        disk.Partition("kos-boot", 2 * MIB, "fat", folder / "fat.img", bootable=True),
        disk.Partition("kos-data", 8 * MIB, "linux", folder / "data.img"),
    ]
    layout = disk.Layout("test", parts, [disk.Raw(0x20000, folder / "loader")])
    disk.write(layout, folder / "disk.img")
    return layout, folder / "disk.img"


def test_other_tools_find_what_we_wrote(tmp_path):
    layout, image = make(tmp_path / "one")
    table = json.loads(tool("sfdisk", "--json", image))["partitiontable"]
    assert table["label"] == "gpt"
    assert [part["name"] for part in table["partitions"]] == ["kos-boot", "kos-data"]
    assert "a.txt" in tool("mdir", "-b", "-i", f"{image}@@{layout.offsets()['kos-boot']}", "::")
    tool("e2fsck", "-fn", tmp_path / "one/data.img")
    assert "hello" in tool("debugfs", "-R", "cat /file", tmp_path / "one/data.img")
    assert image.read_bytes()[0x20000 : 0x20000 + 1000] == b"L" * 1000


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    first = make(tmp_path / "one")[1]
    # Whatever the files' own times are, also the one that nobody can set.
    made = int(time.time())
    while int(time.time()) == made:
        os.sched_yield()
    second = make(tmp_path / "two")[1]
    assert first.read_bytes() == second.read_bytes()


def test_everything_belongs_to_root_whoever_made_it(tmp_path):
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder/file").write_text("hello")
    (tree / "link").symlink_to("folder/file")
    for path in (tree, *tree.rglob("*")):
        if os.geteuid() == 0:  # an ordinary user's files are its own in any case
            os.chown(path, 100_000, 100_001, follow_symlinks=False)
    disk.ext4(tmp_path / "data.img", 8 * MIB, "kos-data", tree)
    for name in ("/", "/folder", "/folder/file", "/link"):
        inode = tool("debugfs", "-R", f"stat {name}", tmp_path / "data.img")
        assert re.search(r"^User: +0 +Group: +0 ", inode, re.MULTILINE), inode
    tool("e2fsck", "-fn", tmp_path / "data.img")


@pytest.mark.parametrize("text", SPECS)
def test_each_board_has_scripts_that_mkimage_takes(text, tmp_path):
    facts = board(PlatformSpec.parse(text))
    script = bootscript.compiled(bootscript.boot_script(facts.loader, 0x4800, {"a": 3, "b": 4}))
    (tmp_path / "boot.scr").write_bytes(script)
    assert "Script" in tool("dumpimage", "-l", tmp_path / "boot.scr")
    slot = bootscript.slot_script(facts.loader, "console=x", facts.device_tree)
    assert all(f"setenv {name} {place:#x}\n" in slot for name, place in facts.loader.loads.items())
    assert facts.loader.start in slot and "kos.root=kos-root-${kos_slot}" in slot


@pytest.mark.parametrize("text", SPECS)
def test_raw_areas_lie_before_the_partitions(text):
    facts = board(PlatformSpec.parse(text))
    assert all(offset < facts.first_partition for offset in facts.raw)


def test_an_initramfs_is_read_by_cpio(tmp_path):
    archive = cpio.archive(
        [cpio.directory("dev"), cpio.character_device("dev/console", (5, 1)), cpio.file("a", b"x")]
    )
    done = subprocess.run(["cpio", "-t"], input=archive, capture_output=True, check=True)
    assert done.stdout.split() == [b"dev", b"dev/console", b"a"]
