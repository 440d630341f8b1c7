"""Set the tags or the name of a device"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("device")
@click.argument("tags", nargs=-1)
@click.option("--name", help="A new name.")
@SERVER
@options.JSON
def command(device: str, tags: tuple[str, ...], name: str | None, url: str | None, as_json: bool) -> None:
    """Replace the TAGS of a DEVICE; without TAGS, only its name where one is given."""
    client = ServerClient(url)
    body: dict[str, object] = {"tags": list(tags)} if tags or not name else {}
    if name:
        body["name"] = name
    found = client.call("PATCH", f"/devices/{client.device(device)['id']}", body)
    if as_json:
        output.result_json(found)
    else:
        output.result(f"{found['name']}: {' '.join(found['tags']) or 'no tags'}")
