"""kos-launch by itself: what it refuses, step by step, and that it never starts a program then."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from kos.device.launcher import cache_folder, host_launcher
from kos.device.seccomp.compiler import compile_policy
from kos.device.seccomp.policy import policy_for
from tests.device.systems import DEADLINE, needs_bubblewrap

ARCH = {"armv7l": "arm"}.get(os.uname().machine, os.uname().machine)


@pytest.fixture(scope="module")
def launch() -> Path:
    return host_launcher(cache_folder())


def run(launch: Path, *arguments: str, filter_bytes: bytes | None = None, go: bytes = b"go") -> list[str]:
    """kos-launch as process 1 of a namespace; → what it says to the supervisor, and to stderr."""
    needs_bubblewrap()
    if filter_bytes is None:
        filter_bytes = compile_policy(policy_for("c"), ARCH)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(DEADLINE)
    program = os.memfd_create("filter")
    os.write(program, filter_bytes)
    orders = ["--status", str(theirs.fileno()), "--filter", str(program), *arguments]
    command = ["bwrap", "--unshare-pid", "--as-pid-1", "--bind", "/", "/", "--", str(launch), *orders]
    if os.geteuid() == 0:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            command[1:1] = ["--cap-add", capability]
    with ours:
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno(), program], stderr=subprocess.PIPE, text=True
        )
        theirs.close()
        os.close(program)
        said = []
        while packet := _receive(ours):
            said.append(packet.decode())
            if packet == b"hello":
                ours.send(go)
        _, errors = process.communicate(timeout=DEADLINE)
    return said + errors.splitlines()


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(512)
    except ConnectionResetError:
        return connection.recv(512)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "error arguments: --status, --filter, PATH and ARG0 are needed"),
        (("--", "/bin/true"), "error arguments: --status, --filter, PATH and ARG0 are needed"),
        (("--uid", "5", "--", "/bin/true", "t"), "error arguments: --status, --filter, PATH and ARG0"),
        (("--uid", "0", "--gid", "0", "--", "/bin/true", "t"), "error --uid: an app never runs as root"),
        (("--uid", "-1", "--gid", "5", "--", "/bin/true", "t"), "error --uid: Invalid argument"),
        (("--uid", "5x", "--gid", "5", "--", "/bin/true", "t"), "error --uid: Invalid argument"),
        (("--rlimit", "nofile", "--", "/bin/true", "t"), "error --rlimit: unknown name"),
        (("--rlimit", "beer=5", "--", "/bin/true", "t"), "error --rlimit: unknown name"),
        (("--pass", "999", "--", "/bin/true", "t"), "error --pass: Bad file descriptor"),
        (("--pass", "0") * 33 + ("--", "/bin/true", "t"), "error --pass: Argument list too long"),
        (("--group", "0", "--", "/bin/true", "t"), "error --group: Invalid argument"),
        (("--group", "5") * 17 + ("--", "/bin/true", "t"), "error --group: Argument list too long"),
        (("--dance", "5", "--", "/bin/true", "t"), "error --dance: Invalid argument"),
    ],
)
def test_bad_orders(launch: Path, arguments: tuple[str, ...], error: str) -> None:
    said = run(launch, *arguments)
    assert len(said) == 1 and said[0].startswith(error)


@pytest.mark.parametrize("size", [0, 7, 8 * 4097])
def test_bad_filters(launch: Path, size: int) -> None:
    said = run(launch, "--", "/bin/true", "t", filter_bytes=bytes(size))
    assert said == ["error filter: its size is not that of a program: Invalid argument"]


def test_filter_that_the_kernel_refuses(launch: Path) -> None:
    said = run(launch, "--", "/bin/true", "t", filter_bytes=b"\xff" * 8)
    assert "error seccomp: Invalid argument" in said


def test_supervisor_that_does_not_say_go(launch: Path) -> None:
    assert run(launch, "--", "/bin/true", "t", go=b"no") == ["hello", "error go: Connection reset by peer"]


def test_more_than_root_gives(launch: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("not applicable: root may become anyone")
    said = run(launch, "--uid", "5", "--gid", "5", "--", "/bin/true", "t")
    assert any(line.startswith("error ") for line in said)


def test_outside_of_a_process_namespace(launch: Path) -> None:
    program = os.memfd_create("filter")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [
        str(launch),
        "--status",
        str(theirs.fileno()),
        "--filter",
        str(program),
        "--",
        "/bin/true",
        "t",
    ]
    done = subprocess.run(command, pass_fds=[theirs.fileno(), program], check=False)
    theirs.close()
    os.close(program)
    with ours:
        assert done.returncode == 126
        assert ours.recv(512) == b"error not process 1 of a process namespace: Operation not permitted"


def test_sends_its_error_where_anyone_can_read_it_without_a_status_socket(launch: Path) -> None:
    done = subprocess.run([str(launch)], capture_output=True, text=True, check=False)
    assert done.returncode == 126
    assert done.stderr.startswith("kos-launch: error arguments")
