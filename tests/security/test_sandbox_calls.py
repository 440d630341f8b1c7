"""System calls that reach out of a sandbox: each ends the app, is reported by name, harms no other app."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kos.device.seccomp.compiler import compile_policy
from kos.device.seccomp.policy import policy_for
from tests.device.systems import app, c_app, needs_bubblewrap
from tests.security.hostile import beside_steady_apps

pytestmark = pytest.mark.group("security")

USERS = [pytest.param(False, id="as-we-are")]
if os.geteuid() == 0:
    USERS.append(pytest.param(True, id="ordinary-user"))

# name of the call → a C statement that makes it; raw calls, so that libc cannot refuse first
CALLS = {
    "ptrace": "syscall(SYS_ptrace, 16, 1, 0, 0);",
    "process_vm_readv": "syscall(SYS_process_vm_readv, 1, 0, 0, 0, 0, 0);",
    "mount": 'syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, 0);',
    "umount2": 'syscall(SYS_umount2, "/proc", 2);',
    "pivot_root": 'syscall(SYS_pivot_root, "/tmp", "/tmp");',
    "chroot": 'syscall(SYS_chroot, "/tmp");',
    "unshare": "syscall(SYS_unshare, 0x10000000);",
    "setns": "syscall(SYS_setns, 3, 0);",
    "clone": "syscall(SYS_clone, 0x10000000 | 17, 0, 0, 0, 0);",
    "socket": "syscall(SYS_socket, 17, 3, 0x300);",
    "bpf": "syscall(SYS_bpf, 0, 0, 0);",
    "perf_event_open": "syscall(SYS_perf_event_open, 0, 0, -1, -1, 0);",
    "userfaultfd": "syscall(SYS_userfaultfd, 0);",
    "keyctl": "syscall(SYS_keyctl, 0, -3, 1);",
    "add_key": 'syscall(SYS_add_key, "user", "k", "v", 1, -3);',
    "request_key": 'syscall(SYS_request_key, "user", "k", 0, -3);',
    "init_module": 'syscall(SYS_init_module, "", 0, "");',
    "kexec_load": "syscall(SYS_kexec_load, 0, 0, 0, 0);",
    "reboot": "syscall(SYS_reboot, 0, 0, 0, 0);",
    "setuid": "syscall(SYS_setuid, 0);",
    "setresuid": "syscall(SYS_setresuid, 0, 0, 0);",
    "setgroups": "syscall(SYS_setgroups, 0, 0);",
    "capset": "syscall(SYS_capset, 0, 0);",
    "seccomp": "syscall(SYS_seccomp, 1, 0, 0);",
    "execve": 'char *a[] = {"x", 0}; syscall(SYS_execve, "/proc/self/exe", a, a);',
    "execveat": 'char *a[] = {"x", 0}; syscall(SYS_execveat, -100, "/proc/self/exe", a, a, 0);',
    "ioctl": 'syscall(SYS_ioctl, 0, 0x5412, "x");',  # TIOCSTI
    "prctl": "syscall(SYS_prctl, 8, 1, 0, 0, 0);",  # PR_SET_KEEPCAPS
    "sethostname": 'syscall(SYS_sethostname, "x", 1);',
    "settimeofday": "syscall(SYS_settimeofday, 0, 0);",
    "open_by_handle_at": "syscall(SYS_open_by_handle_at, -100, 0, 0);",
    "mknodat": 'syscall(SYS_mknodat, -100, "/tmp/m", 0x2000 | 0600, 0x101);',
    "shmget": "syscall(SYS_shmget, 0, 1 << 20, 0x200 | 0600);",
    "kcmp": "syscall(SYS_kcmp, 1, 1, 0, 0, 0);",
    "pidfd_getfd": "syscall(SYS_pidfd_getfd, 3, 0, 0);",
    "mmap": "syscall(SYS_mmap, 0, 4096, 7, 0x22, -1, 0);",  # writable and executable
}
_C = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
int main(int argc, char **argv) {{
    const char *which = argv[1];
    {body}
    printf("got through: %s\n", which);
    return 0;
}}
"""
_OTHER_ENTRIES = {
    "32-bit": '__asm__ volatile("int $0x80" :: "a"(26));',
    "x32": "syscall(0x40000000 | 101, 16, 1, 0, 0);",
}


@pytest.mark.parametrize("ordinary_user", USERS)
def test_calls_of_c_apps(tmp_path: Path, ordinary_user: bool) -> None:
    """One app for all the calls, restarted with the next: its image is compiled once."""
    needs_bubblewrap()
    source = _C.format(
        body="\n    ".join(f'if (!strcmp(which, "{name}")) {{ {body} }}' for name, body in CALLS.items())
    )
    others = {
        f"hostile_{name}": c_app(source, arguments=[name], processes=4) for name in CALLS if name != "ptrace"
    }
    first = c_app(source, arguments=["ptrace"])
    with beside_steady_apps(tmp_path, first, others=others, ordinary_user=ordinary_user) as system:
        for name in CALLS:
            who = "hostile" if name == "ptrace" else f"hostile_{name}"
            system.wait_for(f"| {who}: system call {name} (")
        assert not any("got through" in line for line in system.lines)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="not applicable: no second architecture here")
