"""The image of a guest: what is in it, what it depends on, what is refused. And QEMU's libraries."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.build import initrd
from kos.build.image import monitor
from kos.build.vm_image import Guest
from kos.manifest import PlatformSpec, VmImage
from tests.integration.qemu_device import needs_sdk

ENTRY = "kos.services.vmm.main:main"
PLATFORM = PlatformSpec.parse("qemu-arm-virt,hyp=on")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Image").write_bytes(b"a kernel")
    (tmp_path / "root.img").write_bytes(b"a disk")
    (tmp_path / "guest/etc").mkdir(parents=True)
    (tmp_path / "guest/init").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "guest/init").chmod(0o755)
    (tmp_path / "guest/etc/name").write_bytes(b"guest\n")
    return tmp_path


def guest(project: Path, **changes: object) -> Guest:
    settings = {"entry": ENTRY, "initrd": "guest", "kernel": "Image", "disks": ("root.img",), **changes}
    return Guest(project, VmImage(**settings), PLATFORM, "system.py:3")


def test_an_image_holds_kernel_initrd_and_disks(project: Path, tmp_path: Path) -> None:
    guest(project).fill(tmp_path / "made")
    files = {
        str(path.relative_to(tmp_path / "made")) for path in (tmp_path / "made").rglob("*") if path.is_file()
    }
    assert files == {"kernel", "initrd", "disks/root.img"}
    archive = (tmp_path / "made/initrd").read_bytes()
    assert archive.startswith(b"070701") and b"TRAILER!!!" in archive
    assert b"init\0" in archive and b"etc/name\0" in archive and b"dev/console\0" in archive


def test_equal_inputs_give_equal_bytes(project: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        guest(project).fill(tmp_path / name)
    assert (tmp_path / "one/initrd").read_bytes() == (tmp_path / "two/initrd").read_bytes()


@pytest.mark.parametrize("path", ["Image", "root.img", "guest/init", "guest/etc/name"])
def test_an_image_depends_on_every_file(project: Path, path: str) -> None:
    before = guest(project).inputs()
    (project / path).write_bytes(b"other")
    assert guest(project).inputs() != before


def test_a_finished_initrd_is_taken_as_it_is(project: Path, tmp_path: Path) -> None:
    (project / "initrd.cpio.gz").write_bytes(b"packed")
    guest(project, initrd="initrd.cpio.gz").fill(tmp_path / "made")
    assert (tmp_path / "made/initrd").read_bytes() == b"packed"


@pytest.mark.parametrize("changes", [{"kernel": "none"}, {"initrd": "none"}, {"disks": ("none",)}])
def test_what_is_missing_is_said_with_its_line(project: Path, changes: dict) -> None:
    with pytest.raises(KosError, match="there is no 'none'") as refused:
        guest(project, **changes)
    assert refused.value.where == "system.py:3"


def test_an_initrd_needs_an_init(project: Path, tmp_path: Path) -> None:
    (project / "guest/init").unlink()
    with pytest.raises(KosError, match=r"needs init or init\.c"):
        guest(project).fill(tmp_path / "made")


def test_the_libraries_of_a_program_are_those_that_a_system_lacks(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "packages").mkdir()
    program = Path(sys.executable).resolve()
    names = monitor.needed(program)
    assert "libc.so.6" in names
    for name in names:
        (tmp_path / "packages" / name).write_bytes(program.read_bytes())
    (tmp_path / "there/libc.so.6").touch()
    found = monitor.closure(program, tmp_path / "packages", tmp_path / "there")
    assert set(found) == set(names) - {"libc.so.6"}
    (tmp_path / "there/libc.so.6").unlink()
    (tmp_path / "packages/libc.so.6").unlink()
    with pytest.raises(KosError, match=r"needs libc\.so\.6, which no package brought"):
        monitor.closure(program, tmp_path / "packages", tmp_path / "there")


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("#!/bin/sh\n")
    with pytest.raises(KosError, match="not a 64-bit ELF file"):
        monitor.needed(tmp_path / "text")


# --- what an initrd stands on -------------------------------------------------------------------------------


def rootfs(path: Path, *entries: tuple[str, bytes | str | None]) -> None:
    """A packed root file system: bytes are a file, text is a link to there, None is a directory."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            match content:
                case bytes():
                    info.size, info.mode = len(content), 0o755
                    archive.addfile(info, io.BytesIO(content))
                case str():
                    info.type, info.linkname = tarfile.SYMTYPE, content
                    archive.addfile(info)
                case None:
                    info.type = tarfile.DIRTYPE
                    archive.addfile(info)


def test_a_root_file_system_lies_below_the_other_files(project: Path, tmp_path: Path) -> None:
    rootfs(
        project / "guest/rootfs.tar.gz",
        ("./", None),
        ("./bin/", None),
        ("./bin/busybox", b"theirs"),
        ("./bin/sh", "/bin/busybox"),
        ("./etc/name", b"alpine"),
    )
    (project / "guest/init").write_bytes(b"#!/bin/busybox sh\n")
    guest(project).fill(tmp_path / "made")
    archive = (tmp_path / "made/initrd").read_bytes()
    assert b"bin/sh\0" in archive and b"/bin/busybox" in archive
    assert b"theirs" in archive, "a root file system that has a busybox keeps it"
    assert b"guest\n" in archive and b"alpine" not in archive
    assert b"rootfs.tar.gz" not in archive


@pytest.mark.parametrize(
    ("entry", "message"),
    [(("../out", b"x"), "not a path inside"), (("/etc/x", b"x"), "not a path inside")],
)
def test_a_root_file_system_that_leads_outside_is_refused(
    project: Path, tmp_path: Path, entry: tuple[str, bytes], message: str
) -> None:
    rootfs(project / "guest/rootfs.tar.gz", entry)
    with pytest.raises(KosError, match=message):
        guest(project).fill(tmp_path / "made")


def test_a_root_file_system_with_a_device_node_is_refused(project: Path, tmp_path: Path) -> None:
    with tarfile.open(project / "guest/rootfs.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("dev/mem")
        info.type = tarfile.CHRTYPE
        archive.addfile(info)
    with pytest.raises(KosError, match="no file, directory or link"):
        guest(project).fill(tmp_path / "made")


def test_what_is_no_root_file_system_is_refused(project: Path, tmp_path: Path) -> None:
    (project / "guest/rootfs.tar.gz").write_bytes(b"nothing")
    with pytest.raises(KosError, match="not a tar packed with gzip"):
        guest(project).fill(tmp_path / "made")


def test_a_root_file_system_has_a_limit(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initrd, "INITRD_BYTES_MAX", 4096)
    rootfs(project / "guest/rootfs.tar.gz", ("big", bytes(4097)))
    with pytest.raises(KosError, match="4096 bytes are too many"):
        guest(project).fill(tmp_path / "made")


def test_an_init_that_asks_for_busybox_gets_debians(project: Path, tmp_path: Path) -> None:
    needs_sdk("qemu-arm-virt,hyp=on")
    before = guest(project).inputs()
    (project / "guest/init").write_bytes(b"#!/bin/busybox sh\n")
    made = guest(project)
    assert "busybox" in made.inputs() and "busybox" not in before
    made.fill(tmp_path / "made")
    assert b"bin/busybox\0" in (tmp_path / "made/initrd").read_bytes()
