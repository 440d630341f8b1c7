"""The WireGuard of this machine: the kernel's where it has one, else `wireguard-go`."""

from __future__ import annotations

from kos.network.kernel_wireguard import KernelWireguard, kernel_has_wireguard
from kos.network.wireguard_go import WireguardGo

Engine = KernelWireguard | WireguardGo


def start_wireguard(outside: int | None, inside: int, name: str, mtu: int) -> Engine:
    """An interface `name` in the namespace `inside` whose UDP socket is in `outside`, up and without a key.

    `outside` None is this process' own namespace where it has no rights over it: as an ordinary user. The
    kernel's WireGuard has its socket where its interface was made, so there it is of no use.

    Raises:
        KosError: the kernel has none and wireguard-go is not installed or did not start.
    """
    if outside is not None and kernel_has_wireguard(outside):
        return KernelWireguard(outside, inside, name, mtu)
    return WireguardGo(outside, inside, name, mtu)
