"""A small internet of network namespaces: a device's side, a gateway's side, and a wire between them.

Everything runs in namespaces that this makes. The programs under test are real processes: `kos-tool
server.gateway` and the keeper; as `user` they run without any right, as an ordinary user's would.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kos.device.network.client import NetworkClient
from kos.device.network.plan import AppPlan, NetworkPlan
from kos.network import nft
from kos.network.keeper_link import KeeperLink
from kos.network.namespaces import bind_mount, in_namespace, mount_private_tmpfs, new_network_namespace
from kos.network.rtnl import Rtnl
from kos.network.sysctl import NO_IPV6, set_sysctl
from kos.network.wireguard import encode_key
from kos.services.tunnel.runner import Call, Runner
from tests.device.systems import reachable_python

DEVICE_ADDRESS = "192.0.2.10"
GATEWAY_ADDRESS = "192.0.2.20"
TIMEOUT = 90.0  # seconds for anything to happen on a busy machine
# An ordinary user: a uid that is not 0, no capability, and no right over the namespaces that we made.
AS_USER = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]


def require_tools() -> None:
    """Skip where something is missing, and say what enables the test."""
    if os.geteuid() != 0:
        pytest.skip("not applicable: as an ordinary user these run inside test_as_user.py")
    for program, package in (
        ("wireguard-go", "wireguard-go"),
        ("nft", "nftables"),
        ("unshare", "util-linux"),
    ):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install {package}")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("needs /dev/net/tun: chmod 666 /dev/net/tun")


def alone() -> bool:
    """Whether the user namespace that this runs in has one user only: that of an ordinary user has."""
    return [int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines()] == [1]


def wait_for(what: str, check: Callable[[], Any], timeout: float = TIMEOUT) -> Any:
    """What `check` returns once it is true; it is asked again after each small pause, until the deadline."""
    deadline = time.monotonic() + timeout
    while not (found := check()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout:g} s"
        time.sleep(0.02)
    return found


@dataclass
class KeyPair:
    private: bytes
    public: bytes

    @classmethod
    def new(cls) -> KeyPair:
        key = X25519PrivateKey.generate()
        return cls(key.private_bytes_raw(), key.public_key().public_bytes_raw())


class Wire:
    """Two namespaces joined by a veth pair, as a device's and a gateway's way to each other."""

    def __init__(self, *, six: bool = False) -> None:
        """`six`: with IPv6. Without it the wire is silent until somebody speaks."""
        self.device = new_network_namespace()
        self.gateway = new_network_namespace()
        for namespace in () if six else (self.device, self.gateway):
            set_sysctl(namespace, NO_IPV6)
        self.rtnl_device = in_namespace(self.device, Rtnl)
        self.rtnl_gateway = in_namespace(self.gateway, Rtnl)
        self.rtnl_device.add_veth("eth0", "eth0", self.gateway)
        for rtnl, address in ((self.rtnl_device, DEVICE_ADDRESS), (self.rtnl_gateway, GATEWAY_ADDRESS)):
            rtnl.set("lo", up=True)
            rtnl.set("eth0", up=True)
            rtnl.add_address("eth0", ip_interface(f"{address}/24"))
        self.rtnl_device.add_route("0.0.0.0/0", "eth0", via=ip_interface(GATEWAY_ADDRESS).ip)

    def impair(self, rules: str) -> None:
        """Replace the rules that every packet on the wire meets, in both directions."""
        both = "\n".join(
            f"chain {hook} {{\ntype filter hook {hook} priority -300\n{side} != eth0 accept\n{rules}\n}}"
            for hook, side in (("input", "iifname"), ("output", "oifname"))
        )
        text = f"table inet wire {{ }}\ndelete table inet wire\ntable inet wire {{\n{both}\n}}\n"
        nft.load(text, self.gateway)

    def close(self) -> None:
        for rtnl in (self.rtnl_device, self.rtnl_gateway):
            rtnl.close()
        for namespace in (self.device, self.gateway):
            os.close(namespace)


class GatewayProcess:
    """`kos-tool server.gateway` in the gateway's namespace."""

    def __init__(
        self,
        wire: Wire,
        folder: Path,
        *,
        user: bool,
        services: list[str],
        port: int = 51820,
        program: Sequence[str] = ("-m", "kos.tool"),
    ) -> None:
        """`program` is how Python finds `kos-tool`."""
        self.folder = folder
        self.devices = folder / "devices.json"
        self.port = port
        folder.mkdir(exist_ok=True)
        if not self.devices.exists():
            self.devices.write_text("{}")
        command = [sys.executable, *program, "server.gateway", "--devices", str(self.devices)]
        command += ["--key", str(folder / "gateway.key"), "--port", str(port)]
        for service in services:
            command += ["--service", service]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen([*(AS_USER if user else []), *command], stdout=subprocess.PIPE)

        self.process = in_namespace(wire.gateway, start)
        self._buffer = b""
        self.ready = self.event("ready")
        self.public_key: str = self.ready["public_key"]

    def event(self, name: str) -> dict[str, Any]:
        """The next event of that name."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            deadline = time.monotonic() + TIMEOUT
            while True:
                line, found, rest = self._buffer.partition(b"\n")
                if found:
                    self._buffer = rest
                    event = json.loads(line)
                    if event["event"] == name:
                        return event
                    continue
                assert selector.select(max(0.0, deadline - time.monotonic())), f"no event {name!r}"
                part = os.read(self.process.stdout.fileno(), 1 << 16)
                assert part, f"the gateway ended with {self.process.wait()}"
                self._buffer += part

    def allow(self, table: dict[str, tuple[bytes, list[str]]]) -> dict[str, Any]:
        """Make these the devices: name → public key, addresses."""
        new = self.folder / "devices.new"
        new.write_text(
            json.dumps({n: {"public_key": encode_key(k), "addresses": a} for n, (k, a) in table.items()})
        )
        new.rename(self.devices)
        return self.event("devices")

    def status(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGUSR1)
        return self.event("status")

    def namespace(self) -> int:
        """A descriptor of the namespace in which its services listen."""
        pid = self.process.pid
        own = os.stat(f"/proc/{pid}/ns/net").st_ino
        for name in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{name}"
            if os.readlink(path).startswith("net:[") and os.stat(path).st_ino != own:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        raise AssertionError("the gateway holds no namespace")

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(TIMEOUT) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


class TunnelRole:
    """What the tunnel service does at the keeper, as plain calls."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.link.settimeout(TIMEOUT)

    def ask(self, **request: Any) -> dict[str, Any]:
        self.link.send(json.dumps(request).encode())
        return json.loads(self.link.recv(1 << 16))


