"""Stop notifying a channel"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("channel")
@SERVER
@options.JSON
def command(channel: str, url: str | None, as_json: bool) -> None:
    """Delete CHANNEL (number or name) with what waits for it."""
    client = ServerClient(url)
    found = client.channel(channel)
    client.call("DELETE", f"/notifications/channels/{found['id']}")
    if as_json:
        output.result_json(found)
    else:
        output.result(f"{found['name']} is removed")
