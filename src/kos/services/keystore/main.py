"""The key store."""

from __future__ import annotations

from kos import app
from kos.abi.services import PORT_KEY_STORE
from kos.services import serving
from kos.services.keystore.config import parse
from kos.services.keystore.keys import load
from kos.services.keystore.server import KeyStore

KEYS = "/keys"  # there with a keys resource


def main() -> None:
    config = parse(app.config())
    keys = load(config.keys.values(), KEYS)
    for key in keys.values():
        if not key.provisioned and not key.spec.ephemeral:
            print(f"warn  key {key.spec.name} is not provisioned: this one lasts until the key store ends")
    server = app.Server()
    serving.bind(server, PORT_KEY_STORE, KeyStore(keys, config.access).answer)
    app.ready()
    server.serve()
