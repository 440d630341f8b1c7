"""The logic of the service `vmm` without a QEMU: configuration, command line, disks, console, QMP."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import threading
from pathlib import Path

import pytest

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import (
    VM_CONSOLE_READ,
    VM_CONSOLE_WRITE,
    VM_SNAPSHOT,
    VM_SNAPSHOT_READ,
    VM_STATUS,
)
from kos.abi.status import Status
from kos.services.vmm import config, disks
from kos.services.vmm.command import Place, command
from kos.services.vmm.console import KEEP, Console, Port
from kos.services.vmm.output import WAITING_MAX, Output
from kos.services.vmm.qmp import LINE_MAX, Qmp
from kos.services.vmm.snapshots import Snapshots
from kos.services.vmm.terminal import HISTORY, Terminal

SETTINGS = {
    "memory": 64 << 20,
    "disks": [
        {"image": "a.img", "readonly": True, "size": 0},
        {"image": "b.img", "readonly": False, "size": 8192},
    ],
}
PLACE = Place("/qemu")


def test_a_guest_has_the_devices_of_a_microvm_and_no_other() -> None:
    text = command(config.parse("guest", {**SETTINGS, "net": True}), PLACE, 7, 8)
    assert text[text.index("-smp") + 1] == "1"
    assert text[text.index("-m") + 1] == f"size={64 << 20}B"
    assert {"-nodefaults", "-no-user-config"} <= set(text)
    assert (
        text[text.index("-sandbox") + 1].startswith("on,")
        and "spawn=deny" in text[text.index("-sandbox") + 1]
    )
    devices = [text[number + 1].split(",")[0] for number, word in enumerate(text) if word == "-device"]
    assert devices == ["virtio-serial-device", "virtconsole", *["virtio-blk-device"] * 2, "virtio-net-device"]
    drives = [text[number + 1] for number, word in enumerate(text) if word == "-blockdev"]
    assert any("read-only=on" in drive and "/app/disks/a.img" in drive for drive in drives)
    assert any("read-only=off" in drive and "/data/b.img" in drive for drive in drives)


def test_a_guest_without_a_network_has_no_device_for_it() -> None:
    assert "-netdev" not in command(config.parse("guest", SETTINGS), PLACE, 7, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory": (16 << 20) - 1}, "memory"),
        ({"memory": True}, "memory"),
        ({"disks": [{"image": f"{n}", "readonly": True} for n in range(6)]}, "6 are more than 5"),
        ({"disks": [{"image": "../secret", "readonly": True}]}, "no name of an image"),
        ({"disks": [{"image": "a,b", "readonly": True}]}, "no name of an image"),
        ({"disks": [{"image": "a", "readonly": False}]}, "needs a size"),
        ({"disks": [{"image": "a", "readonly": "no"}]}, "expected readonly"),
        ({"cmdline": "x" * 2049}, "cmdline"),
        ({"accel": "xen"}, "accel"),
    ],
)
def test_wrong_settings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config.parse("guest", {**SETTINGS, **changes})


def test_writable_disks_are_made_once_and_kept(tmp_path: Path) -> None:
    image, data = tmp_path / "app", tmp_path / "data"
    (image / "disks").mkdir(parents=True)
    data.mkdir()
    (image / "disks/b.img").write_bytes(b"first")
    place, guest = Place("/qemu", "", str(image), str(data)), config.parse("guest", SETTINGS)
    assert disks.prepare(guest, place) == ["b.img"]
    assert (data / "b.img").read_bytes() == b"first".ljust(8192, b"\0")
    (data / "b.img").write_bytes(b"the guest's own")
    assert disks.prepare(guest, place) == []
    assert (data / "b.img").read_bytes() == b"the guest's own"


def test_an_image_that_does_not_fit_its_disk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disks").mkdir()
    (tmp_path / "disks/b.img").write_bytes(bytes(8193))
    with pytest.raises(ValueError, match="more than the disk's 8192 bytes"):
        disks.prepare(config.parse("guest", SETTINGS), Place("/qemu", "", str(tmp_path), str(tmp_path)))
    assert not (tmp_path / "b.img").exists()


def test_the_console_keeps_the_newest_output() -> None:
    console = Console()
    console.feed(b"hello")
    assert console.read(0) == (5, b"hello")
    assert console.read(5) == (5, b"")
    console.feed(b"x" * KEEP)
    position, piece = console.read(5)
    assert (position, len(piece)) == (5 + PAYLOAD_MAX_SIZE, PAYLOAD_MAX_SIZE)
    console.feed(b"y" * 10)
    assert console.read(0)[0] == 15 + PAYLOAD_MAX_SIZE, "what is gone is left out"


def test_positions_go_round_after_32_bits() -> None:
    console = Console()
    console._total = (1 << 32) - 2
    console.feed(b"abcd")
    assert console.read((1 << 32) - 2) == (2, b"abcd")
    assert console.read(1) == (2, b"d")


def test_ready_is_seen_across_pieces() -> None:
    console = Console(b"login:")
    console.feed(b"... log")
    assert not console.ready
    console.feed(b"in: ")
    assert console.ready and Console().ready


def test_the_port_answers() -> None:
    typed: list[bytes] = []
    takes = [2]

    def type_in(data: bytes) -> int:
        typed.append(data)
        return takes[0]

    console = Console()
    console.feed(b"up\n")
    port = Port(console, type_in, lambda: b"{}")
    assert port.answer("a", VM_CONSOLE_READ, 0, b"") == (Status.OK, 3, b"up\n")
    assert port.answer("a", VM_CONSOLE_READ, 0, b"x").status is Status.BAD_REQUEST
    assert port.answer("a", VM_CONSOLE_WRITE, 0, b"ls\n") == (Status.OK, 2, b"")
    assert port.answer("a", VM_CONSOLE_WRITE, 0, b"").status is Status.BAD_REQUEST
    takes[0] = 0
    assert port.answer("a", VM_CONSOLE_WRITE, 0, b"ls\n").status is Status.FULL
    assert port.answer("a", VM_STATUS, 0, b"") == (Status.OK, 0, b"{}")
    assert port.answer("a", 99, 0, b"").status is Status.NOT_IMPLEMENTED
    assert typed == [b"ls\n", b"ls\n"]


def test_qmp_greets_answers_and_tells() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        qmp = Qmp(ours)
        assert qmp.feed(b'{"QMP": {"version": {}}}\r\n{"ret') == []
        assert json.loads(theirs.recv(4096)) == {"execute": "qmp_capabilities", "id": 1}
        assert qmp.feed(b'urn": {}, "id": 1}\n{"event": "SHUTDOWN", "data": {"guest": true}}\n') == [
            ("SHUTDOWN", {"guest": True})
        ]
        assert qmp.greeted
        qmp.feed(b'{"return": [1], "id": 2}\n')
        assert qmp.call("query-blockstats", 1.0) == [1]
        qmp.feed(b'{"error": {"desc": "no"}, "id": 3}\n')
        with pytest.raises(ValueError, match="no"):
            qmp.call("query-blockstats", 1.0)
        with pytest.raises(TimeoutError):
            qmp.call("query-blockstats", 0.0)


def test_output_comes_out_whole_and_in_order() -> None:
    readable, writable = os.pipe()
    output = Output(writable)
    output.write(b"one\r\ntw")
    output.say("ready")
    output.write(b"three\n")
    assert not output
    assert os.read(readable, 4096) == b"one\ntw\nvmm: ready\nthree\n"
    os.close(writable)
    os.close(readable)


def test_a_flood_waits_for_nobody_and_says_what_it_lost() -> None:
    readable, writable = os.pipe()
    output = Output(writable)
    line = b"x" * 63 + b"\n"
    total = 40_000 * len(line)
    for _ in range(40_000):
        output.write(line)  # would wait for ever on a pipe that nobody reads
    output.write(b"the last line\n")
    assert output
    got = b""
    while output:
        got += os.read(readable, 1 << 20)
        output.flush()
    got += os.read(readable, 1 << 20)
    assert got.endswith(b"the last line\n")
    (lost,) = re.findall(rb"vmm: (\d+) bytes of the guest's output are left out\n", got)
    kept = (
        len(got)
        - len(b"the last line\n")
        - len(b"\nvmm:  bytes of the guest's output are left out\n")
        - len(lost)
    )
    assert int(lost) + kept == total
    assert kept <= (1 << 20) + WAITING_MAX
    os.close(writable)
    os.close(readable)


class Reader:
    """The reader of a session, as `Terminal` sees it."""

    def __init__(self) -> None:
        self.open = True
        self.got = b""
        self.news = threading.Condition()

    def send(self, data: bytes) -> None:
        with self.news:
            self.got += data
            self.news.notify_all()

    def wait_for(self, wanted: bytes) -> None:
        with self.news:
            assert self.news.wait_for(lambda: wanted in self.got, 90.0), self.got


def test_a_person_sees_what_was_said_last_and_types() -> None:
    console, typed, room = Console(), bytearray(), [3]

    def type_in(data: bytes) -> int:
        taken = min(room[0], len(data))
        typed.extend(data[:taken])
        room[0] -= taken
        return taken

    console.feed(b"x" * HISTORY + b"login: ")
    reader = Reader()
    terminal = Terminal(console, type_in, reader)
    reader.wait_for(b"login: ")
    assert len(reader.got) == HISTORY
    terminal.feed(b"root\n")
    assert typed == b"roo", "a guest that does not read makes nobody wait"
    room[0] = 100
    console.feed(b"more")
    reader.wait_for(b"more")
    terminal.feed(b"!")
    assert typed == b"root\n!"
    reader.open = False


def snapshots(tmp_path: Path, paused: list[str]) -> Snapshots:
    disk = {"image": "b.img", "readonly": False, "size": 8192, "snapshots": True}
    guest = config.parse("guest", {**SETTINGS, "disks": [*SETTINGS["disks"][:1], disk]})

    @contextlib.contextmanager
    def pause():
        paused.append("stop")
        yield
        paused.append("cont")

    return Snapshots(guest, Place("/qemu", "", "", str(tmp_path)), pause)


def test_a_snapshot_is_a_copy_that_stays(tmp_path: Path) -> None:
    paused: list[str] = []
    port = snapshots(tmp_path, paused)
    (tmp_path / "b.img").write_bytes(b"first".ljust(8192, b"\0"))
    assert port.read("a", VM_SNAPSHOT_READ, 0, b"b.img").status is Status.NOT_FOUND
    assert port.take("a", VM_SNAPSHOT, 0, b"b.img") == (Status.OK, 2, b"")
    assert paused == ["stop", "cont"]
    (tmp_path / "b.img").write_bytes(b"second".ljust(8192, b"\0"))
    assert port.read("a", VM_SNAPSHOT_READ, 0, b"b.img").payload.startswith(b"first\0")
    assert len(port.read("a", VM_SNAPSHOT_READ, 1, b"b.img").payload) == 4096
    assert port.read("a", VM_SNAPSHOT_READ, 2, b"b.img").payload == b""
    assert (tmp_path / "b.img.snapshot").stat().st_mode & 0o222 == 0
    assert port.take("a", VM_SNAPSHOT, 0, b"b.img").status is Status.OK
    assert port.read("a", VM_SNAPSHOT_READ, 0, b"b.img").payload.startswith(b"second\0")


@pytest.mark.parametrize("name", [b"a.img", b"ghost", b"../b.img", b"\xff", b""])
def test_there_is_no_snapshot_of_anything_else(tmp_path: Path, name: bytes) -> None:
    port = snapshots(tmp_path, [])
    (tmp_path / "b.img").write_bytes(bytes(8192))
    assert port.take("a", VM_SNAPSHOT, 0, name).status is Status.NOT_FOUND
    assert port.read("a", VM_SNAPSHOT_READ, 0, name).status is Status.NOT_FOUND


def test_a_snapshot_without_room_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_source: str, target: str) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "no space")

    paused: list[str] = []
    port = snapshots(tmp_path, paused)
    (tmp_path / "b.img").write_bytes(bytes(8192))
    monkeypatch.setattr(disks.shutil, "copyfile", full)
    assert port.take("a", VM_SNAPSHOT, 0, b"b.img").status is Status.UNAVAILABLE
    assert [path.name for path in tmp_path.iterdir()] == ["b.img"]


@pytest.mark.parametrize("data", [b"x" * (LINE_MAX + 1), b"[1]\n", b"{\n"])
def test_what_is_no_qmp_ends_it(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ValueError):
        Qmp(ours).feed(data)
