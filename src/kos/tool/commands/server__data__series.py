"""List the time series of a device"""

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
    """List the series that DEVICE has sent."""
    client = ServerClient(url)
    found = client.get(f"/devices/{client.device(device)['id']}/series")
    if as_json:
        output.result_json(found)
    else:
        for name in found:
            output.result(name)
