"""`network.enable_forwarding` and its undoing: real rules, in a host made of namespaces."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.network import nft
from kos.network.namespaces import in_namespace, new_network_namespace
from kos.network.rtnl import Rtnl
from kos.tool.forwarding import STATE_FOLDER, Forwarding, ruleset
from tests.network import lab

pytestmark = pytest.mark.group("network")


IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


def tool(namespace: int, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-m", "kos.tool", *arguments]
    return in_namespace(
        namespace,
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=lab.TIMEOUT, check=False),
    )


@pytest.fixture
def host():
    """A host with a board on `board0` and an uplink; board and outside are namespaces of their own."""
    lab.require_tools()
    host, board, outside = (new_network_namespace() for _ in range(3))
    rtnls = [in_namespace(each, Rtnl) for each in (host, board, outside)]
    rtnls[0].add_veth("board0", "eth0", board)
    rtnls[0].add_veth("up0", "eth0", outside)
    for rtnl, name, address in (
        (rtnls[0], "board0", "10.5.0.1/24"),
        (rtnls[0], "up0", "192.0.2.1/24"),
        (rtnls[1], "eth0", "10.5.0.2/24"),
        (rtnls[2], "eth0", "192.0.2.2/24"),
    ):
        rtnl.set(name, up=True)
        rtnl.add_address(name, ip_interface(address))
    rtnls[0].add_route("0.0.0.0/0", "up0", via=ip_address("192.0.2.2"))
    rtnls[1].add_route("0.0.0.0/0", "eth0", via=ip_address("10.5.0.1"))
    yield host, board, outside
    for rtnl in rtnls:
        rtnl.close()
    for each in (host, board, outside):
        os.close(each)


def state_of(namespace: int) -> tuple[str, str]:
    rules = in_namespace(
        namespace, lambda: subprocess.check_output([nft.program(), "list", "ruleset"], text=True)
    )
    forward = in_namespace(namespace, IP_FORWARD.read_text)
    return rules, forward


def reaches(board: int, outside: int, address: str = "192.0.2.2") -> str | None:
    """The address under which the board arrives outside; None when it does not."""
    with in_namespace(outside, lambda: socket.create_server((address, 0))) as there:
        with in_namespace(board, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as here:
            here.settimeout(1)
            try:
                here.connect((address, there.getsockname()[1]))
            except OSError:
                return None
            connection, sender = there.accept()
            connection.close()
            return sender[0]


def test_enabled_twice_and_undone_completely(host):
    here, board, outside = host
    before = state_of(here)
    assert reaches(board, outside) is None
    first = tool(here, "network.enable_forwarding", "--interface", "board0")
    assert first.returncode == 0, first.stderr
    lab.wait_for("a way out", lambda: reaches(board, outside) == "192.0.2.1")
    assert reaches(outside, board, "10.5.0.2") is None
    after = state_of(here)
    second = tool(here, "network.enable_forwarding", "--interface", "board0")
    assert "nothing changed" in second.stderr
    assert state_of(here) == after
    third = tool(here, "network.disable_forwarding")
    assert third.returncode == 0, third.stderr
    assert state_of(here) == before
    assert "nothing changed" in tool(here, "network.disable_forwarding").stderr
    assert state_of(here) == before


def test_forwarding_that_was_on_before_stays_on(host):
    here, _board, _outside = host
    in_namespace(here, lambda: IP_FORWARD.write_text("1"))
    before = state_of(here)
    assert tool(here, "network.enable_forwarding", "--interface", "board0").returncode == 0
    assert tool(here, "network.enable_forwarding", "--interface", "board0", "--uplink", "up0").returncode == 0
    assert tool(here, "network.disable_forwarding").returncode == 0
    assert state_of(here) == before


def test_rules_of_others_stay(host):
    here, _board, _outside = host
    nft.load("table inet mine { chain c { type filter hook input priority 0; }; }\n", here)
    before = state_of(here)
    tool(here, "network.enable_forwarding", "--interface", "board0")
    assert ("inet", "mine") in nft.tables(here)
    tool(here, "network.disable_forwarding")
    assert state_of(here) == before


def test_a_dry_run_shows_and_changes_nothing(host):
    here, _board, _outside = host
    before = state_of(here)
    shown = tool(here, "network.enable_forwarding", "--interface", "board0", "--dry-run")
    assert shown.returncode == 0
    assert "masquerade" in shown.stdout and "ip_forward=1" in shown.stdout
    assert state_of(here) == before


def test_without_the_right_it_says_what_to_type(host):
    here, _board, _outside = host
    before = state_of(here)
    refused = tool(here, "network.enable_forwarding", "--interface", "board0", prefix=tuple(lab.AS_USER))
    assert refused.returncode == 1
    assert "needs root" in refused.stderr
    assert "hint: sudo kos-tool network.enable_forwarding --interface board0" in refused.stderr
    assert state_of(here) == before


def test_disabling_shows_and_refuses_as_enabling_does(host):
    here, _board, _outside = host
    before = state_of(here)
    tool(here, "network.enable_forwarding", "--interface", "board0")
    enabled = state_of(here)
    shown = tool(here, "network.disable_forwarding", "--dry-run")
    assert shown.stdout.splitlines() == [
        "nft delete table inet kos_forwarding",
        f"sysctl -w net.ipv4.ip_forward={before[1].strip()}",
    ]
    refused = tool(here, "network.disable_forwarding", prefix=tuple(lab.AS_USER))
    assert refused.returncode == 1 and "hint: sudo kos-tool network.disable_forwarding" in refused.stderr
    assert state_of(here) == enabled
    assert tool(here, "network.disable_forwarding").returncode == 0
    assert state_of(here) == before


@pytest.mark.parametrize(
    "kept", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 4000, b'{"ip_forward": "2\\nx"}', b"0" * 5000, None]
)
def test_a_damaged_record_of_what_was_before_changes_nothing(host, kept):
    here, _board, _outside = host
    enable = ("network.enable_forwarding", "--interface", "board0")
    assert tool(here, *enable).returncode == 0
    path = STATE_FOLDER / f"forwarding-{os.fstat(here).st_ino}.json"
    good = path.read_bytes()
    path.unlink()
    path.mkdir() if kept is None else path.write_bytes(kept)
    enabled = state_of(here)
    try:
        for command in (enable, ("network.disable_forwarding",), ("network.disable_forwarding", "--dry-run")):
            refused = tool(here, *command)
            assert refused.returncode == 1 and refused.stdout == ""
            assert str(path) in refused.stderr and "\nhint: " in refused.stderr
        assert state_of(here) == enabled
    finally:
        path.rmdir() if kept is None else path.unlink()
    path.write_bytes(good)
    assert tool(here, "network.disable_forwarding").returncode == 0


def test_an_interface_that_does_not_exist(host):
    here, _board, _outside = host
    refused = tool(here, "network.enable_forwarding", "--interface", "nowhere0")
    assert refused.returncode == 1
    assert "there is no network interface 'nowhere0'" in refused.stderr


@pytest.mark.parametrize("name", ["", "a b", 'x"; flush ruleset; "', "sixteen_letters_"])
def test_a_name_that_is_none(name):
    with pytest.raises(KosError, match="no name of a network interface"):
        Forwarding((name,), "up0")


def test_the_rules_name_the_interfaces_only_in_quotes():
    text = ruleset(Forwarding(("b1", "b0"), "up0"))
    assert re.findall(r"(?<!\")\b(?:b0|b1|up0)\b", text) == []
