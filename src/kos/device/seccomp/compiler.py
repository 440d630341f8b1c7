"""Turn a `Policy` into a seccomp program for one architecture, by libseccomp.

libseccomp is loaded only when something must be compiled or named: a program once compiled is kept in a cache
directory that only the supervisor writes.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from kos.abi.digest import sha256_hex
from kos.abi.errors import KosError
from kos.abi.hints import TYPE_CHECKING
from kos.device.seccomp.policy import Condition, Policy

if TYPE_CHECKING:
    from types import ModuleType

ARCHITECTURES = {"x86_64": "X86_64", "aarch64": "AARCH64", "arm": "ARM"}
# Raise it when the compiler changes what a policy compiles to.
COMPILER_VERSION = 2
_KILL_PROCESS = 0x80000000
_TREE = 2  # CTL_OPTIMIZE: a binary tree over the numbers instead of a list


def _seccomp() -> ModuleType:
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as error:
        raise KosError(
            f"libseccomp is needed to compile the system-call filter: {error}",
            hint="apt-get install libseccomp2",
        ) from error
    return pyseccomp


def compile_policy(policy: Policy, arch: str) -> bytes:
    """The BPF program of a policy for `arch`, one of `ARCHITECTURES`."""
    seccomp = _seccomp()
    target = getattr(seccomp.Arch, ARCHITECTURES[arch])
    program = seccomp.SyscallFilter(seccomp.NOTIFY)
    if target != seccomp.system_arch():
        program.add_arch(target)
        program.remove_arch(seccomp.system_arch())
    program.set_attr(seccomp.Attr.ACT_BADARCH, _KILL_PROCESS)
    program.set_attr(seccomp.Attr.CTL_OPTIMIZE, _TREE)

    def known(name: str) -> bool:
        return seccomp.resolve_syscall(target, name) >= 0

    for rule in policy.allow:
        if known(rule.name):
            program.add_rule(seccomp.ALLOW, rule.name, *(_comparison(seccomp, c) for c in rule.conditions))
    for name, error in policy.refuse.items():
        if known(name):
            program.add_rule(seccomp.ERRNO(error), name)
    for rule, error in policy.refuse_if:
        if known(rule.name):
            comparisons = (_comparison(seccomp, condition) for condition in rule.conditions)
            program.add_rule(seccomp.ERRNO(error), rule.name, *comparisons)
    import tempfile

    with tempfile.TemporaryFile() as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()


def _comparison(seccomp: ModuleType, condition: Condition) -> object:
    return seccomp.Arg(condition.index, seccomp.MASKED_EQ, condition.mask, condition.value)


def cached_program(policy: Policy, arch: str, cache: Path) -> bytes:
    """The program of a policy, from `cache` where an earlier run left it."""
    key = sha256_hex(repr((COMPILER_VERSION, arch, policy)).encode())
    path = cache / f"{key}.bpf"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        program = compile_policy(policy, arch)
    try:
        _keep(program, path)
    except OSError as error:
        if error.errno != errno.EROFS:  # a device's image: it holds every filter that it knows of
            raise
    return program


def _keep(program: bytes, path: Path) -> None:
    import tempfile  # slow to import, and needed for a new program only

    path.parent.mkdir(parents=True, exist_ok=True)
    # Others may compile the same policy at this moment: each writes its own file and the last one wins.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(program)
    os.replace(file.name, path)


def call_name(number: int, audit_arch: int) -> str:
    """The name of a system call as a notification reports it; its number where libseccomp knows none."""
    seccomp = _seccomp()
    try:
        return str(seccomp.resolve_syscall(audit_arch, number).decode())
    except ValueError:
        return f"number {number}"
