"""Give a device a new key"""

from __future__ import annotations

from pathlib import Path

import click

from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"
KEY_SIZE = 32
KEY_FILE_MAX = 4096  # bytes: room to say that a key in another form is not one


@click.command()
@click.argument("device")
@click.argument("key", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="SERVER.PUB")
@SERVER
@options.JSON
def command(device: str, key: Path, url: str | None, as_json: bool) -> None:
    """Let DEVICE come back with the key in SERVER.PUB, as keys.generate makes it; the old one is revoked."""
    from kos.abi import nkey

    data = read_bounded(key, KEY_FILE_MAX)
    if len(data) != KEY_SIZE:
        raise KosError(f"a public key has {KEY_SIZE} bytes, found {len(data)}", where=str(key))
    client = ServerClient(url)
    found = client.post(f"/devices/{client.device(device)['id']}/rotate", {"public_key": nkey.encode(data)})
    if as_json:
        output.result_json(found)
    else:
        output.result(f"{found['name']} is {found['id']} now")
