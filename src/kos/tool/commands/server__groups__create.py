"""Name a group of devices"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("name")
@click.argument("query")
@click.option("--overlay", help="An overlay for all of its devices, by number, name or digest.")
@SERVER
@options.JSON
def command(name: str, query: str, overlay: str | None, url: str | None, as_json: bool) -> None:
    """Call the devices that match QUERY, now and later, the group NAME."""
    client = ServerClient(url)
    number = client.overlay(overlay)["id"] if overlay else None
    found = client.post("/groups", {"name": name, "query": query})
    if number is not None:
        found = client.put(f"/groups/{found['id']}/overlay", {"overlay_id": number})
    if as_json:
        output.result_json(found)
    else:
        output.result(f"group {found['id']}: {found['name']}")
