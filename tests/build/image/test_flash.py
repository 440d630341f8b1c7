"""Writing to media: what is refused, what is read back, and what an end in the middle leaves."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.build.image import flash
from kos.manifest import PlatformSpec
from kos.platforms import board

MIB = 1 << 20
SIZE = 9 * MIB


@pytest.fixture
def image(tmp_path):
    """An image with a beginning, a hole and an end."""
    path = tmp_path / "disk.img"
    path.write_bytes(b"head" * (MIB // 4) + bytes(6 * MIB) + os.urandom(2 * MIB))
    return path


class Medium:
    """A block device of this machine, with a description of a removable one beside it."""

    def __init__(self, folder: Path) -> None:
        self.backing = folder / "medium"
        self.backing.write_bytes(b"old!" * (12 * MIB // 4))
        self.device = Path(_run("losetup", "--find", "--show", self.backing).strip())
        self.sysfs = folder / "sysfs"
        self.facts = self.sysfs / self.device.name
        self.facts.mkdir(parents=True)
        (self.facts / "removable").write_text("1\n")
        (self.facts / "size").write_text(f"{12 * MIB // 512}\n")
        self.mounts = folder / "mounts"
        self.mounts.write_text("proc /proc proc rw 0 0\n")

    def check(self, size: int = SIZE) -> bool:
        return flash.check_target(self.device, size, self.sysfs, self.mounts)


def _run(*command: object) -> str:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def medium(tmp_path):
    if os.getuid() or not Path("/dev/loop-control").exists() or not shutil.which("losetup"):
        pytest.skip("not applicable: this user has no block devices to write to")
    made = Medium(tmp_path)
    try:
        yield made
    finally:
        _run("losetup", "--detach", made.device)


def test_a_removable_device_is_written_and_read_back(medium, image):
    assert medium.check()
    flash.write(image, medium.device)
    assert medium.device.read_bytes()[:SIZE] == image.read_bytes()
    assert medium.device.read_bytes()[SIZE : SIZE + 4] == b"old!"


def test_a_fixed_device_is_refused(medium):
    (medium.facts / "removable").write_text("0\n")
    with pytest.raises(KosError, match="not removable"):
        medium.check()
    # as this machine itself describes it
    with pytest.raises(KosError, match="not removable"):
        flash.check_target(medium.device, SIZE)


def test_a_card_in_a_built_in_reader_is_taken(medium):
    (medium.facts / "removable").write_text("0\n")
    (medium.facts / "device").mkdir()
    (medium.facts / "device/type").write_text("SD\n")
    assert medium.check()
    (medium.facts / "device/type").write_text("MMC\n")
    with pytest.raises(KosError, match="not removable"):
        medium.check()


@pytest.mark.parametrize("suffix", ["", "1", "p2"])
def test_a_mounted_device_is_refused(medium, suffix):
    medium.mounts.write_text(f"{medium.device}{suffix} /media/card ext4 rw 0 0\n")
    with pytest.raises(KosError, match="mounted on /media/card"):
        medium.check()
    medium.mounts.write_text(f"{medium.device}99x /media/card ext4 rw 0 0\n")
    assert medium.check()


def test_a_device_that_another_one_uses_is_refused(medium):
    (medium.facts / "holders/dm-0").mkdir(parents=True)
    with pytest.raises(KosError, match="used by dm-0"):
        medium.check()


def test_a_partition_and_a_small_device_are_refused(medium):
    with pytest.raises(KosError, match=f"has {12 * MIB} bytes"):
        medium.check(12 * MIB + 1)
    (medium.facts / "partition").write_text("1\n")
    with pytest.raises(KosError, match="partition"):
        medium.check()


def test_a_device_that_the_kernel_holds_is_not_written(medium, image):
    """Whatever the look at it said: it may have been mounted since."""
    held = os.open(medium.device, os.O_RDWR | os.O_EXCL)
    try:
        with pytest.raises(KosError, match="busy"):
            flash.write(image, medium.device)
    finally:
        os.close(held)
    assert medium.device.read_bytes()[:4] == b"old!"


def test_writing_that_ends_in_the_middle_leaves_no_beginning(medium, image, monkeypatch):
    """Power loss: neither the old nor the new partition table is there, so nothing half written starts."""
    calls = 0

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return os.pwritev(descriptor, [data], at)

    monkeypatch.setattr(flash.os, "pwrite", pwrite)
    with pytest.raises(KosError, match="cannot write: Input/output error"):
        flash.write(image, medium.device)
    assert medium.device.read_bytes()[:MIB] == bytes(MIB)


def test_a_medium_that_gives_back_other_bytes_is_found(medium, image, monkeypatch):
    pread = os.pread
    wrong = lambda descriptor, size, at: pread(descriptor, size, at)[:-1] + b"?"  # noqa: E731
    monkeypatch.setattr(flash.os, "pread", wrong)
    with pytest.raises(KosError, match="not what was written"):
        flash.write(image, medium.device)


def test_a_full_disk_leaves_the_old_file(image, tmp_path, monkeypatch):
    target = tmp_path / "card.img"
    target.write_bytes(b"old")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(flash.os, "pwrite", full)
    with pytest.raises(KosError, match="No space left") as caught:
        flash.write(image, target)
    assert caught.value.hint
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.img", "disk.img"]


def test_a_short_write_is_gone_on_with(image, tmp_path, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(flash.os, "pwrite", lambda file, data, at: pwrite(file, data[: MIB // 3], at))
    flash.write(image, tmp_path / "card.img")
    assert (tmp_path / "card.img").read_bytes() == image.read_bytes()


def test_a_file_keeps_its_holes_and_is_ours_alone(image, tmp_path):
    """It holds private keys."""
    flash.write(image, tmp_path / "card.img")
    status = (tmp_path / "card.img").stat()
    assert status.st_blocks * 512 < 6 * MIB and stat.S_IMODE(status.st_mode) == 0o600


def test_a_writer_that_was_killed_leaves_no_file(image, tmp_path):
    """SIGKILL in the middle of it: the name is not there."""
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom kos.build.image import flash\n"
        "os.pwrite = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "flash.write(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    target = tmp_path / "card.img"
    done = subprocess.run([sys.executable, "-c", code, str(image), str(target)], check=False)
    assert done.returncode == -9 and not target.exists()


def test_something_that_is_no_medium_is_refused(tmp_path):
    with pytest.raises(KosError, match="file or a block device"):
        flash.check_target(tmp_path, 1)


@pytest.mark.parametrize("text", ["imx8mm-evk", "portenta-x8"])
def test_uuu_takes_the_script(text, image, tmp_path):
    """NXP's own program checks each command and each file, without a board."""
    if not shutil.which("uuu"):
        pytest.skip("needs uuu: apt-get install uuu")
    (tmp_path / "flash.bin").write_bytes(bytes(100_000))
    script = tmp_path / "kos.uuu"
    script.write_text(flash.uuu_script(board(PlatformSpec.parse(text)), image, tmp_path / "flash.bin"))
    done = subprocess.run(["uuu", "-dry", "-b", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:]
    assert "itest.l" in done.stdout and "FB: done" in done.stdout
    script.write_text(script.read_text().replace("flash -raw2sparse", "flush -raw2sparse"))
    assert subprocess.run(["uuu", "-dry", "-b", script], capture_output=True, check=False).returncode
