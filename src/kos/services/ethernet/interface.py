"""One interface, kept as its configuration wants it: link, lease, addresses. Runs in a thread of its own.

What it knows is in `snapshot`, a fresh object at every change, so that the thread that answers clients
reads it without a lock.
"""

from __future__ import annotations

import os
import secrets
import selectors
import socket
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

from kos.abi import network as wire
from kos.abi.errors import KosError
from kos.network.keeper_link import KeeperLink
from kos.services.ethernet.config import EthernetConfig
from kos.services.ethernet.dhcp import DhcpClient, Lease, Send
from kos.services.ethernet.dhcp_packet import PACKET_MAX

ETH_P_IP = 0x0800
BROADCAST = b"\xff" * 6
Say = Callable[[str], None]


class Interface:
    """The interface that ethernet owns, or on the `host` platform the one that leads out."""

    def __init__(self, keeper: KeeperLink, config: EthernetConfig, say: Say) -> None:
        self._keeper = keeper
        self._config = config
        self._say = say
        self._client: DhcpClient | None = None
        self._dhcp: socket.socket | None = None
        self._lease: Lease | None = None
        self._link: dict[str, Any] | None = None
        self._configured = False
        self.resolvers: list[str] = [str(server) for server in config.dns]
        self.snapshot: dict[str, Any] = {"interface": "", "link": False, "problem": "starting"}
        self.name_socket: socket.socket | None = None
        self.owned = False

    def start(self) -> None:
        """Find the interface and take its sockets.

        Raises:
            KosError: there is no such interface.
        """
        described = self._keeper.ask(wire.OP_LINKS)
        self.owned = described["owned"]
        self._link = self._choose(described)
        name = self._link["name"] if self._link else ""
        _, descriptors = self._keeper.ask_for_descriptors(wire.OP_OPEN, interface=name)
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        self.name_socket, *others = sockets
        if self.owned and self._config.mode == "dhcp":
            assert self._link is not None
            self._dhcp = others.pop()
            self._dhcp.setblocking(False)
            self._client = DhcpClient(bytes.fromhex(self._link["mac"].replace(":", "")), secrets.randbelow)
        for unused in others:
            unused.close()
        if self.owned:
            self._configure(addresses=[], mtu=self._config.mtu)
        self._look()

    def _choose(self, described: dict[str, Any]) -> dict[str, Any] | None:
        links = {link["name"]: link for link in described["links"]}
        wanted = self._config.interface
        if wanted:
            if wanted not in links:
                raise KosError(f"there is no network interface {wanted!r}", hint=f"there are {sorted(links)}")
            return links[wanted]
        default = described["default"]
        if default and default["interface"] in links:
            return links[default["interface"]]
        if not links and self.owned:
            raise KosError("this machine has no network interface")
        return links[min(links)] if links else None

    def run(self) -> None:
        """Keep it so until the keeper is gone."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._keeper.socket, selectors.EVENT_READ)
            if self._dhcp:
                selector.register(self._dhcp, selectors.EVENT_READ)
            while True:
                self._step()
                deadline = self._client.deadline if self._client else None
                wait = None if deadline is None else max(0.0, deadline - time.monotonic())
                for key, _ in selector.select(wait):
                    if key.fileobj is self._keeper.socket:
                        self._keeper.read_event()
                        self._look()
                    else:
                        self._receive()
                while self._keeper.events:
                    self._keeper.read_event()
                    self._look()

    def _look(self) -> None:
        """See what the link is now, and act on it."""
        described = self._keeper.ask(wire.OP_LINKS)
        name = self._link["name"] if self._link else None
        self._link = next((link for link in described["links"] if link["name"] == name), None)
        carrier = bool(self._link and self._link["carrier"] and self._link["up"])
        if self._client:
            if carrier:
                self._client.link_up(time.monotonic())
            else:
                self._client.link_down()
        elif self.owned and not self._configured and self._link:
            self._configured = True
            self._configure(
                addresses=[str(address) for address in self._config.addresses],
                gateway=str(self._config.gateway or ""),
                gateway6=str(self._config.gateway6 or ""),
                mtu=self._config.mtu,
            )
        self._publish(described)

    def _step(self) -> None:
        if self._client is None:
            return
        self._send(self._client.step(time.monotonic()))
        self._take_lease()

    def _receive(self) -> None:
        assert self._dhcp is not None and self._client is not None
        try:
            packet = self._dhcp.recv(PACKET_MAX + 1)
            self._send(self._client.received(packet, time.monotonic()))
        except (KosError, BlockingIOError):
            return  # not for us, or not a good one: the server will say it again
        except OSError as error:
            if error.errno is None:
                raise
            return  # the interface went down under us; its event follows
        self._take_lease()

    def _send(self, packets: list[Send]) -> None:
        assert self._link is None or self._dhcp is not None
        for each in packets:
            if self._link is None or self._dhcp is None:
                return
            # Always as a broadcast frame: who answers to a unicast address is the kernel's knowledge, not
            # ours.
            target = (self._link["name"], ETH_P_IP, 0, 0, BROADCAST)
            try:
                self._dhcp.sendto(each.packet, target)
            except OSError as error:
                self._say(f"warn  cannot send to {self._link['name']}: {os.strerror(error.errno or 0)}")

    def _take_lease(self) -> None:
        assert self._client is not None
        lease = self._client.lease
        if lease == self._lease or self._link is None:
            return
        if self._lease is None or lease is None or lease.address != self._lease.address:
            self._say(f"lease: {lease.address} from {lease.server}" if lease else "lease: lost")
        self._lease = lease
        self._configure(
            addresses=[str(lease.address)] if lease else [],
            gateway=str(lease.gateway or "") if lease else "",
            mtu=self._config.mtu or (lease.mtu if lease else None),
        )
        self._look()

    def _configure(self, **settings: Any) -> None:
        """Have the keeper make the interface so. With DHCP, IPv6 comes from the network's routers."""
        assert self._link is not None
        automatic = self._config.mode == "dhcp"
        self._keeper.ask(
            wire.OP_CONFIGURE, interface=self._link["name"], up=True, auto6=automatic, **settings
        )

    def _known_resolvers(self, described: dict[str, Any]) -> list[str]:
        """As the manifest says; else as the host, the lease and the routers do."""
        if self._config.dns or self._link is None:
            return [str(server) for server in self._config.dns]
        leased = [str(server) for server in self._lease.dns] if self._lease else []
        return [*described["resolvers"], *leased, *described["announced"].get(self._link["name"], [])]

    def _publish(self, described: dict[str, Any]) -> None:
        link, lease, default = self._link, self._lease, described["default"]
        self.resolvers = self._known_resolvers(described)
        self.snapshot = {
            "interface": link["name"] if link else "",
            "link": bool(link and link["carrier"]),
            "owned": self.owned,
            "mac": link["mac"] if link else "",
            "mtu": link["mtu"] if link else 0,
            "addresses": link["addresses"] if link else [],
            "gateway": default["gateway"] if default else "",
            "gateway6": described["gateway6"],
            "dns": list(self.resolvers),
            "lease": _lease(lease, self._client),
            "counters": {"rx_bytes": link["rx_bytes"], "tx_bytes": link["tx_bytes"]} if link else {},
        }


def _lease(lease: Lease | None, client: DhcpClient | None) -> dict[str, Any] | None:
    if client is None:
        return None
    now = time.monotonic()
    server: IPv4Address | None = lease.server if lease else None
    return {
        "state": client.state.value,
        "server": str(server or ""),
        "expires_in": round(lease.expires_at - now, 1) if lease else None,
    }
