"""Network plumbing that the device and the server's gateway share: namespaces, netlink, WireGuard, nftables.

Mechanism only: it does what it is told with the rights of its caller. It must not decide who may reach what
(that is `kos.device.network` and `kos.server.gateway`), import either of them, or know what a manifest is.
"""
