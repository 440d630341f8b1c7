"""The tunnel of the real image under QEMU: DHCP, the kernel's own WireGuard, an app's address, a gateway
outside.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from textwrap import dedent

import pytest

from kos.keys import pairs
from kos.network.namespaces import in_namespace
from kos.tool.request import RunRequest
from kos.tool.runners.qemu_arm_virt import make
from tests.examples.running import Run
from tests.integration.qemu_device import BOOT_SECONDS, PLATFORM, needs_sdk
from tests.network import lab
from tests.network.lab import EchoServer, GatewayProcess, Wire

pytestmark = [pytest.mark.group("qemu"), pytest.mark.timeout(1200)]

SYSTEM = """
    from kos.manifest import App, Context, PythonImage, System, TunnelIp
    from kos.systems import Poukai

    class Probing(System):
        base = Poukai(tunnel=True)
        release = "0.1.0"

        def setup(self, ctx: Context) -> Context:
            return (
                ctx.put_app(App("probe", PythonImage("probe")))
                .connect_protocol("probe", Poukai.internet)
                .set_kos_options(
                    tunnel_ips={"probe": TunnelIp("10.90.1.2", "255.255.0.0", "10.90.0.1")},
                    disable_signing=True
                )
            )
"""
PROJECT = """
    [project]
    name = "probe"
    version = "0.1.0"
    requires-python = ">=3.11"
"""
PROBE = """
    import json, socket, struct, time
    from kos import app
    from kos.abi.services import INTERNET_STATUS

    def main():
        app.ready()
        tunnel = app.connect("kos_internet_protocol")
        while True:
            status = json.loads(tunnel.call(INTERNET_STATUS).payload)
            if status["state"] == "connected":
                break
            time.sleep(1)
        with socket.create_connection((status["gateway"], 7), timeout=120) as c:
            c.sendall(b"from the real image")
            print("echo", c.recv(100).decode(), c.getsockname()[0], flush=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as s:
            s.settimeout(120)
            s.connect((status["gateway"], 0))
            s.send(struct.pack("!BBHHH", 8, 0, 0, 0, 1) + b"from the real image")
            print("ping", s.recv(100)[8:].decode(), flush=True)
        for port in (22, 80):
            try:
                # Who was reached has a name: a refusal by ICMP may be over before it is asked for.
                found = socket.create_connection(("10.0.2.2", port), timeout=5).getpeername()
                print("reached", port, found, flush=True)
            except OSError as error:
                print("refused", port, flush=True)
        time.sleep(3600)
"""


def project(folder: Path) -> Path:
    (folder / "probe").mkdir(parents=True)
    for name, text in (("system.py", SYSTEM), ("probe/pyproject.toml", PROJECT), ("probe/probe.py", PROBE)):
        (folder / name).write_text(dedent(text))
    return folder


def test_an_app_of_the_real_image_reaches_the_gateway(tmp_path):
    lab.require_tools()
    needs_sdk()
    public = pairs.generate(tmp_path / "keys", pairs.DEVICE_KEYS.items())
    with lab.closing_all() as things:
        wire = Wire()
        things.append(wire.close)
        echo = EchoServer(wire.gateway)
        things.append(echo.close)
        services = [f"echo=7:127.0.0.1:{echo.port}"]
        gateway = GatewayProcess(wire, tmp_path / "gateway", user=False, services=services)
        things.append(gateway.stop)
        gateway.allow({"device-1": (public["tunnel"], ["10.90.1.2/32"])})
        # To QEMU's guest, 10.0.2.2 is the machine that runs it: here the gateway's namespace.
        environ = {"TUNNEL_PEER_ENDPOINT": "10.0.2.2:51820", "TUNNEL_PEER_KEY": gateway.public_key}
        capture = tmp_path / "wire.pcap"
        environ["PATH"] = f"{listening_qemu(tmp_path, capture)}:{os.environ['PATH']}"
        folder = project(tmp_path / "project")
        # The image first, which takes longer than a system may take to start.
        (tmp_path / "made").mkdir()
        make(RunRequest(folder, PLATFORM, keys=tmp_path / "keys"), tmp_path / "made")
        options = ("-p", PLATFORM, "--keys", str(tmp_path / "keys"))
        run = in_namespace(wire.gateway, lambda: Run(folder, environ, *options))
        things.append(run.stop)
        for step in (
            r"generation 1",
            r"starts",
            r"of 7 apps ready",
            r"probe +\| echo from the real image 10\.90\.1\.2",
            r"probe +\| ping from the real image",
            r"probe +\| refused 80",
        ):
            run.expect(step, BOOT_SECONDS)
        assert not run.seen("reached")
        (report,) = gateway.status()["devices"]
        assert report["rx_bytes"] > 0
    frames = lab.frames_of(capture)
    assert not any(b"from the real image" in frame for frame in frames)
    seen = {outside_kind(frame) for frame in frames}
    assert seen <= {"arp", "dhcp", "wireguard", "neighbour discovery"} and {"dhcp", "wireguard"} <= seen


def listening_qemu(folder: Path, capture: Path) -> Path:
    """A folder with a QEMU that writes down all that passes the device's network interface."""
    real = shutil.which("qemu-system-aarch64")
    (folder / "bin").mkdir()
    wrapper = folder / "bin/qemu-system-aarch64"
    dump = f"filter-dump,id=wire,netdev=net,file={capture}"
    wrapper.write_text(f'#!/bin/sh\nexec {real} "$@" -object {dump}\n')
    wrapper.chmod(0o755)
    return folder / "bin"


def outside_kind(frame: bytes) -> str:
    """What an outsider calls a frame."""
    if frame[12:14] == b"\x86\xdd":  # after hop-by-hop options, where there are any: MLD has them
        protocol, kind = (frame[54], frame[62]) if frame[20] == 0 else (frame[20], frame[54])
        return "neighbour discovery" if protocol == 58 and kind in (133, 134, 135, 136, 143) else "other"
    packet = lab.packet_of(frame)
    return {67: "dhcp", 51820: "wireguard"}.get(packet.udp_port, packet.kind)
