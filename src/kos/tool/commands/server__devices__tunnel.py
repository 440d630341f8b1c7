"""Let a device use the gateway of a server"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("device")
@click.option("--key", required=True, help="Public key of its tunnel: hexadecimal or base64.")
@click.option("--network", default="", help="The device's own addresses in the tunnel.  [default: free ones]")
@SERVER
@options.JSON
def command(device: str, key: str, network: str, url: str | None, as_json: bool) -> None:
    """Give DEVICE its tunnel, or another key or other addresses.

    Prints what `tunnel.json` among the device's keys must say.
    """
    client = ServerClient(url)
    body = {"public_key": key, "network": network}
    found = client.call("PUT", f"/devices/{client.device(device)['id']}/tunnel", body)
    if as_json:
        output.result_json(found)
    else:
        output.result(output.table(["tunnel.json", ""], list(found.items())))
