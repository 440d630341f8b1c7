"""List the device groups of a server"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@SERVER
@options.JSON
def command(url: str | None, as_json: bool) -> None:
    """List groups of devices: named queries."""
    found = ServerClient(url).get("/groups")
    if as_json:
        output.result_json(found)
        return
    rows = [(str(one["id"]), one["name"], one["query"], str(one["overlay_id"] or "")) for one in found]
    output.result(output.table(["", "group", "query", "overlay"], rows))
