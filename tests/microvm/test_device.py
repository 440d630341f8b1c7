"""The example inside the emulated device: the image with hyp=on, emulated EL2, the kernel's KVM, the sandbox,
and a gateway outside.

One boot shared by all checks, because in software emulation it takes a minute. The visitor is `driver.py`,
which goes through everything that a guest may do wrong; the checks here read the device's console.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kos.keys import pairs
from kos.network.namespaces import in_namespace
from kos.tool import runs
from kos.tool.request import RunRequest
from kos.tool.runners.qemu_arm_virt import make
from tests.integration.qemu_device import Device, archive, needs_sdk, push
from tests.network import lab
from tests.network.lab import EchoServer, GatewayProcess, Wire

pytestmark = [pytest.mark.group("microvm"), pytest.mark.timeout(1800)]

PLATFORM = "qemu-arm-virt,hyp=on"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples/vmm_example"
DRIVER = Path(__file__).with_name("driver.py")
GUEST_SECONDS = 400.0  # to anything that the guest does, on a busy machine without KVM of its own
SCANNED = (
    "127.0.0.1",
    "10.0.2.2",
    "10.0.2.3",
    "10.90.1.3",
    "10.90.1.2",
    "10.90.0.1",
)  # as the visitor has it
WEB = 80
NEIGHBOUR = 'tunnel_ips={"visitor": TunnelIp("10.90.1.3", "255.255.0.0", GATEWAY), '


def project(folder: Path) -> Path:
    """The example with our driver in place of its visitor, which has a network too."""
    made = shutil.copytree(EXAMPLE, folder)
    shutil.copy(DRIVER, made / "apps/visitor/visitor/__init__.py")
    system = made / "system.py"
    text = system.read_text().replace("tunnel_ips={", NEIGHBOUR)
    text = text.replace(
        ".connect_protocol(",
        '.connect_protocol("visitor", Poukai.internet)\n            .connect_protocol(',
        1,
    )
    text = text.replace("    net=True,", "    net=True,\n    debug=True,")
    # A device gives a release two minutes to be healthy, which a guest in nested emulation may need on a busy
    # machine: the last test looks for itself.
    options = "set_kos_options(disable_signing=True, remote_shell=True, health_check=False, "
    system.write_text(text.replace("set_kos_options(", options))
    return made


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """The server's end of the tunnel: one service that the guest may reach, and one that it may not."""
    lab.require_tools()
    folder = tmp_path_factory.mktemp("gateway")
    public = pairs.generate(folder / "keys", pairs.DEVICE_KEYS.items())
    with lab.closing_all() as things:
        wire = Wire()
        things.append(wire.close)
        echo = EchoServer(wire.gateway)
        things.append(echo.close)
        services = [f"web={WEB}:127.0.0.1:{echo.port}", f"hidden=8080:127.0.0.1:{echo.port}"]
        made = GatewayProcess(wire, folder / "gateway", user=False, services=services)
        things.append(made.stop)
        made.allow({"device-1": (public["tunnel"], ["10.90.1.2/32", "10.90.1.3/32"])})
        made.wire, made.keys = wire, folder / "keys"
        yield made


@pytest.fixture(scope="module")
def device(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """The device with its guest, ready."""
    needs_sdk(PLATFORM)
    folder = tmp_path_factory.mktemp("device")
    source = project(folder / "project")
    (source / "config.toml").write_text(
        f'[tunnel]\npeer_endpoint = "10.0.2.2:51820"\npeer_public_key = "{gateway.public_key}"\n'
    )
    monkeypatch = pytest.MonkeyPatch()
    (folder / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))  # where commands look for what runs
    held = contextlib.ExitStack()
    held.callback(monkeypatch.undo)
    place = held.enter_context(runs.new("vmm_example"))
    machine = make(RunRequest(source, PLATFORM, keys=gateway.keys), place)
    # Not by `start`: what it starts ends with the thread that asked, and a namespace is entered in one.
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = in_namespace(gateway.wire.gateway, lambda: subprocess.Popen(machine.command(), **pipes))
    running = Device(machine, process, time.monotonic(), folder / "console.log")
    running.project = source
    try:
        running.wait_for(r"guest +\| guest: ready", seconds=GUEST_SECONDS)
        yield running
    finally:
        running.kill()
        held.close()


