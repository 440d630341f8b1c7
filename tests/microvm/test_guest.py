"""Guests under the service's own machine, in software emulation on this machine: what they see and what their
misbehaviour costs. The sandbox and KVM are `test_device`'s subject.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kos.abi.errors import KosError
from kos.build.image.run import find
from kos.build.vm_image import Guest
from kos.manifest import PlatformSpec, VmImage
from tests.integration.qemu_device import Device, needs_sdk

pytestmark = [pytest.mark.group("microvm"), pytest.mark.timeout(600)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/vmm_example"
MIB = 1 << 20
END_SECONDS = 90.0
TRIES = 10
FLOOD_KIB = 100 << 10  # of output that nobody keeps


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's guest with five disks, built."""
    needs_sdk("qemu-arm-virt,hyp=on")
    try:
        find("qemu-system-aarch64")
    except KosError as error:
        pytest.skip(f"needs QEMU: {error.hint}")
    root = tmp_path_factory.mktemp("guest")
    (root / "guest").symlink_to(EXAMPLE / "guest")
    for number in range(3):
        (root / f"read{number}.img").write_bytes(f"image {number}".encode().ljust(65536, b"\0"))
    (root / "kept.img").write_bytes(b"starts 41\n")
    disks = ("read0.img", "read1.img", "read2.img", "kept.img")
    sources = VmImage("kos.services.vmm.main:main", "guest", None, disks)
    Guest(root, sources, PlatformSpec.parse("qemu-arm-virt,hyp=on")).fill(root / "built")
    return root / "built"


SETTINGS = {
    "memory": 64 * MIB,
    "ready": "guest: ready",
    "shutdown": "poweroff\n",
    "cmdline": "quiet",
    "disks": [
        *({"image": f"read{number}.img", "readonly": True, "size": 0} for number in range(3)),
        {"image": "kept.img", "readonly": False, "size": 65536},
        {"image": "blank.img", "readonly": False, "size": 4 * MIB},
    ],
}


class Running(Device):
    """A guest that runs; lines typed to it go through `type`."""

    def type(self, text: str) -> int:
        """Type a line; → the number of console lines so far, to wait from."""
        assert self.process.stdin is not None
        so_far = len(self.lines)
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()
        return so_far

    def ended(self) -> int:
        """The service's exit status, once it has ended."""
        return self.process.wait(END_SECONDS)


@contextlib.contextmanager
def guest(image: Path, data: Path, prefix: Sequence[str] = (), **settings: object) -> Iterator[Running]:
    data.mkdir(exist_ok=True)
    command = [*prefix, sys.executable, "-m", "tests.microvm.run_guest", str(image), str(data)]
    process = subprocess.Popen(
        [*command, json.dumps({**SETTINGS, **settings})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    running = Running(None, process, time.monotonic())
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # QEMU too, where the service left it
        running.kill()


def test_disks_console_network_and_a_graceful_stop(image: Path, tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with listener, guest(image, tmp_path / "data", net=True) as one:
        one.wait_for("guest: up, 1 processor")
        for number, letter in enumerate("abc"):
            one.wait_for(f'disk vd{letter}, 64 KiB, read-only, begins with "image {number}"')
        one.wait_for("disk vdd, 64 KiB, writable, start 42")
        one.wait_for("disk vde, 4096 KiB, writable, start 1")
        one.wait_for("vmm: ready")
        one.wait_for("guest: hello to you", one.type("hello"))
        threading.Thread(target=welcome_all, args=[listener], daemon=True).start()
        # A guest waits four seconds for what it connects to, which a busy machine may need.
        assert any("welcome" in connected(one, f"10.0.2.2:{port}") for _ in range(TRIES))
        status = counters_of(one)
        assert status["disks"]["blank.img"]["wr_bytes"] > 0 and status["cpu_seconds"] > 0
        assert status["resident"] > 0
        one.process.send_signal(signal.SIGTERM)
        assert one.ended() == 0
        one.wait_for("vmm: stopped")


def test_disks_outlive_a_panic_and_the_image(image: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "kept.img").write_bytes(b"starts 7\n".ljust(65536, b"\0"))
    with guest(image, data) as one:
        one.wait_for("disk vdd, 64 KiB, writable, start 8")
        one.wait_for("vmm: ready")
        one.type("panic")
        assert one.ended() == 1
        one.wait_for("Kernel panic")
        one.wait_for("vmm: the guest panicked or restarted itself")
    assert (data / "kept.img").read_bytes().startswith(b"starts 8\n")


def test_a_guest_that_floods_and_eats_harms_only_itself(image: Path, tmp_path: Path) -> None:
    with guest(image, tmp_path / "data") as one:
        one.wait_for("vmm: ready")
        pid = qemu_of(one)
        said = one.type(f"flood {FLOOD_KIB}")
        one.wait_for("guest: the flood is over", said)
        assert _resident(one.process.pid) < 64 * MIB, "the service keeps the newest output only"
        one.type("eat")
        most = 0
        with contextlib.suppress(FileNotFoundError, IndexError, ProcessLookupError):
            while one.process.poll() is None:
                most = max(most, _resident(pid))
                one.process.poll()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    one.process.wait(0.2)
        assert one.ended() == 1, "a guest whose process 1 was killed for memory panics"
        assert most < SETTINGS["memory"] + 256 * MIB, (
            "software emulation keeps translated code beside the RAM"
        )


def test_a_guest_reaches_what_its_app_reaches_and_nothing_else(image: Path, tmp_path: Path) -> None:
    """An app without a network is in an empty namespace; its guest's connections are the app's own."""
    empty = ("unshare", "--map-root-user", "--net")
    if subprocess.run([*empty, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs user namespaces: sysctl kernel.unprivileged_userns_clone=1")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with listener, guest(image, tmp_path / "data", empty, net=True) as one:
        one.wait_for("vmm: ready")
        for address in ("10.0.2.2", "127.0.0.1", "192.0.2.1"):
            said = one.type(f"connect {address}:{port}")
            one.wait_for(f"guest: {address}:{port} cannot be reached", said)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
        os.kill(qemu_of(one), signal.SIGKILL)
        assert one.ended() == 1
        one.wait_for("vmm: QEMU ended with status -9")


def welcome_all(listener: socket.socket) -> None:
    """Greet whoever comes, until the listener is closed."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(END_SECONDS)
                connection.sendall(b"welcome\n")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 12):  # to the end, or closing would take the greeting back
                    pass


def connected(one: Running, place: str) -> str:
    """What the guest says of its way to a place."""
    said = one.type(f"connect {place}")
    return one.lines[one.wait_for(f"guest: (reached {place}, it says|{place} cannot be reached)", said)][1]


def counters_of(one: Running) -> dict[str, Any]:
    """What the service tells of its guest. QEMU has a second for its disks, which a busy machine may need."""
    deadline = time.monotonic() + END_SECONDS
    while True:
        line = one.wait_for("vmm: status ", one.type("status"))
        found = json.loads(one.lines[line][1].partition("status ")[2])
        if "disks_error" not in found:
            return found
        assert time.monotonic() < deadline, found


def qemu_of(one: Running) -> int:
    """The process of its QEMU."""
    return int(one.lines[one.wait_for("vmm: pid ", one.type("pid"))][1].rpartition(" ")[2])


def _resident(pid: int) -> int:
    """Bytes, from proc(5)'s statm."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
