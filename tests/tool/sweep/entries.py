"""What each command takes. A command, or a parameter of one, that is not here fails the sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.tool.sweep import goods
from tests.tool.sweep.kinds import Either, Kind, Output, Text

FREE = Text("x", free=True)
NEW_FILE = Output(fine=("plain",))  # what is there is replaced
NEW_FOLDER = Output(fine=("taken", "shut/x"))
PLATFORM = Text(
    "host", ("nothing", "x86_64", "host,", "host,a=b", "imx8mm-evk,arch=aarch32", "am335x,hyp=on")
)
DEVICE_PLATFORM = Text("qemu-arm-virt", PLATFORM.refused)
RUN_NAME = Text("nobody", ("UPPER!",))  # no system runs, so that any name is unknown
APP = Text("station", ("nobody",))
NAME = Text("pump", ("Pump", "1pump", "x" * 33))

PROJECT = {"project": goods.PROJECT, "platform": PLATFORM}
SYSTEM = {"system": RUN_NAME}
STREAM = {"app": APP, "device": FREE, "url": FREE, "system": RUN_NAME}


@dataclass(frozen=True)
class Entry:
    """What a command takes.

    Attributes:
        kinds: of each parameter that takes a file or words.
        always: values of others without which the command is wrong anyway.
        also: parameters that are always given, with something good.
        beside: what must be given beside a parameter for it to matter; None leaves another one out.
        unreached: parameters that need a running system before they matter; tests of those systems have them.
    """

    kinds: Mapping[str, Kind]
    always: Mapping[str, str] = field(default_factory=dict)
    also: frozenset[str] = frozenset()
    beside: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    unreached: tuple[str, ...] = ()


KINDS: dict[str, Mapping[str, Kind]] = {
    "bootstrap": {
        "source": goods.SOURCE,
        "platform": Text("imx8mm-evk", PLATFORM.refused),
        "target": Output(fine=("plain",)),
        "uboot": goods.BOOT_LOADER,
        "trust": goods.TRUST,
        "keys": goods.KEYS,
    },
    "build": {
        "source": goods.SOURCE,
        "platform": DEVICE_PLATFORM,
        "keys": goods.KEYS,
        "destination": NEW_FOLDER,
    },
    "completion": {},
    "console": {**SYSTEM, "apps": FREE, "file": goods.CONSOLE, "vm": APP, "device": FREE, "url": FREE},
    "demo": {},
    "deps.check": {"groups": Text("run")},
    "deps.lock": {"project": goods.PROJECT},
    "device.status": SYSTEM,
    "device.upgrade": {"archive": goods.ARCHIVE, **SYSTEM},
    "graph": {"source": goods.SOURCE, "platform": PLATFORM, "svg": NEW_FILE},
    "install": {
        "version": Text("1.0.0", ("1.0", "1.0.0/..")),
        "platforms": Text("qemu-arm-virt", PLATFORM.refused),
        "lock": goods.LOCK,
    },
    "keys.generate": {"directory": Output(fine=("taken",)), "signing": Text("release", NAME.refused)},
    "manifest": {**PROJECT, "destination": NEW_FILE},
    "manifest.check": {
        "project": Either((goods.ARCHIVE, goods.PROJECT)),
        "platform": PLATFORM,
        "waivers": goods.WAIVERS,
        "status": goods.STATUS,
        "running": RUN_NAME,
        "trust": goods.TRUST,
        "signing_keys": goods.SIGNING_KEYS,
        "sbom": goods.SBOM,
        "destination": NEW_FILE,
    },
    "manifest.query": {"words": Text("station", ("nobody",)), **PROJECT},
    "manifest.sign": {"archive": goods.ARCHIVE, "keys": goods.PRIVATE},
    "network.disable_forwarding": {},
    "network.enable_forwarding": {
        "interfaces": Text("lo", ("nowhere0", 'x"; flush ruleset')),
        "uplink": Text("lo", ("nowhere0",)),
    },
    "new.app.c": {"name": NAME, "project": goods.PLACE},
    "new.app.python": {"name": Text("pump", (*NAME.refused, "json", "class")), "project": goods.PLACE},
    "new.system": {"name": NAME, "directory": Output()},
    "overlay": {
        "release": goods.ARCHIVE,
        "changed": goods.CHANGED,
        "target": NEW_FILE,
        "keys": goods.PRIVATE,
    },
    "post_mortem": {**SYSTEM, "app": FREE},
    "run": {
        "source": goods.SOURCE,
        "platform": PLATFORM,
        "name": RUN_NAME,
        "keys": goods.KEYS,
        "serial": goods.SERIAL,
        "fastboot": FREE,
    },
    "server.backup": {"archive": NEW_FILE, "data": goods.SERVER, "database": FREE},
    "server.bundle": {"archive": NEW_FILE},
    "server.gateway": {
        "devices": goods.PEERS,
        "key": goods.GATEWAY_KEY,
        "address": Text("10.90.0.1/16", ("10.90.0.1/33", "fe80::1/64", "10.90.0.1/31")),
        "services": Text("mqtt=4182", ("mqtt", "mqtt=0", "mqtt=1:h", "m=1:h:99999")),
    },
    "server.restore": {"archive": goods.BACKUP, "data": Output(), "database": FREE},
    "server.start": {
        "host": FREE,
        "bus_host": FREE,
        "data": Output(),
        "database": FREE,
        "bus_url": FREE,
    },
    "shell": {"platform": PLATFORM},
    "status": SYSTEM,
    "stop": SYSTEM,
    "toolbox.debug": {
        **STREAM,
        "project": goods.PROJECT,
        "symbols": goods.PROGRAM,
        "program": FREE,
        "execute": FREE,
    },
    "toolbox.remote_shell": {**STREAM, "code": FREE},
    "trace": {**SYSTEM, "apps": FREE, "file": NEW_FILE, "device": FREE, "url": FREE},
    "watch": {**PROJECT, "name": RUN_NAME, "keys": goods.KEYS},
}

SERVER_ENTRIES: dict[str, Entry] = {}
ENTRIES = {name: Entry(kinds) for name, kinds in KINDS.items()}
ENTRIES["manifest.query"] = Entry(KINDS["manifest.query"], always={"question": "what-can"})
ENTRIES["run"] = Entry(KINDS["run"], beside={"serial": {"platform": "am335x", "fastboot": "tcp:127.0.0.1:9"}})
# Where a word is not refused, as it must be, nothing shall happen to this machine.
ENTRIES["network.enable_forwarding"] = Entry(KINDS["network.enable_forwarding"], always={"dry_run": ""})
ENTRIES["server.backup"] = Entry(KINDS["server.backup"], also=frozenset({"data"}))
ENTRIES["console"] = Entry(KINDS["console"], beside={"file": {"system": None}})
ENTRIES["toolbox.debug"] = Entry(KINDS["toolbox.debug"], unreached=("project",))

# Any text is a name that may be; a real server says whether it knows it.
URL = {"url": FREE}
DEVICE = {"device": Text("pump 7", ("nobody", "f" * 32))}
LISTED = Entry(URL)
ACTION = Entry({**DEVICE, **URL})
SERVER_ENTRIES |= {
    "server.active_overlay": Entry({**DEVICE, "overlay": Text("faster", ("slower",)), **URL}),
    "server.data.export": Entry({"query": FREE, "target": NEW_FILE, **URL}),
    "server.data.log": Entry({**DEVICE, "app": FREE, "text": FREE, **URL}),
    "server.data.series": ACTION,
    "server.devices.accept": ACTION,
    "server.devices.announce": Entry({"file": goods.CSV, **URL}),
    "server.devices.claim": Entry({"code": Text("ABCD-EFGH"), **URL}),
    "server.devices.list": Entry({"query": FREE, **URL}),
    "server.devices.reject": ACTION,
    "server.devices.revoke": ACTION,
    "server.devices.rotate": Entry({**DEVICE, "key": goods.PUBLIC, **URL}),
    "server.devices.set": Entry(
        {**DEVICE, "settings": Text("heartbeat=5", ("heartbeat", "nothing=1")), **URL}
    ),
    "server.devices.show": ACTION,
    "server.devices.tag": Entry({**DEVICE, "tags": FREE, "name": FREE, **URL}),
    "server.devices.tunnel": Entry({**DEVICE, "key": Text("ab" * 32, ("ab",)), "network": FREE, **URL}),
    "server.groups.create": Entry({"name": FREE, "query": FREE, "overlay": FREE, **URL}),
    "server.groups.list": LISTED,
    "server.login": Entry({"address": FREE, "token": FREE}, also=frozenset({"token"})),
    "server.notifications.add": Entry({"name": FREE, "target": FREE, **URL}),
    "server.notifications.list": LISTED,
    "server.notifications.log": LISTED,
    "server.notifications.remove": Entry({"channel": Text("on call", ("nobody",)), **URL}),
    "server.notifications.test": Entry({"channel": Text("on call", ("nobody",)), **URL}),
    "server.organisations.create": Entry(
        {"slug": FREE, "name": FREE, "email": FREE, "password": FREE, **URL}, also=frozenset({"password"})
    ),
    "server.overlays.list": LISTED,
    "server.retention.list": LISTED,
    "server.retention.set": Entry({"pattern": FREE, **URL}, always={"days": "7"}),
    "server.rollouts.create": Entry(
        {
            "release": Text("1.0", ("9.9",)),
            "also": FREE,
            "target": FREE,
            "name": FREE,
            "phases": FREE,
            "window": Text("22:00-04:30", ("25:00-26:00", "22-23")),
            "group": FREE,
            **URL,
        }
    ),
    "server.rollouts.list": LISTED,
    "server.upgrade_device": Entry({**DEVICE, "release": Text("1.0", ("9.9",)), **URL}),
    "server.upload_overlay": Entry({"document": goods.OVERLAY, "name": FREE, "keys": goods.PRIVATE, **URL}),
    "server.upload_release": Entry({"archive": goods.ARCHIVE, **URL}),
}
for action in ("abort", "approve", "pause", "resume", "retire", "rollback", "show"):
    SERVER_ENTRIES[f"server.rollouts.{action}"] = Entry(URL, always={"rollout": "1"})
