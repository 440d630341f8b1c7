"""The admin app: a device's end of the session with a Studio or Fleet Server.

`session` decides and does no I/O; `agent` moves bytes; `system` speaks with the supervisor; `updates` carries
out what the server wants. The server's end is `kos.server`; what both agree on is `kos.abi.session`.
"""
