"""The core apps: each is an ordinary sandboxed app, run from the runtime instead of from an image.

One folder a service: its logic in modules that know no message server, and a thin `main.py` that does.
Services import `kos.abi`, `kos.app` and each other's public face, and nothing of the host or the servers.
"""
