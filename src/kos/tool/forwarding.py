"""The host's network rules that let locally attached devices reach a public server, and taking them back.

Everything is in one nftables table of our own, and the settings that were there before are kept beside it, so
that undoing leaves nothing. It touches no other table.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.network import nft
from kos.network.rtnl import Rtnl

TABLE = "kos_forwarding"
STATE_FOLDER = Path("/run/kos")
STATE_MAX = 4096  # bytes
SYSCTL = Path("/proc/sys/net/ipv4")
_INTERFACE = re.compile(r"[A-Za-z0-9_.@:-]{1,15}")


@dataclass(frozen=True)
class Forwarding:
    """From which interfaces to which one."""

    inside: tuple[str, ...]
    uplink: str

    def __post_init__(self) -> None:
        for name in (*self.inside, self.uplink):
            if not _INTERFACE.fullmatch(name):
                raise KosError(f"{name!r} is no name of a network interface", hint="ip link lists them")
        if not self.inside:
            raise KosError("name the interface that the devices are on", hint="--interface virbr0")
        if self.uplink in self.inside:
            raise KosError(f"{self.uplink} leads outside and cannot be the devices' interface too")


def ruleset(forwarding: Forwarding) -> str:
    """The table, in a form that replaces an older one in a single step. Pure."""
    inside = ", ".join(f'"{name}"' for name in sorted(forwarding.inside))
    uplink = f'"{forwarding.uplink}"'
    return f"""\
table inet {TABLE} {{ }}
delete table inet {TABLE}
table inet {TABLE} {{
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname {{ {inside} }} oifname {uplink} tcp flags syn tcp option maxseg size set rt mtu
    iifname {{ {inside} }} oifname {uplink} accept
    iifname {uplink} oifname {{ {inside} }} ct state established,related accept
    oifname {{ {inside} }} drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    iifname {{ {inside} }} oifname {uplink} masquerade
  }}
}}
"""


def require_right(command: str) -> None:
    """That this process may change the network of the host.

    Raises:
        KosError: it may not; the hint is the command that may.
    """
    status = Path("/proc/self/status").read_text()
    effective = int(re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)[1], 16)  # type: ignore[index]
    if not effective >> 12 & 1:  # CAP_NET_ADMIN
        raise KosError("changing the host's network rules needs root", hint=f"sudo {command}")


def default_uplink() -> str:
    """The interface of the default route.

    Raises:
        KosError: there is none.
    """
    rtnl = Rtnl()
    try:
        found = rtnl.default_route()
    finally:
        rtnl.close()
    if found is None:
        raise KosError("this machine has no default route, so there is no way outside", hint="--uplink eth0")
    return found[0]


def check_interfaces(forwarding: Forwarding) -> None:
    """That they all exist.

    Raises:
        KosError: one does not.
    """
    rtnl = Rtnl()
    try:
        known = {link.name for link in rtnl.links()}
    finally:
        rtnl.close()
    for name in (*forwarding.inside, forwarding.uplink):
        if name not in known:
            raise KosError(
                f"there is no network interface {name!r}", hint=f"there are {', '.join(sorted(known))}"
            )


def state_path() -> Path:
    """What was there before, one file for each network namespace, gone after a reboot like the rules."""
    return STATE_FOLDER / f"forwarding-{os.stat('/proc/self/ns/net').st_ino}.json"


def _saved() -> dict[str, object] | None:
    """What enabling kept. Raises KosError for a file that it did not write."""
    path = state_path()
    if not path.exists():
        return None
    raw = read_bounded(path, STATE_MAX)
    try:
        saved = json.loads(raw)
    except (ValueError, RecursionError):
        saved = None
    if not isinstance(saved, dict) or saved.get("ip_forward") not in ("0", "1"):
        raise KosError(
            "expected what network.enable_forwarding keeps, found something else",
            where=str(path),
            hint="remove it, then disable; net.ipv4.ip_forward stays as it is",
        )
    return saved


def steps_to_enable(forwarding: Forwarding) -> list[str]:
    """What enabling does, as commands a reader could type."""
    return ["sysctl -w net.ipv4.ip_forward=1", f"nft -f - <<'EOF'\n{ruleset(forwarding)}EOF"]


def enable(forwarding: Forwarding) -> bool:
    """Make it so; → whether anything changed. What was there before is kept from the first time."""
    saved = _saved()
    wanted = {"inside": list(forwarding.inside), "uplink": forwarding.uplink}
    setting = SYSCTL / "ip_forward"
    in_force = ("inet", TABLE) in nft.tables() and setting.read_text().strip() == "1"
    if saved is not None and {k: saved.get(k) for k in wanted} == wanted and in_force:
        return False
    before = saved["ip_forward"] if saved else setting.read_text().strip()
    path = state_path()
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps({**asdict(forwarding), "ip_forward": before}))
    unfinished.replace(path)
    nft.load(ruleset(forwarding))
    setting.write_text("1")
    return True


def steps_to_disable() -> list[str]:
    """What disabling does; nothing where nothing is enabled."""
    saved = _saved()
    steps = [f"nft delete table inet {TABLE}"] if ("inet", TABLE) in nft.tables() else []
    if saved is not None:
        steps.append(f"sysctl -w net.ipv4.ip_forward={saved['ip_forward']}")
    return steps


def disable() -> bool:
    """Take everything back; → whether there was anything."""
    saved = _saved()
    there = ("inet", TABLE) in nft.tables()
    if there:
        nft.load(f"delete table inet {TABLE}\n")
    if saved is not None:
        (SYSCTL / "ip_forward").write_text(str(saved["ip_forward"]))
        state_path().unlink()
    return there or saved is not None


def command_line(name: str, options: Sequence[str]) -> str:
    """The command as the user would type it again."""
    return " ".join(["kos-tool", name, *options])