class Device:
    """The keeper of one system in the device's namespace, with its apps' namespaces."""

    def __init__(
        self,
        wire: Wire,
        folder: Path,
        plan: NetworkPlan,
        *,
        user: bool,
        owned: bool = False,
        key: KeyPair | None = None,
    ) -> None:
        self.folder = folder
        self.wire = wire
        self.user = user
        self.key = key or KeyPair.new()
        self.patience = TIMEOUT  # seconds for an answer
        folder.mkdir(exist_ok=True)
        self.write_key(self.key)
        self.client = in_namespace(
            wire.device, lambda: NetworkClient(plan, folder, owned=owned, prefix=AS_USER if user else [])
        )
        link = self.client.attach("tunnel")
        assert link is not None
        self.tunnel = TunnelRole(link)

    def write_key(self, key: KeyPair) -> None:
        path = self.folder / "tunnel.key"
        path.write_bytes(key.private)
        path.chmod(0o600)

    def connect(self, gateway: GatewayProcess, address: str = GATEWAY_ADDRESS) -> None:
        answer = self.tunnel.ask(
            op="peer", public_key=gateway.public_key, endpoint=f"{address}:{gateway.port}", keep_alive=1
        )
        assert answer["ok"], answer

    def link_mac(self, app: str) -> str:
        """The address to which an app's packets go: the hub's end of its link."""
        join = self.client.join(app)
        assert join is not None
        neighbours = in_namespace(join.network, lambda: Path("/proc/thread-self/net/arp").read_text())
        join.close()
        return neighbours.splitlines()[1].split()[3]

    def run(self, app: str, code: str, *arguments: str, timeout: float = TIMEOUT) -> str:
        """Run Python code as an app's process: inside its network, without any right; → what it printed."""
        join = self.client.join(app)
        assert join is not None
        drop = "import ctypes; ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"  # PR_SET_NO_NEW_PRIVS
        ids = ["--reuid=1900000001", "--regid=1900000001", "--clear-groups", "--"]
        other = ["--user", "--map-user=1001", "--map-group=1001", "--"]
        # In a user namespace of one user there is nobody else to become, but a user of another namespace.
        prefix = ["unshare", *other] if self.user or alone() else ["setpriv", *ids]
        as_nobody = [*prefix, reachable_python(), "-I", "-c", drop + code, *arguments]
        try:
            done = subprocess.run(
                as_nobody, preexec_fn=join, capture_output=True, text=True, timeout=timeout, check=False
            )
        finally:
            join.close()
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def close(self) -> None:
        self.tunnel.link.close()
        self.client.close()


