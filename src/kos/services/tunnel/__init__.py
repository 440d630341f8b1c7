"""The tunnel: keeps WireGuard's one peer reachable, and tells apps about their network
(`kos_internet_protocol`).

It holds no capability and no key: the keeper has WireGuard, this says where the peer is. It must not decide
what an app may reach; the manifest has.
"""
