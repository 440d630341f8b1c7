"""Turn a waiting device away"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("device")
@SERVER
@options.JSON
def command(device: str, url: str | None, as_json: bool) -> None:
    """Turn a waiting DEVICE away."""
    client = ServerClient(url)
    found = client.post(f"/devices/{client.device(device)['id']}/reject")
    if as_json:
        output.result_json(found)
    else:
        output.result(f"{found['name']} is {found['status']}")
