"""The server's end of the tunnel: WireGuard for many devices, and a door to the services that the server
offers.

Devices end up in a namespace that holds the gateway's address and nothing else. What they may reach there is
carried to the server's own ports by `relay`; nothing else is reachable because nothing else is there.
"""
