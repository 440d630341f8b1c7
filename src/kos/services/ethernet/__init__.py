"""The physical network interface: addresses, link state and names, for `kos_ethernet_protocol`.

It holds no capability: the keeper gives it two sockets and changes the interface as it says. It must not give
anything of the network to its clients but what they may know about it.
"""
