"""System-call policies: they compile for every architecture, and hold what they must not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from kos.device.seccomp import compiler
from kos.device.seccomp.compiler import ARCHITECTURES, cached_program, call_name, compile_policy
from kos.device.seccomp.policy import KINDS, policy_for

# A program may be longer than the kernel's limit only by mistake.
INSTRUCTIONS_MAX = 4096
RESOURCES = ("dma", "gpio", "i2c", "interrupt", "keys", "kvm", "mmio", "network", "serial", "storage")
NEVER = {
    *("ptrace", "process_vm_readv", "process_vm_writev", "bpf", "perf_event_open", "userfaultfd"),
    *("keyctl", "add_key", "request_key", "kexec_load", "init_module", "finit_module", "delete_module"),
    *("reboot", "swapon", "swapoff", "pivot_root", "chroot", "setuid", "setgid", "capset", "seccomp"),
    *("open_by_handle_at", "name_to_handle_at", "pidfd_getfd", "kcmp", "quotactl", "acct", "syslog"),
}


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_policies_compile(arch: str, kind: str) -> None:
    program = compile_policy(policy_for(kind, RESOURCES), arch)
    assert 0 < len(program) // 8 < INSTRUCTIONS_MAX
    assert compile_policy(policy_for(kind, RESOURCES), arch) == program


@pytest.mark.parametrize("kind", KINDS)
def test_no_policy_holds_what_none_may(kind: str) -> None:
    without_kvm = [resource for resource in RESOURCES if resource != "kvm"]
    assert not {rule.name for rule in policy_for(kind, tuple(without_kvm)).allow} & NEVER
    # QEMU confines itself further (-sandbox on): a second filter can refuse more, and allow nothing.
    assert {rule.name for rule in policy_for(kind, RESOURCES).allow} & NEVER == {"seccomp"}


@pytest.mark.parametrize("kind", ["c", "python", "service"])
def test_ordinary_apps_open_no_connection_and_start_no_program(kind: str) -> None:
    allowed = {rule.name for rule in policy_for(kind).allow}
    assert not allowed & {"socket", "connect", "bind", "execve", "execveat", "unshare", "setns", "mount"}
    assert all(rule.conditions for rule in policy_for(kind).allow if rule.name in ("ioctl", "prctl", "clone"))


def test_what_a_resource_adds() -> None:
    assert "socket" in {rule.name for rule in policy_for("python", ("internet",)).allow}
    with_kvm = policy_for("service", ("kvm",))
    assert "execve" in {rule.name for rule in with_kvm.allow}
    assert "memfd_create" not in with_kvm.refuse


def test_programs_are_cached(tmp_path: Path) -> None:
    first = cached_program(policy_for("c"), "aarch64", tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.read_bytes() == first == cached_program(policy_for("c"), "aarch64", tmp_path)
    cached_program(policy_for("c"), "arm", tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_names_of_calls() -> None:
    assert call_name(101, 0xC000003E) == "ptrace"
    assert call_name(117, 0xC00000B7) == "ptrace"
    assert call_name(99999, 0xC000003E) == "number 99999"


def test_a_filter_that_a_read_only_image_lacks_is_still_made(tmp_path: Path, monkeypatch) -> None:
    def refused(_program: bytes, path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(compiler, "_keep", refused)
    made = cached_program(policy_for("c"), "aarch64", tmp_path)
    assert made == compile_policy(policy_for("c"), "aarch64") and not list(tmp_path.iterdir())