class TunnelService:
    """The tunnel service's runner at a device's keeper, in a thread."""

    def __init__(self, device: Device, ethernet: Call, gateway: GatewayProcess, host: str) -> None:
        settings = {
            "peer_endpoint": f"{host}:{gateway.port}",
            "peer_public_key": gateway.public_key,
            "keep_alive": 5,
        }
        self.states: list[str] = []
        link = device.client.attach("tunnel")
        assert link is not None
        self._link = KeeperLink(link)
        self.runner = Runner(self._link, ethernet, settings, self.states.append)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(min(0.5, self.runner.step(time.monotonic())))

    def close(self) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT)
        self._link.socket.close()


def open_tun_to_everybody() -> None:
    """Give the calling thread a /dev/net/tun that any user may open, as a developer's machine has."""
    mount_private_tmpfs("/mnt")
    node = Path("/mnt/tun")
    os.mknod(node, 0o666 | stat.S_IFCHR, os.stat("/dev/net/tun").st_rdev)
    node.chmod(0o666)
    bind_mount(str(node), "/dev/net/tun")


def plan(*apps: AppPlan, **settings: Any) -> NetworkPlan:
    """A plan for apps, with the roles that every system has."""
    return NetworkPlan(apps=apps, roles={"tunnel": "tunnel", "ethernet": "ethernet"}, **settings)


class EchoServer:
    """A TCP server that sends back what it gets, in a namespace, in a thread."""

    def __init__(self, namespace: int) -> None:
        def listen() -> socket.socket:
            made = socket.create_server(("127.0.0.1", 0))
            return made

        self._listener = in_namespace(namespace, listen)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._echo, args=[connection], daemon=True).start()

    @staticmethod
    def _echo(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(TIMEOUT)


def kill_wireguard(parent: int) -> int:
    """Kill a process' wireguard-go, which must be there; → its pid."""
    (pid,) = wait_for("wireguard-go", lambda: children_named(parent, "wireguard-go"))
    os.kill(pid, signal.SIGKILL)
    return int(pid)


def wait_for_another_wireguard(parent: int, before: int) -> None:
    """Until another one is in its place: the one before may look alive for a moment."""
    wait_for("another one", lambda: children_named(parent, "wireguard-go") not in ([], [before]))


def children_named(parent: int, name: str) -> list[int]:
    """The pids of a process' children that run this program."""
    found = []
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may end while we look
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                found.append(int(pid))
    return found


@dataclass
class Packet:
    """A frame as an outsider sees it."""

    kind: str  # "arp", "udp", "other"
    udp_port: int  # the lower of the two; 0 without UDP
    data: bytes


class Capture:
    """Everything that passes an interface while this is open, by a packet socket."""

    def __init__(self, namespace: int, interface: str) -> None:
        self._socket = in_namespace(
            namespace, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        )
        self._socket.bind((interface, 3))
        self._socket.setblocking(False)
        self._frames: list[bytes] = []

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.seen(lambda _frame: False)
        self._socket.close()

    def seen(self, wanted: Callable[[bytes], bool]) -> bool:
        """Whether a frame like that has passed, while this is open."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._frames.append(self._socket.recv(1 << 16))
        return any(wanted(frame) for frame in self._frames)

    def packets(self) -> list[Packet]:
        return [packet_of(frame) for frame in self._frames]


def packet_of(frame: bytes) -> Packet:
    """A frame as an outsider sees it."""
    kind = frame[12:14]
    if kind == b"\x08\x06":
        return Packet("arp", 0, frame)
    if kind == b"\x08\x00" and frame[23] == 17:
        head = 14 + (frame[14] & 0xF) * 4
        ports = (
            int.from_bytes(frame[head : head + 2], "big"),
            int.from_bytes(frame[head + 2 : head + 4], "big"),
        )
        return Packet("udp", 51820 if 51820 in ports else min(ports), frame)
    return Packet("other", 0, frame)


def frames_of(path: Path) -> list[bytes]:
    """The frames of a capture file (pcap, as QEMU writes it)."""
    data = path.read_bytes()
    assert data[:4] == b"\xd4\xc3\xb2\xa1", "no pcap file of this machine's byte order"
    frames, offset = [], 24
    while offset + 16 <= len(data):
        (size,) = struct.unpack_from("<8xI", data, offset)
        frames.append(data[offset + 16 : offset + 16 + size])
        offset += 16 + size
    return frames


@contextlib.contextmanager
def closing_all() -> Iterator[list[Any]]:
    """Things to close in reverse order."""
    things: list[Any] = []
    with contextlib.ExitStack() as stack:  # which goes on when one of them fails
        try:
            yield things
        finally:
            for thing in things:
                stack.callback(thing)
