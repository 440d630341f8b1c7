"""End a device's access for good"""

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
    """End a DEVICE's access, now and for good: its key never works again."""
    client = ServerClient(url)
    found = client.post(f"/devices/{client.device(device)['id']}/revoke")
    if as_json:
        output.result_json(found)
    else:
        output.result(f"{found['name']} is {found['status']}")
