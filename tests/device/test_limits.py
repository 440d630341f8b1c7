"""Which limits a machine offers, and what is written where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kos.device.limits import (
    ADDRESS_SPACE_EXTRA,
    ControlGroups1,
    ControlGroups2,
    ResourceLimits,
    Wanted,
    detect,
    weight,
)

WANTED = Wanted(memory=32 << 20, processes=5, descriptors=50, storage=1 << 20, priority=132)


def test_weight() -> None:
    assert weight(100) == 100
    assert weight(132) == 200
    assert weight(68) == 50
    assert 1 <= weight(0) < weight(255) <= 10_000


def test_nothing_offered_means_resource_limits(tmp_path: Path) -> None:
    memberships = tmp_path / "cgroup"
    memberships.write_text("0::/\n")
    mechanism = detect("kos-1", tmp_path, memberships)
    assert isinstance(mechanism, ResourceLimits)
    limits = mechanism.rlimits(WANTED)
    assert limits["data"] == 32 << 20
    assert limits["as"] == (32 << 20) + ADDRESS_SPACE_EXTRA
    assert limits["nproc"] == 6
    assert limits["nofile"] == 50
    assert limits["fsize"] == 1 << 20
    assert limits["core"] == 0


def test_no_limit_wanted() -> None:
    limits = ResourceLimits().rlimits(Wanted())
    assert not {"data", "as", "nproc", "nofile", "fsize"} & set(limits)


def hierarchy(folder: Path, files: dict[str, str]) -> Path:
    """A folder with the files of a control group."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_version_2(tmp_path: Path) -> None:
    top = hierarchy(tmp_path, {"cgroup.controllers": "cpu memory pids", "cgroup.subtree_control": ""})
    memberships = tmp_path / "membership"
    memberships.write_text("0::/own\n")
    above = top if os.geteuid() == 0 else hierarchy(top / "own", {"cgroup.controllers": "cpu memory pids io"})
    (above / "cgroup.subtree_control").write_text("")
    mechanism = detect("kos-1", tmp_path, memberships)
    assert isinstance(mechanism, ControlGroups2)
    assert set((above / "cgroup.subtree_control").read_text().split()) == {"+cpu", "+memory", "+pids"}
    files = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.weight")
    folder = hierarchy(above / "kos-1", {})
    assert (folder / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert "nproc" not in mechanism.rlimits(WANTED)
    group = _with_files(mechanism, folder / "app", files)
    group.add(77)
    assert {name: (folder / "app" / name).read_text() for name in (*files, "cgroup.procs")} == {
        "memory.max": str(32 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "6",
        "cpu.weight": "200",
        "cgroup.procs": "77",
    }
    (folder / "app" / "memory.events").write_text("low 0\noom 1\noom_kill 0\n")
    assert not group.out_of_memory()
    (folder / "app" / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert group.out_of_memory()


def _with_files(mechanism, folder: Path, files: tuple[str, ...]):
    """A group whose settings files exist already, as the kernel makes them with the folder."""
    real_mkdir = Path.mkdir

    def mkdir(path: Path, *arguments: object, **options: object) -> None:
        real_mkdir(path, *arguments, **options)
        if path == folder:
            for name in files:
                (folder / name).write_text("")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "mkdir", mkdir)
        return mechanism.group(folder.name, WANTED)


def test_version_2_that_is_not_delegated(tmp_path: Path) -> None:
    hierarchy(tmp_path, {"cgroup.controllers": "hugetlb", "cgroup.subtree_control": ""})
    memberships = tmp_path / "membership"
    memberships.write_text("0::/\n")
    assert isinstance(detect("kos-1", tmp_path, memberships), ResourceLimits)


@pytest.mark.skipif(os.geteuid() != 0, reason="not applicable: version 1 is used by root only")
def test_version_1_stays_below_our_own_group(tmp_path: Path) -> None:
    for controller in ("memory", "pids", "cpu"):
        hierarchy(tmp_path / controller / "us", {})
    memberships = tmp_path / "membership"
    memberships.write_text("4:memory:/us\n3:pids:/us\n1:cpu,cpuacct:/us\n0::/\n")
    mechanism = detect("kos-1", tmp_path, memberships)
    assert isinstance(mechanism, ControlGroups1)
    assert (tmp_path / "memory" / "us" / "kos-1").is_dir()
    mechanism.close()
    assert not (tmp_path / "memory" / "us" / "kos-1").exists()


def test_left_over_groups_are_swept(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("not applicable: version 1 is used by root only")
    gone = tmp_path / "memory" / "kos-4194305"  # above the kernel's largest pid
    (gone / "app").mkdir(parents=True)
    alive = tmp_path / "memory" / f"kos-{os.getpid()}"
    alive.mkdir()
    memberships = tmp_path / "membership"
    memberships.write_text("4:memory:/\n")
    detect("kos-1", tmp_path, memberships)
    assert alive.exists() and not gone.exists()
