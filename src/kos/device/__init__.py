"""What runs a system: supervisor, sandbox, message server, console, store.

Imports only `kos.abi` and `kos.manifest`.
"""
