"""A clean system at all three depths, which each bad manifest spoils in one way.

It is as strict as a release can be: every rule runs on it and none finds anything. A case changes the plain
objects and `judge` reads them as a user's would be read.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from kos.assurance import Board, Region, Report, Waiver, check
from kos.assurance.image import Blob, ImageFacts, ImageFile, Signature
from kos.assurance.running import parse_status
from kos.manifest import (
    App,
    BuiltCImage,
    BuiltPythonImage,
    Context,
    PlatformSpec,
    TunnelIp,
    codec,
)
from kos.systems import I2CServer, Poukai

TODAY = date(2026, 11, 1)
MIB = 1 << 20
SENSOR_SHA, STATION_SHA = "a" * 64, "b" * 64
FILTER = "f" * 64
BOARD = Board(
    "imx8mm-evk",
    ram=2048 * MIB,
    reserved=256 * MIB,
    devices=(Region(0x30000000, 0x1000000, "AIPS1"),),
    data_size=1024 * MIB,
    slot_size=128 * MIB,
    kernel_command_line="console=ttymxc1 ro",
)


def _system() -> dict[str, Any]:
    base = Poukai(admin=True, tunnel_config={"allow": {"station": ["tcp 10.90.0.1 4182"]}})
    start = Context("clean", "1.0.0", PlatformSpec.parse("imx8mm-evk,hyp=on"), where="system.py:1")
    network = {"mask": "255.255.255.0", "gateway": "10.90.0.1"}
    ctx = (
        base.context(start)
        .put_port("weather_protocol", "msg0")
        .put_app(
            App("sensor", BuiltCImage(SENSOR_SHA, 3000, "bin/sensor"), priority=90, where="system.py:10")
        )
        .put_app(
            App(
                "station",
                BuiltPythonImage(STATION_SHA, 5000, "station:main"),
                priority=95,
                where="system.py:20",
            )
        )
        .put_app(I2CServer("i2c2", devices={"sensor": [0x76]}))
        .connect_protocol("sensor", "weather_protocol", "msg0")
        .serve_protocol("station", "weather_protocol", "msg0")
        .connect_protocol("station", Poukai.log)
        .connect_protocol("station", Poukai.internet)
        .set_kos_options(
            persistent_boot=True,
            tunnel_ips={
                "admin": TunnelIp("10.90.0.2", **network),
                "station": TunnelIp("10.90.0.3", **network),
            },
        )
    )
    return codec.to_json(ctx.manifest())


def _image() -> ImageFacts:
    sensor = Blob(SENSOR_SHA, 3000, (ImageFile("bin/sensor", "file", 0o755, program=True),))
    station = Blob(
        STATION_SHA,
        5000,
        (
            ImageFile("site/station.py", "file", 0o644),
            ImageFile("site/fast.cpython-313-aarch64-linux-gnu.so", "file", 0o644, program=True),
            ImageFile("site/smbus2-0.5.0.dist-info/METADATA", "file", 0o644),
        ),
    )
    return ImageFacts(
        blobs={SENSOR_SHA: sensor, STATION_SHA: station},
        signatures=(Signature("release-2026", True, expires=date(2027, 1, 1)),),
        components=frozenset({("smbus2", "0.5.0")}),
        root=(
            ImageFile("usr/bin/python3", "file", 0o755, program=True),
            ImageFile("tmp", "directory", 0o1777),
        ),
        root_size=64 * MIB,
        filters={"python.bpf": FILTER},
        expected_filters=frozenset({FILTER}),
    )


def _running(manifest: dict[str, Any]) -> dict[str, Any]:
    host = {kind: 100 + index for index, kind in enumerate(("ipc", "mnt", "net", "pid", "user", "uts"))}
    apps = {}
    for index, (name, app) in enumerate(manifest["apps"].items()):
        own = {kind: 1000 + 10 * index + step for step, kind in enumerate(host)}
        apps[name] = {
            "uid": 10000 + index,
            "capabilities": 0,
            "no_new_privs": True,
            "seccomp": "filter",
            "filter": FILTER,
            "allowed": ["read", "write", "futex", "mmap"],
            "namespaces": own,
            "descriptors": [
                {"fd": 0, "kind": "null"},
                {"fd": 1, "kind": "console"},
                *({"fd": 3 + n, "kind": f"control:{server}"} for n, server in enumerate(app["access"])),
            ],
            "writable": ["/tmp"],
            "limits": {key: app[key] for key in ("memory", "processes", "descriptors")},
            "files": {"/app/main": "c" * 64},
            "expected": {"filter": FILTER, "files": {"/app/main": "c" * 64}},
        }
    server = {"uid": 9000, "capabilities": 0, "no_new_privs": True, "seccomp": "filter", "filter": FILTER}
    return {
        "msg_servers": {"msg0": server},
        "namespaces": host,
        "kernel_command_line": BOARD.kernel_command_line,
        "apps": apps,
    }


@dataclass
class World:
    """Everything that a check is given, as plain objects that a case may spoil."""

    manifest: dict[str, Any]
    running: dict[str, Any]
    image: ImageFacts = field(default_factory=_image)
    board: Board = BOARD
    waivers: list[Waiver] = field(default_factory=list)
    profile: str = "release"

    def app(self, name: str) -> dict[str, Any]:
        return self.manifest["apps"][name]

    def grant(self, app: str, port: str, role: str = "client", server: str = "msg0", **more: Any) -> None:
        self.app(app)["access"].setdefault(server, {})[port] = {"role": role, **more}

    def port(self, name: str, server: str = "msg0") -> None:
        ports = self.manifest["msg_servers"].setdefault(server, {"ports": []})["ports"]
        ports.append(name)

    def copy_app(self, name: str, new: str, **changes: Any) -> dict[str, Any]:
        """Another app like `name`, with no grants, which nobody is told of in the running system."""
        made = copy.deepcopy(self.app(name)) | {"access": {}, "where": "system.py:30"} | changes
        self.manifest["apps"][new] = made
        return made

    def judge(self) -> Report:
        data = json.dumps(self.manifest).encode()
        return check(
            codec.load(data, dangling_ok=True),
            profile=self.profile,
            waivers=self.waivers,
            board=self.board,
            image=self.image,
            running=parse_status(self.running),
            today=TODAY,
        )


_CLEAN = _system()


def clean() -> World:
    manifest = copy.deepcopy(_CLEAN)
    return World(manifest, _running(manifest))


Spoil = Callable[[World], None]


@dataclass(frozen=True)
class Case:
    """A bad manifest, or a near miss.

    Attributes:
        name: of the fault.
        rule: that must find it, or must stay quiet.
        spoil: what makes the clean system bad.
        also: rules that must find something too, because one fault is two.
        near_miss: it looks bad and is not: nothing may be found, but for `also`.
    """

    name: str
    rule: str
    spoil: Spoil
    also: frozenset[str]
    near_miss: bool


CASES: list[Case] = []


def fault(rule: str, *also: str) -> Callable[[Spoil], Spoil]:
    """Register a bad manifest that is named for its fault."""

    def register(spoil: Spoil) -> Spoil:
        CASES.append(Case(spoil.__name__, rule, spoil, frozenset(also), near_miss=False))
        return spoil

    return register


def near_miss(rule: str, *also: str) -> Callable[[Spoil], Spoil]:
    """Register a system that a careless rule would complain about."""

    def register(spoil: Spoil) -> Spoil:
        CASES.append(Case(spoil.__name__, rule, spoil, frozenset(also), near_miss=True))
        return spoil

    return register