def tool(*arguments: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "kos.tool", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GUEST_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def at_the_console(*typed_and_answered: tuple[str, str]) -> str:
    """What a person sees at the guest's console who types each line once the one before was answered.

    A guest may be silent for longer than the command waits for it at the end of what is piped in.
    """
    command = [sys.executable, "-m", "kos.tool", "console", "vmm_example", "--vm", "guest"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        shown = b""
        try:
            for typed, answer in typed_and_answered:
                process.stdin.write(typed.encode())
                process.stdin.flush()
                deadline = time.monotonic() + GUEST_SECONDS
                while answer.encode() not in shown:
                    left = max(0.0, deadline - time.monotonic())
                    assert select.select([process.stdout], [], [], left)[0], f"{answer!r} not in {shown!r}"
                    part = os.read(process.stdout.fileno(), 1 << 16)
                    assert part, f"ended after {shown!r}"
                    shown += part
            process.stdin.close()
            assert process.wait(GUEST_SECONDS) == 0
        finally:
            process.kill()
    return shown.decode(errors="replace")


def line_of(device: Device, pattern: str) -> str:
    """The first line of the console that holds the pattern."""
    return device.lines[device.wait_for(pattern, seconds=GUEST_SECONDS)][1]


def test_the_guest_sees_one_processor_its_memory_and_five_disks(device: Device) -> None:
    for pattern in (
        r"guest +\| guest: up, 1 processor, [2-6][0-9] MiB of memory",
        r'guest +\| guest: disk vda, 64 KiB, read-only, begins with "A letter to you\."',
        r'guest +\| guest: disk vdb, 64 KiB, read-only, begins with "Here be dragons\."',
        r"guest +\| guest: disk vdc, 4096 KiB, writable, start 1",
        r"guest +\| guest: disk vdd, 1024 KiB, writable, start 1",
        r"guest +\| guest: disk vde, 8192 KiB, mounted, start 1",
    ):
        device.wait_for(pattern)


def test_an_app_speaks_with_it_through_its_port(device: Device) -> None:
    status = json.loads(line_of(device, r"visitor +\| status ").partition("status ")[2])
    device.wait_for(r"visitor +\| the guest said hello")
    assert status["memory"] == 64 << 20
    assert status["cpu_seconds"] > 0 and status["resident"] > 0
    assert status["disks"]["data.img"]["wr_bytes"] > 0
    assert len(status["disks"]) == 5 and {"rx_bytes", "tx_bytes"} <= status["net"].keys()


def test_a_disk_is_copied_while_the_guest_stands_still(device: Device) -> None:
    line_of(device, r"visitor +\| snapshot of 1024 pieces, b'starts 1', 0 beyond")
    line_of(device, r"visitor +\| no snapshot: NOT_FOUND")


def test_the_guest_reaches_the_server_and_nothing_else(device: Device, gateway: GatewayProcess) -> None:
    line_of(device, r'guest +\| guest: reached 10\.90\.0\.1:80, it says "HEAD / HTTP/1\.0"')
    line_of(device, r"guest +\| guest: the server was reached through the tunnel")
    line_of(device, r"visitor +\| nobody came to the neighbour")
    for address in SCANNED:  # the visitor heard of it by another way than the console
        device.wait_for(rf"guest: scan of {re.escape(address)}: .* open")
    found = dict(re.findall(r"guest: scan of (\S+): (.*) open", device.text()))
    assert found.pop("10.90.0.1") == "80"
    assert set(found.values()) == {"nothing"}, found
    assert len(found) == 5
    (report,) = gateway.status()["devices"]
    assert report["rx_bytes"] > 0


def test_a_full_disk_is_the_guests_own(device: Device) -> None:
    kib = int(re.search(r"with (\d+) KiB", line_of(device, r"guest +\| guest: the disk is full"))[1])
    assert 4096 < kib < 8192


def test_a_flood_costs_the_guest_its_lines_and_nobody_else(device: Device) -> None:
    # The visitor has it from the guest's port: on the console the end of the flood itself may be left out.
    # What our own side leaves out it tells (tests/services/test_vmm.py); QEMU's virtio console drops what its
    # socket has no room for and tells nobody, so how much was shown or told of says nothing here.
    line_of(device, r"visitor +\| the guest has flooded its console")
    device.wait_for(r"guest +[|+] 0{60}")


@pytest.mark.parametrize(("word", "start"), [("eat", 2), ("panic", 3)])
def test_a_guest_that_dies_is_restarted_and_keeps_its_disks(device: Device, word: str, start: int) -> None:
    line_of(device, rf"visitor +\| the guest is back after {word}")
    device.wait_for(r"guest +\| vmm: the guest panicked or restarted itself")
    device.wait_for(rf"guest +\| guest: disk vdc, 4096 KiB, writable, start {start}")
    device.wait_for(rf"guest +\| guest: disk vde, 8192 KiB, mounted, start {start}")


def test_a_person_is_at_the_console_of_the_guest(device: Device) -> None:
    line_of(device, r"visitor +\| the guest is back after panic")
    so_far = len(device.lines)
    shown = at_the_console(
        ("", "guest: ready"),  # the newest output is shown first
        ("hello\n", "guest: hello to you"),
        ("what\n", "panic, reboot or poweroff?"),
    )
    assert shown.index("guest: ready") < shown.index("guest: hello to you")
    device.wait_for(r"supervisor +\| guest: .*a guest's console", so_far)
    assert re.search(r"guest +running", tool("status", "vmm_example"))


def test_nobody_else_noticed(device: Device) -> None:
    line_of(device, r"visitor +\| the guest is back after panic")
    text = device.text()
    assert "killed: out of memory" not in text, "the limit must hold the guest and its monitor"
    assert "is not allowed" not in text
    ended = re.findall(r"supervisor +\| (\S+): .*(?:exited|killed|restart)", text)
    assert set(ended) <= {"guest"}, ended


def test_a_changed_guest_replaces_the_running_one_and_keeps_its_disks(device: Device, tmp_path: Path) -> None:
    line_of(device, r"visitor +\| the guest is back after panic")
    letter = device.project / "disks/letter.img"
    letter.write_bytes(b"Another letter.\n".ljust(65536, b"\0"))
    so_far = len(device.lines)
    path = archive(device.project, tmp_path / "manifest.zip", PLATFORM)
    events, _sent = push(device, path, tmp_path)
    (applied,) = [event for event in events if event["event"] == "applied"]
    assert applied["stopped"] == applied["started"] == ["guest"]
    assert [event["event"] for event in events][-1] == "healthy", events
    # Two seconds are an app's to stop in, whatever it emulates.
    device.wait_for(r"guest +\| vmm: stopped|supervisor +\| guest: did not stop within", so_far)
    device.wait_for(r'guest: disk vda, 64 KiB, read-only, begins with "Another letter\."', so_far)
    device.wait_for(r"guest: disk vdc, 4096 KiB, writable, start 4", so_far)
    device.wait_for(r"guest +\| guest: ready", so_far)