@pytest.mark.parametrize("entry", _OTHER_ENTRIES)
def test_calls_of_another_architecture(tmp_path: Path, entry: str) -> None:
    """The other entries of an x86_64 kernel have other numbers: the filter must not be passed that way."""
    source = "#include <unistd.h>\nint main(void) { " + _OTHER_ENTRIES[entry] + " return 0; }"
    with beside_steady_apps(tmp_path, c_app(source)) as system:
        system.wait_for("hostile: killed by SIGSYS")


# Puts on the filter in the file that it is given, then prints which of these sockets it may have.
_SOCKETS = r"""
import ctypes, socket, struct, sys
program = open(sys.argv[1], "rb").read()
memory = ctypes.create_string_buffer(program)
filters = struct.pack("@HP", len(program) // 8, ctypes.addressof(memory))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, filters, 0, 0) == 0  # PR_SET_SECCOMP
for family, kind, protocol in [
    (2, 1, 0), (2, 1, 6), (2, 2, 17), (10, 1, 0), (10, 2, 0), (1, 1, 0),
    (2, 1, 132), (2, 1, 262), (2, 2, 136), (10, 1, 262), (2, 3, 1), (17, 2, 0), (16, 3, 0), (38, 5, 0),
]:
    descriptor = libc.socket(family, kind, protocol)
    print(family, kind, protocol, "made" if descriptor >= 0 else ctypes.get_errno())
"""


def test_sockets_of_an_app_with_a_network(tmp_path: Path) -> None:
    """TCP and UDP and local ones; no SCTP, MPTCP or UDP-Lite, whose modules the kernel would load for it."""
    program = tmp_path / "program"
    program.write_bytes(compile_policy(policy_for("python", ("internet",)), os.uname().machine))
    command = [sys.executable, "-c", _SOCKETS, str(program)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    made = [line.removesuffix(" made") for line in said if line.endswith(" made")]
    assert made == ["2 1 0", "2 1 6", "2 2 17", "10 1 0", "10 2 0", "1 1 0"]
    refused = {int(line.split()[3]) for line in said if not line.endswith(" made")}
    assert refused == {errno.ENOSYS, errno.EAFNOSUPPORT}  # a violation where somebody listens, and netlink's


# name of the call → Python that makes it; `call` makes one by its number
PYTHON_CALLS = {
    "socket": "import socket; socket.create_connection(('127.0.0.1', 22), 1)",
    "unshare": "libc.unshare(0x10000000)",
    "setns": "libc.setns(3, 0)",
    "ptrace": "libc.ptrace(16, 1, 0, 0)",
    "process_vm_readv": "libc.process_vm_readv(1, 0, 0, 0, 0, 0)",
    "execve": "import subprocess, sys; subprocess.run([sys.executable, '-c', 'pass'])",
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0)",
    "umount2": "libc.umount2(b'/proc', 2)",
    "chroot": "import os; os.chroot('/tmp')",
    "setuid": "libc.setuid(0)",
    "keyctl": "call(0, -3, 1)",
    "add_key": "call(b'user', b'k', b'v', 1, -3)",
    "request_key": "call(b'user', b'k', 0, -3)",
    "bpf": "call(0, 0, 0)",
}


@pytest.mark.parametrize("ordinary_user", USERS)
def test_calls_of_python_apps(tmp_path: Path, ordinary_user: bool) -> None:
    pyseccomp = pytest.importorskip("pyseccomp", reason="needs libseccomp: apt-get install libseccomp2")
    numbers = {name: pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) for name in PYTHON_CALLS}
    apps = {
        f"hostile_{name}": app(
            "import ctypes\ndef main():\n    libc = ctypes.CDLL(None)\n"
            f"    call = lambda *words: libc.syscall({numbers[name]}, *words)\n"
            f"    {code}\n    print('got through')"
        )
        for name, code in PYTHON_CALLS.items()
    }
    first = apps.pop("hostile_socket")
    with beside_steady_apps(tmp_path, first, others=apps, ordinary_user=ordinary_user) as system:
        system.wait_for("| hostile: system call socket (")
        for name in list(PYTHON_CALLS)[1:]:
            system.wait_for(f"| hostile_{name}: system call {name} (")
        assert not any("got through" in line for line in system.lines)


_RAW = (
    "import socket\ndef main():\n    socket.socket(socket.{}, socket.SOCK_RAW, {})\n    print('got through')"
)


def test_raw_sockets_of_python_apps(tmp_path: Path) -> None:
    others = {
        "hostile_packet": app(_RAW.format("AF_PACKET", 0x300)),
        "hostile_netlink": app(_RAW.format("AF_NETLINK", 0)),
    }
    with beside_steady_apps(tmp_path, app(_RAW.format("AF_INET", 1)), others=others) as system:
        for name in ("hostile", *others):
            system.wait_for(f"| {name}: system call socket (")
        assert not any("got through" in line for line in system.lines)
